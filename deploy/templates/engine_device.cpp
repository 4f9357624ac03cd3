namespace nd {

void launched(const Executor& on, const char* kernel, int error) {
    auto& stream = *static_cast<Stream*>(on.pool);
    if (error == 0 || stream.error != 0) return;
    stream.failed = kernel, stream.error = error;
}

namespace {

enum Operand { is_input, is_state, is_output };
constexpr Operand kKinds[] = {$operand_kinds};

// The kernels of a call with these sizes and pointers.
struct CapturedCall {
    void* graph = nullptr;
    int64_t sizes[kSizes + 1] = {};
    void* operands[kOperands] = {};
    uint64_t used = 0;  // how many calls had been made when it was used last

    bool is_of(const int64_t* its_sizes, void* const* its_operands) const {
        bool same = graph != nullptr;
        for (int i = 0; i < kSizes; ++i) same = same && sizes[i] == its_sizes[i];
        for (int i = 0; i < kOperands; ++i) same = same && operands[i] == its_operands[i];
        return same;
    }
};
constexpr int kCaptured = 8;

// Where a model runs: a stream of the device that was the thread's when it was opened, whose memory holds weights, scratch memory
// and what operands of the host become.
struct Engine {
    int device = 0;
    Stream stream;
    CapturedCall calls[kCaptured];
    uint64_t count = 0;  // of calls
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
        if (fails("its device", device_in_use(&device), error, size)) return false;
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
        if (fails("the copy of its weights", copy_to_device(stream.handle, weights, block, kWeightBytes), error, size)) return false;
        return ends(error, size) && capture(calls[0], most, staged, error, size);
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

    // Makes `call` that of these sizes and pointers. What other call it was is forgotten.
    bool capture(CapturedCall& call, const int64_t* sizes, void* const* operands, char* error, std::size_t size) {
        if (fails("the capture of the call", begin_capture(stream.handle), error, size)) return false;
        ND_ISA::forward({nullptr, &stream, 1}, sizes, static_cast<const float*>(weights), operands, static_cast<float*>(arena));
        const int ended = end_capture(stream.handle, &call.graph);
        const bool failed = stream.error != 0 ? !ends(error, size) : fails("the capture of the call", ended, error, size);
        for (int i = 0; i < kSizes; ++i) call.sizes[i] = sizes[i];
        for (int i = 0; i < kOperands; ++i) call.operands[i] = operands[i];
        call.used = ++count;
        if (failed) give_graph(call.graph), call.graph = nullptr;
        return !failed;
    }

    // Starts the kernels of a call: those that were captured of one with the same sizes and pointers. Where there are none, they
    // are captured now, in place of the call that has not been used for longest.
    bool start(const int64_t* sizes, void* const* operands, char* error, std::size_t size) {
        CapturedCall* call = calls;
        for (CapturedCall& each : calls) {
            if (each.used < call->used) call = &each;
            if (each.is_of(sizes, operands)) { call = &each; break; }
        }
        if (call->is_of(sizes, operands)) call->used = ++count;
        else if (!capture(*call, sizes, operands, error, size)) return false;
        return !fails("the start of the call", start_graph(stream.handle, call->graph), error, size);
    }

    bool forward(const int64_t* sizes, void* const* operands, char* error, std::size_t size) {
        const UseDevice use(device);
        if (fails("its device", use.error, error, size)) return false;
        for (int i = 0; i < kOperands; ++i)
            if (kKinds[i] != is_output &&
                fails("the copy of an input", copy_to_device(stream.handle, staged[i], operands[i], std::size_t(operand_bytes(sizes, i))), error, size))
                return false;
        if (!start(sizes, staged, error, size)) return false;
        for (int i = 0; i < kOperands; ++i)
            if (kKinds[i] != is_input &&
                fails("the copy of an output", copy_from_device(stream.handle, operands[i], staged[i], std::size_t(operand_bytes(sizes, i))), error, size))
                return false;
        return ends(error, size);
    }

    // The same for memory of the device.
    bool forward_device(const int64_t* sizes, void* const* operands, char* error, std::size_t size) {
        const UseDevice use(device);
        return !fails("its device", use.error, error, size) && start(sizes, operands, error, size) && ends(error, size);
    }

    void close() {
        const UseDevice use(device);
        if (opened) wait_for(stream.handle), close_stream(stream.handle);
        for (CapturedCall& each : calls) give_graph(each.graph);
        if (weights != nullptr) give_memory(weights, kWeightBytes ? kWeightBytes : 1);
        if (arena != nullptr) give_memory(arena, arena_size);
        for (int i = 0; i < kOperands; ++i)
            if (staged[i] != nullptr) give_memory(staged[i], staged_size[i] ? staged_size[i] : 1);
    }
};

}  // namespace
}  // namespace nd
