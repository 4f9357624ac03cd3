// ---- the C interface -----------------------------------------------------------------------------------------------
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
$pool_impl
#define ND_TEXT_OF(x) #x
#define ND_TEXT(x) ND_TEXT_OF(x)

#include "$name.h"

// Defined by ${name}_weights.S; absent (null) in a program that is linked without it.
extern "C" const unsigned char ${name}_embedded_weights[] __attribute__((weak));

namespace nd {
namespace {

constexpr int64_t kHeader = 64, kWeightBytes = $weight_bytes;
constexpr int kSizes = $size_count, kOperands = $operand_count, kMaxThreads = 1024;
constexpr const char* kSizeNames[] = {$size_words};
constexpr int64_t kLeast[] = {$least}, kHighest[] = {$highest};  // of each size

// Floats of scratch memory; in double for sizes whose product no integer may hold.
template <class T>
T arena_floats(${arena_sizes}T threads) {
    (void)threads;
    return $arena;
}
constexpr char kMagic[] = "needle-w";  // then the graph's hash in hexadecimal

// Whether this is the weights file of this very graph.
bool is_ours(const unsigned char* header) {
    return std::memcmp(header, kMagic, 8) == 0 && std::memcmp(header + 8, "$hash", 32) == 0;
}

void say(char* text, std::size_t size, const char* format, ...) {
    if (text == nullptr || size == 0) return;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, size, format, arguments);
    va_end(arguments);
}

// The bytes of an operand at these sizes.
int64_t operand_bytes(const int64_t* sizes, int operand) {
    ${take_sizes}(void)sizes;
    const int64_t bytes[] = {$bytes};
    return operand >= 0 && operand < kOperands ? bytes[operand] : 0;
}

}  // namespace
}  // namespace nd

$engine
struct ${name}_model {
    const unsigned char* file = nullptr;  // header and weights
    void* mapped = nullptr;
    nd::Engine engine;
    int64_t most[nd::kSizes + 1] = {};
    nd::TryLock busy;
    char error[200] = "";
};

namespace nd {
namespace {

// Maps the weights file; null with a reason in `error`.
void* map_file(const char* path, char* error, std::size_t size) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void* memory = MAP_FAILED;
    if (file >= 0 && fstat(file, &status) == 0 && status.st_size == kHeader + kWeightBytes)
        memory = mmap(nullptr, kHeader + kWeightBytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (file >= 0) close(file);
    if (memory != MAP_FAILED && is_ours(static_cast<unsigned char*>(memory))) return memory;
    if (memory != MAP_FAILED) munmap(memory, kHeader + kWeightBytes);
    say(error, size, "[$name] '%s' cannot be read or is not the weights file of this model", path);
    return nullptr;
}

// Whether each size is in what it may be; else says which is not.
bool within(const int64_t* sizes, const int64_t* most, const char* prefix, char* error, std::size_t size) {
    for (int i = 0; i < kSizes; ++i)
        if (sizes[i] < kLeast[i] || sizes[i] > most[i]) {
            say(error, size, "[$name] needs %lld <= %s%s <= %lld, got %lld", (long long)kLeast[i], prefix, kSizeNames[i],
                (long long)most[i], (long long)sizes[i]);
            return false;
        }
    return true;
}

bool find_weights(${name}_model* model, const char* path, char* error, std::size_t size) {
    if (path != nullptr) {
        model->mapped = map_file(path, error, size);
        model->file = static_cast<const unsigned char*>(model->mapped);
    } else if (${name}_embedded_weights != nullptr) {
        model->file = ${name}_embedded_weights;
        if (!is_ours(model->file)) model->file = nullptr;
    }
    if (model->file == nullptr && path == nullptr)
        say(error, size, "[$name] no weights of this model are linked into the program; pass the path of $name.weights");
    return model->file != nullptr;
}

}  // namespace
}  // namespace nd

extern "C" {

int64_t ${name}_arena_bytes(${most}int threads) { return 4 * nd::arena_floats<int64_t>(${each_most}threads); }

${name}_model* ${name}_create(const char* weights, ${most}int threads, char* error, size_t error_size) {
    const int64_t most[] = {$most_names};
    if (!nd::within(most, nd::kHighest, "max_", error, error_size)) return nullptr;
    if (threads < 1 || threads > nd::kMaxThreads) {
        nd::say(error, error_size, "[$name] needs 1 <= threads <= %d, got %d", nd::kMaxThreads, threads);
        return nullptr;
    }
    if (nd::arena_floats<double>(${each_most}threads) > double(int64_t(1) << 40)) {
        nd::say(error, error_size, "[$name] sizes as large as max_%s = %lld need more memory than there is", nd::kSizeNames[0],
                (long long)most[0]);
        return nullptr;
    }
    void* memory = std::malloc(sizeof(${name}_model));
    if (memory == nullptr) return nd::say(error, error_size, "[$name] out of memory"), nullptr;
    ${name}_model* model = new (memory) ${name}_model;
    for (int i = 0; i < nd::kSizes; ++i) model->most[i] = most[i];
    const auto bytes = std::size_t(${name}_arena_bytes(${each_most}threads));
    const bool ready = model->engine.choose(error, error_size) && nd::find_weights(model, weights, error, error_size) &&
                       model->engine.open(model->file + nd::kHeader, bytes, most, threads, error, error_size);
    if (!ready) return ${name}_destroy(model), nullptr;
    return model;
}

}  // extern "C"

namespace nd {
namespace {

using Entry = bool (Engine::*)(const int64_t* sizes, void* const* operands, char* error, std::size_t size);

int checked_call(${name}_model* model, const int64_t* sizes, void* const* operands, Entry entry) {
    if (model == nullptr) return 1;
    if (!model->busy.try_lock()) return 2;  // its error text belongs to the other caller
    bool null = operands == nullptr || (sizes == nullptr && nd::kSizes > 0);
    for (int i = 0; !null && i < nd::kOperands; ++i) null = operands[i] == nullptr;
    bool fits = null || nd::within(sizes, model->most, "", model->error, sizeof model->error);
    if (null) {
        nd::say(model->error, sizeof model->error, "[$name] an input or output is a null pointer");
        fits = false;
    }
    if (fits) {
        model->error[0] = 0;
        fits = (model->engine.*entry)(sizes, operands, model->error, sizeof model->error);
    }
    model->busy.unlock();
    return fits ? 0 : 1;
}

}  // namespace
}  // namespace nd

extern "C" {

int ${name}_call(${name}_model* model, const int64_t* sizes, void* const* operands) {
    return nd::checked_call(model, sizes, operands, &nd::Engine::forward);
}

int ${name}_run(${name}_model* model, ${sizes}$pointers) {
    const int64_t sizes[] = {$size_names};
    void* const operands[] = {$operands};
    return ${name}_call(model, sizes, operands);
}

int64_t ${name}_bytes(const int64_t* sizes, int operand) { return nd::operand_bytes(sizes, operand); }

int ${name}_abi(void) { return $abi; }

const char* ${name}_error(const ${name}_model* model) { return model ? model->error : "[$name] the model is a null pointer"; }

void ${name}_destroy(${name}_model* model) {
    if (model == nullptr) return;
    model->engine.close();
    if (model->mapped != nullptr) munmap(model->mapped, nd::kHeader + nd::kWeightBytes);
    std::free(model);
}

const char* ${name}_describe(void) { return $describe; }

const char* ${name}_isa(const ${name}_model* model) { return model ? model->engine.name() : ""; }
$device_functions
}  // extern "C"
