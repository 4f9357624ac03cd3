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
using Forward = void (*)(const Executor&, int64_t, const float*, const float* const*, float* const*, float*);
#if defined(ND_VARIANTS)
namespace v2 { void forward(const Executor&, int64_t, const float*, const float* const*, float* const*, float*); }
namespace v3 { void forward(const Executor&, int64_t, const float*, const float* const*, float* const*, float*); }
namespace v4 { void forward(const Executor&, int64_t, const float*, const float* const*, float* const*, float*); }
#endif

namespace {

constexpr int64_t kHeader = 64, kWeightBytes = $weight_bytes;
constexpr int64_t kItem = $item;  // floats of scratch memory for each item of a batch
constexpr int kInputs = $inputs, kOutputs = $outputs, kMaxThreads = 1024;
constexpr char kMagic[] = "needle-w";  // then the graph's hash in hexadecimal

struct Variant {
    const char* name;
    Forward forward;
};

// The best this processor runs; NEEDLE_ISA=v2|v3 asks for less. No function when that holds anything else.
Variant choose() {
#if defined(ND_VARIANTS)
    __builtin_cpu_init();
    const char* asked = std::getenv("NEEDLE_ISA");
    if (asked == nullptr || asked[0] == 0) asked = "v4";
    if (asked[0] != 'v' || asked[1] < '2' || asked[1] > '4' || asked[2] != 0) return {asked, nullptr};
    const int most = asked[1] - '0';
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
    if (avx512 && most >= 4) return {"v4", v4::forward};
    if (avx2 && most >= 3) return {"v3", v3::forward};
    return {"v2", v2::forward};
#else
    return {ND_TEXT(ND_ISA), ND_ISA::forward};
#endif
}

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

}  // namespace
}  // namespace nd

struct ${name}_model {
    const unsigned char* file = nullptr;  // header and weights
    void* mapped = nullptr;
    nd::Pool* pool = nullptr;
    float* arena = nullptr;
    int64_t max_batch = 0;
    nd::Variant variant{};
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

int64_t ${name}_arena_bytes(int64_t batch, int threads) {
    return 4 * ($arena);
}

${name}_model* ${name}_create(const char* weights, int64_t max_batch, int threads, char* error, size_t error_size) {
    const int64_t most = (int64_t(1) << 40) / (4 * (nd::kItem + 1));
    if (max_batch < 1 || max_batch > most || threads < 1 || threads > nd::kMaxThreads) {
        nd::say(error, error_size, "[$name] needs 1 <= max_batch <= %lld and 1 <= threads <= %d, got %lld and %d",
                (long long)most, nd::kMaxThreads, (long long)max_batch, threads);
        return nullptr;
    }
    ${name}_model* model = new (std::nothrow) ${name}_model;
    if (model == nullptr) return nd::say(error, error_size, "[$name] out of memory"), nullptr;
    model->max_batch = max_batch;
    model->variant = nd::choose();
    if (model->variant.forward == nullptr) {
        nd::say(error, error_size, "[$name] NEEDLE_ISA must be v2, v3 or v4, got '%.40s'", model->variant.name);
        return ${name}_destroy(model), nullptr;
    }
    if (!nd::find_weights(model, weights, error, error_size)) return ${name}_destroy(model), nullptr;
    const std::size_t bytes = std::size_t(${name}_arena_bytes(max_batch, threads) + 63) / 64 * 64;
    model->arena = static_cast<float*>(std::aligned_alloc(64, bytes ? bytes : 64));
    model->pool = nd::pool_create(threads);
    if (model->arena == nullptr || model->pool == nullptr) {
        nd::say(error, error_size, "[$name] no memory for %lld bytes of scratch", (long long)bytes);
        return ${name}_destroy(model), nullptr;
    }
    return model;
}

int ${name}_run(${name}_model* model, int64_t batch, const float* const* inputs, float* const* outputs) {
    if (model == nullptr) return 1;
    if (!model->busy.try_lock()) return 2;  // its error text belongs to the other caller
    int failed = 1;
    bool null = inputs == nullptr || outputs == nullptr;
    for (int i = 0; !null && i < nd::kInputs; ++i) null = inputs[i] == nullptr;
    for (int i = 0; !null && i < nd::kOutputs; ++i) null = outputs[i] == nullptr;
    if (batch < 1 || batch > model->max_batch) {
        nd::say(model->error, sizeof model->error, "[$name] needs 1 <= batch <= %lld, got %lld", (long long)model->max_batch,
                (long long)batch);
    } else if (null) {
        nd::say(model->error, sizeof model->error, "[$name] an input or output is a null pointer");
    } else {
        model->error[0] = 0;
        model->variant.forward(nd::pool_executor(model->pool), batch, reinterpret_cast<const float*>(model->file + nd::kHeader),
                               inputs, outputs, model->arena);
        failed = 0;
    }
    model->busy.unlock();
    return failed;
}

const char* ${name}_error(const ${name}_model* model) { return model ? model->error : "[$name] the model is a null pointer"; }

void ${name}_destroy(${name}_model* model) {
    if (model == nullptr) return;
    if (model->pool != nullptr) nd::pool_destroy(model->pool);
    std::free(model->arena);
    if (model->mapped != nullptr) munmap(model->mapped, nd::kHeader + nd::kWeightBytes);
    delete model;
}

const char* ${name}_describe(void) { return $describe; }

const char* ${name}_isa(const ${name}_model* model) { return model ? model->variant.name : ""; }

}  // extern "C"
