#include "program.h"
#include <algorithm>
#include <chrono>

namespace nd {
namespace {

constexpr const char* kOperations[] = {"const", "dim", "add", "sub", "mul", "floordiv", "ceildiv", "min", "max"};
enum Operation { op_const, op_dim, op_add, op_sub, op_mul, op_floordiv, op_ceildiv, op_min, op_max, operations };

// An operation of two entries; nothing where it overflows or divides by less than 1.
std::optional<int64_t> apply(int op, int64_t a, int64_t b) {
    int64_t y = 0;
    switch (op) {
    case op_add: return __builtin_add_overflow(a, b, &y) ? std::nullopt : std::optional(y);
    case op_sub: return __builtin_sub_overflow(a, b, &y) ? std::nullopt : std::optional(y);
    case op_mul: return __builtin_mul_overflow(a, b, &y) ? std::nullopt : std::optional(y);
    case op_floordiv: return b < 1 ? std::nullopt : std::optional(a / b - (a % b < 0));
    case op_ceildiv: return b < 1 ? std::nullopt : std::optional(a / b + (a % b > 0));
    case op_min: return std::min(a, b);
    default: return std::max(a, b);
    }
}

[[noreturn]] void refuse_size(std::size_t k, const std::string& what) {
    refuse("Program", "size " + std::to_string(k) + " " + what);
}

[[noreturn]] void refuse_value(std::size_t k, int op, int64_t a, int64_t b) {
    const std::string operation = std::string(kOperations[op]) + " of " + text({a, b});
    const bool division = op == op_floordiv || op == op_ceildiv;
    refuse_size(k, division ? "needs a divisor of at least 1, got " + operation : "overflows, got " + operation);
}

void check_index(const Draft& draft, const char* what, int64_t index, std::size_t count) {
    if (index < 0 || static_cast<std::size_t>(index) >= count)
        draft.refuse(std::string(what) + " must be an index into the " + std::to_string(count) + " sizes, got " +
                     std::to_string(index));
}

constexpr int64_t kMostBases = 1 << 16;

}  // namespace

SizeTable::SizeTable(int64_t dims, const std::vector<SizeEntry>& entries) {
    if (dims < 0) refuse("Program", "the number of dims must not be negative, got " + std::to_string(dims));
    for (const auto& [name, a, b] : entries) {
        const std::size_t k = entries_.size();
        const auto found = std::find(std::begin(kOperations), std::end(kOperations), name);
        const int op = static_cast<int>(found - std::begin(kOperations));
        if (op == operations)
            refuse_size(k, "must be const, dim, add, sub, mul, floordiv, ceildiv, min or max, got '" + name + "'");
        std::optional<int64_t> value;
        if (op == op_const) {
            value = a;
        } else if (op == op_dim) {
            if (a < 0 || a >= dims) refuse_size(k, "must be one of " + std::to_string(dims) + " dims, got " + std::to_string(a));
        } else {
            const int64_t before = static_cast<int64_t>(k);
            if (a < 0 || a >= before || b < 0 || b >= before)
                refuse_size(k, "must be made of entries before it, got " + name + " of " + text({a, b}));
            const auto left = known_[static_cast<std::size_t>(a)], right = known_[static_cast<std::size_t>(b)];
            if (left && right && !(value = apply(op, *left, *right))) refuse_value(k, op, *left, *right);
        }
        entries_.push_back({op, a, b});
        known_.push_back(value);
    }
}

void SizeTable::evaluate(const int64_t* dims, int64_t* values) const {
    for (std::size_t k = 0; k < entries_.size(); ++k) {
        const Entry& entry = entries_[k];
        if (entry.op == op_const) {
            values[k] = entry.a;
        } else if (entry.op == op_dim) {
            values[k] = dims[entry.a];
        } else {
            const auto value = apply(entry.op, values[entry.a], values[entry.b]);
            if (!value) refuse_value(k, entry.op, values[entry.a], values[entry.b]);
            values[k] = *value;
        }
    }
}

void Draft::refuse(const std::string& what) const {
    nd::refuse("Program", "call " + std::to_string(place) + " (" + std::get<0>(given) + "): " + what);
}

void Draft::need(int64_t integers, int64_t numbers, int64_t operands) const {
    const auto check = [&](const char* what, int64_t needed, std::size_t got) {
        if (needed >= 0 && static_cast<std::size_t>(needed) != got)
            refuse("the number of " + std::string(what) + " must be " + std::to_string(needed) + ", got " + std::to_string(got));
    };
    check("integers", integers, this->integers());
    check("numbers", numbers, std::get<3>(given).size());
    check("operands", operands, this->operands());
}

int64_t Draft::known(std::size_t i, const char* name, int64_t least, int64_t most) const {
    if (i >= integers()) refuse("needs more than " + std::to_string(integers()) + " integers: " + name + " is missing");
    const auto value = sizes.known(static_cast<std::size_t>(std::get<2>(given)[i]));
    if (!value) refuse(std::string(name) + " must not depend on the dims");
    if (*value < least || *value > most)
        refuse(std::string(name) + " must be " + std::to_string(least) + ".." + std::to_string(most) + ", got " +
               std::to_string(*value));
    return *value;
}

Program::Program(int64_t dims, const std::vector<SizeEntry>& sizes, const std::vector<CallEntry>& calls)
    : dims_(dims), sizes_(dims, sizes), bases_(0), widest_(0) {
    for (const CallEntry& call : calls) add(call);
}

void Program::add(const CallEntry& given) {
    const auto& [name, functor, integers, numbers, operands] = given;
    Draft draft{sizes_, given, calls_.size(), -1};
    const auto& kernels = program_kernels();
    const auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const Kernel& k) { return k.name == name; });
    if (kernel == kernels.end()) draft.refuse("must be a kernel of Program.kernels");
    if (kernel->functor != nullptr) draft.functor = kernel->functor(functor);
    if (kernel->functor == nullptr && !functor.empty()) draft.refuse("takes no functor, got '" + functor + "'");
    if (kernel->functor != nullptr && draft.functor < 0) draft.refuse("must have another functor than '" + functor + "'");
    Call call{&*kernel, draft.functor, integers_.size(), integers.size(), numbers_.size(), operands_.size(), operands.size()};
    for (const int64_t index : integers) {
        check_index(draft, "an integer", index, sizes_.count());
        integers_.push_back(static_cast<std::size_t>(index));
    }
    for (std::size_t i = 0; i < operands.size(); ++i) {
        const auto [base, offset, bytes] = operands[i];
        check_index(draft, "an offset", offset, sizes_.count());
        if (base < 0 || base >= kMostBases)
            draft.refuse("a base must be 0.." + std::to_string(kMostBases - 1) + ", got " + std::to_string(base));
        if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) draft.refuse("an element has 1, 2, 4 or 8 bytes, got " + std::to_string(bytes));
        const bool written = i < 32 && (kernel->written >> i & 1) != 0;
        operands_.push_back({static_cast<std::size_t>(base), static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes), written});
        bases_ = std::max(bases_, static_cast<std::size_t>(base) + 1);
    }
    draft.need(kernel->integers, kernel->numbers, kernel->operands);
    if (kernel->check != nullptr) kernel->check(draft);
    numbers_.insert(numbers_.end(), numbers.begin(), numbers.end());
    widest_ = std::max(widest_, integers.size());
    calls_.push_back(call);
}

