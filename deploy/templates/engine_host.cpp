namespace nd {
using Forward = void (*)(const Executor&, const int64_t*, const float*, void* const*, float*);
namespace v2 { void forward(const Executor&, const int64_t*, const float*, void* const*, float*); }
namespace v3 { void forward(const Executor&, const int64_t*, const float*, void* const*, float*); }
namespace v4 { void forward(const Executor&, const int64_t*, const float*, void* const*, float*); }

namespace {

struct Variant {
    const char* name;
    Forward forward;
};

// The best that this program holds and this processor runs; NEEDLE_ISA=v2|v3|v4 asks for at most that. No function, and why
// in place of the name, where there is none.
Variant choose() {
#if defined(ND_VARIANTS)
    __builtin_cpu_init();
    const char* asked = std::getenv("NEEDLE_ISA");
    if (asked == nullptr || asked[0] == 0) asked = "v4";
    if (asked[0] != 'v' || asked[1] < '2' || asked[1] > '4' || asked[2] != 0)
        return {"NEEDLE_ISA must be v2, v3 or v4", nullptr};
    const int most = asked[1] - '0';
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
#if (ND_VARIANTS) & ND_HAS_v4
    if (avx512 && most >= 4) return {"v4", v4::forward};
#endif
#if (ND_VARIANTS) & ND_HAS_v3
    if (avx2 && most >= 3) return {"v3", v3::forward};
#endif
#if (ND_VARIANTS) & ND_HAS_v2
    return {"v2", v2::forward};
#endif
    (void)avx512, (void)most;
    return {"none of the instruction sets that it was built for is one that this processor runs and NEEDLE_ISA allows", nullptr};
#else
    return {ND_TEXT(ND_ISA), ND_ISA::forward};
#endif
}

// Where a model runs: on this processor's threads, with scratch memory.
struct Engine {
    Pool* pool = nullptr;
    float* arena = nullptr;
    const float* weights = nullptr;
    Variant variant{};

    const char* name() const { return variant.name; }

    bool choose(char* error, std::size_t size) {
        variant = nd::choose();
        if (variant.forward != nullptr) return true;
        const char* asked = std::getenv("NEEDLE_ISA");
        say(error, size, "[$name] %s, got '%.40s'", variant.name, asked != nullptr ? asked : "");
        return false;
    }

    bool open(const unsigned char* block, std::size_t arena_bytes, const int64_t*, int threads, char* error, std::size_t size) {
        const std::size_t bytes = (arena_bytes + 63) / 64 * 64;
        weights = reinterpret_cast<const float*>(block);
        arena = static_cast<float*>(std::aligned_alloc(64, bytes ? bytes : 64));
        pool = pool_create(threads);
        if (arena == nullptr || pool == nullptr) return say(error, size, "[$name] no memory for %lld bytes of scratch", (long long)bytes), false;
        pool_start(pool);  // so that no call allocates
        return true;
    }

    bool forward(const int64_t* sizes, void* const* operands, char*, std::size_t) {
        variant.forward(pool_executor(pool), sizes, weights, operands, arena);
        return true;
    }

    void close() {
        if (pool != nullptr) pool_destroy(pool);
        std::free(arena);
    }
};

}  // namespace
}  // namespace nd
