namespace nd {

void launched(const Executor& on, const char* kernel, int error) {
    auto& stream = *static_cast<Stream*>(on.pool);
    if (error == 0 || stream.error != 0) return;
    stream.failed = kernel, stream.error = error;
}

namespace {

enum Operand { is_input, is_state, is_output };
constexpr Operand kKinds[] = {$operand_kinds};

// Where a model runs: a stream of a device, whose memory holds weights, scratch memory and what operands of the host become.
struct Engine {
    Stream stream;
    void *weights = nullptr, *arena = nullptr, *staged[kOperands] = {};
    std::size_t arena_size = 0, staged_size[kOperands] = {};
    bool opened = false;

    const char* name() const { return "cuda"; }

    bool choose(char* error, std::size_t size) {
        if (device_count() > 0) return true;
        say(error, size, "[$name] needs a CUDA device, and none is visible");
        return false;
    }

    bool open(const unsigned char* block, std::size_t arena_bytes, const int64_t* most, int, char* error, std::size_t size) {
        if (fails("its stream", open_stream(&stream.handle), error, size)) return false;
        opened = true;
        arena_size = arena_bytes ? arena_bytes : 1;
        weights = take_memory(kWeightBytes ? kWeightBytes : 1);
        arena = take_memory(arena_size);
        bool taken = weights != nullptr && arena != nullptr;
        for (int i = 0; i < kOperands; ++i) {
            staged_size[i] = std::size_t(operand_bytes(most, i));
            staged[i] = take_memory(staged_size[i] ? staged_size[i] : 1);
            taken = taken && staged[i] != nullptr;
        }
        if (!taken) return say(error, size, "[$name] the device has no memory for %lld bytes of weights and %lld of scratch", (long long)kWeightBytes, (long long)arena_size), false;
        return !fails("the copy of its weights", copy_to_device(stream.handle, weights, block, kWeightBytes), error, size) && ends(error, size);
    }

    // Whether something failed; then says what.
    bool fails(const char* what, int code, char* error, std::size_t size) {
        if (code != 0) say(error, size, "[$name] %s failed on the device: %s", what, error_text(code));
        return code != 0;
    }

    // Waits for all that was started; whether all of it went well.
    bool ends(char* error, std::size_t size) {
        const int waited = wait_for(stream.handle);
        const bool failed = stream.error != 0 ? fails(stream.failed, stream.error, error, size) : fails("the call", waited, error, size);
        stream.failed = nullptr, stream.error = 0;
        return !failed;
    }

    void start(const int64_t* sizes, void* const* operands) {
        ND_ISA::forward({nullptr, &stream, 1}, sizes, static_cast<const float*>(weights), operands, static_cast<float*>(arena));
    }

    bool forward(const int64_t* sizes, void* const* operands, char* error, std::size_t size) {
        for (int i = 0; i < kOperands; ++i)
            if (kKinds[i] != is_output &&
                fails("the copy of an input", copy_to_device(stream.handle, staged[i], operands[i], std::size_t(operand_bytes(sizes, i))), error, size))
                return false;
        start(sizes, staged);
        for (int i = 0; i < kOperands; ++i)
            if (kKinds[i] != is_input &&
                fails("the copy of an output", copy_from_device(stream.handle, operands[i], staged[i], std::size_t(operand_bytes(sizes, i))), error, size))
                return false;
        return ends(error, size);
    }

    // The same for memory of the device.
    bool forward_device(const int64_t* sizes, void* const* operands, char* error, std::size_t size) {
        start(sizes, operands);
        return ends(error, size);
    }

    void close() {
        if (opened) wait_for(stream.handle), close_stream(stream.handle);
        if (weights != nullptr) give_memory(weights, kWeightBytes ? kWeightBytes : 1);
        if (arena != nullptr) give_memory(arena, arena_size);
        for (int i = 0; i < kOperands; ++i)
            if (staged[i] != nullptr) give_memory(staged[i], staged_size[i] ? staged_size[i] : 1);
    }
};

}  // namespace
}  // namespace nd