float* Program::pointer(const Call& call, std::size_t i, const std::vector<Base>& bases, const int64_t* sizes) const {
    const Operand& operand = operands_[call.operands + i];
    const Base& base = bases[operand.base];
    const int64_t offset = sizes[operand.offset];
    const auto refuse_operand = [&](const std::string& what) {
        const auto place = static_cast<std::size_t>(&call - calls_.data());
        refuse("Program", "call " + std::to_string(place) + " (" + call.kernel->name + "): operand " + std::to_string(i) + what);
    };
    if (offset < 0 || offset > base.bytes)
        refuse_operand(" starts at byte " + std::to_string(offset) + " of the " + std::to_string(base.bytes) + " of base " +
                       std::to_string(operand.base));
    if ((reinterpret_cast<std::uintptr_t>(base.p) + static_cast<std::uintptr_t>(offset)) % operand.bytes != 0)
        refuse_operand(" must be aligned to its " + std::to_string(operand.bytes) + " bytes, got byte " + std::to_string(offset) + " of base " +
                       std::to_string(operand.base));
    if (operand.written && base.readonly)
        refuse_operand(" is written, but base " + std::to_string(operand.base) + " is read-only");
    return reinterpret_cast<float*>(base.p + offset);
}

void Program::run(const Sizes& dims, const std::vector<Base>& bases, const Executor& on, double* seconds) const {
    if (static_cast<int64_t>(dims.size()) != dims_)
        refuse("Program", "needs " + std::to_string(dims_) + " dims, got " + std::to_string(dims.size()));
    for (const int64_t dim : dims)
        if (dim < 0) refuse("Program", "dims must not be negative, got " + text(dims));
    if (bases.size() < bases_)
        refuse("Program", "needs " + std::to_string(bases_) + " bases, got " + std::to_string(bases.size()));
    std::vector<int64_t> memory(sizes_.count() + widest_);
    std::vector<float*> pointers(operands_.size());
    int64_t *sizes = memory.data(), *integers = sizes + sizes_.count();
    sizes_.evaluate(dims.data(), sizes);
    for (const Call& call : calls_)
        for (std::size_t i = 0; i < call.operand_count; ++i) pointers[call.operands + i] = pointer(call, i, bases, sizes);
    using Clock = std::chrono::steady_clock;
    for (const Call& call : calls_) {
        const auto start = seconds ? Clock::now() : Clock::time_point();
        for (std::size_t i = 0; i < call.integer_count; ++i) integers[i] = sizes[integers_[call.integers + i]];
        call.kernel->run({on, integers, numbers_.data() + call.numbers, pointers.data() + call.operands,
                          static_cast<int64_t>(call.integer_count), static_cast<int64_t>(call.operand_count), call.functor});
        if (seconds) *seconds++ = std::chrono::duration<double>(Clock::now() - start).count();
    }
}

}  // namespace nd
