// A program: calls of kernels with sizes that are expressions of a few numbers, checked once and then run as often as wanted.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <vector>
#include "../nd/base.h"
#include "array.h"
#include "pointwise.h"

namespace nd {

// As Python writes them down.
using SizeEntry = std::tuple<std::string, int64_t, int64_t>;  // operation, its two arguments
using OperandEntry = std::tuple<int64_t, int64_t, int64_t>;  // base, byte offset, bytes of an element
using CallEntry = std::tuple<std::string, std::string, Sizes, std::vector<float>, std::vector<OperandEntry>>;

// Integer expressions in static single assignment: entry k is a constant, a dim, or an operation of two entries before k.
class SizeTable {
public:
    SizeTable() = default;
    SizeTable(int64_t dims, const std::vector<SizeEntry>& entries);

    // values[k] is what entry k is. Throws std::invalid_argument where one overflows or divides by less than 1.
    void evaluate(const int64_t* dims, int64_t* values) const;
    std::size_t count() const { return entries_.size(); }
    std::optional<int64_t> known(std::size_t k) const { return known_[k]; }  // the value that is the same for all dims

private:
    struct Entry {
        int op;
        int64_t a, b;
    };
    std::vector<Entry> entries_;
    std::vector<std::optional<int64_t>> known_;
};

// What a kernel runs with; the operands of a call are pointers by then, its integers numbers.
struct Arguments {
    const Executor& on;
    const int64_t* integers;
    const float* numbers;
    float* const* operands;
    int64_t integer_count, operand_count;
    int functor;
};

// A call that is being checked. Its members throw std::invalid_argument naming the call.
struct Draft {
    const SizeTable& sizes;
    const CallEntry& given;
    std::size_t place;
    int functor;

    [[noreturn]] void refuse(const std::string& what) const;
    std::size_t integers() const { return std::get<2>(given).size(); }
    std::size_t operands() const { return std::get<4>(given).size(); }
    void need(int64_t integers, int64_t numbers, int64_t operands) const;  // -1: any number
    // Integer i, which must be the same for all dims and in least..most.
    int64_t known(std::size_t i, const char* name, int64_t least, int64_t most = kLongestAxis) const;
};

struct Kernel {
    const char* name;
    int integers, numbers, operands;             // how many of each, -1 where that varies
    uint32_t written;                            // bit i: operand i is written
    int (*functor)(const std::string&);          // the number of a functor or -1; null for kernels without
    void (*check)(const Draft&);                 // what the counts leave open; null for nothing
    void (*run)(const Arguments&);
};
const std::vector<Kernel>& program_kernels();
std::vector<Kernel> element_kernels();  // those of them that are for elements of any type
std::vector<Kernel> grouped_kernels();  // convolutions in groups of channels
std::vector<Kernel> byte_kernels();     // of quantized networks

// The integers from `first` on are an epilogue's steps; those with a pointer have operands, in order, from `other` on.
struct Steps;
Steps steps_of(const Arguments& a, int64_t first, int64_t other);
void check_epilogue(const Draft& draft, std::size_t first, int64_t other);

// The loop nest that a call's integers say: rank, shape, strides of one operand after the other.
Loops loops_of(const Arguments& arguments);

// The reads of an axis that integers say: outputs, size, first[outputs], start[outputs + 1].
struct Bands;
Bands bands_of(const int64_t* integers, const float* weights);
// How many weights the axis has whose integers begin at `from`, which is moved behind them; `full`: no output may read nothing.
int64_t check_bands(const Draft& draft, std::size_t& from, bool full);

class Program : public Zeroed {
public:
    // Memory that a run works on: arena, weights, inputs, outputs.
    struct Base {
        char* p;
        int64_t bytes;
        bool readonly;
    };

    // Throws std::invalid_argument, "[Program] ...", for anything that could not run.
    Program(int64_t dims, const std::vector<SizeEntry>& sizes, const std::vector<CallEntry>& calls);

    // Throws std::invalid_argument before anything is written: for numbers of dims or bases that do not fit, for an operand
    // that starts outside its base and for one that is written in read-only memory. That operands also *end* inside their
    // bases is proved for all dims by whoever writes the program (deploy/verify.py), not here.
    // With `seconds` it says there how long each call took.
    void run(const Sizes& dims, const std::vector<Base>& bases, const Executor& on, double* seconds = nullptr) const;
    std::size_t calls() const { return calls_.size(); }

private:
    struct Call {
        const Kernel* kernel;
        int functor;
        std::size_t integers, integer_count, numbers, operands, operand_count;  // where they begin below, how many
    };
    struct Operand {
        std::size_t base, offset, bytes;
        bool written;
    };
    void add(const CallEntry& given);
    float* pointer(const Call& call, std::size_t i, const std::vector<Base>& bases, const int64_t* sizes) const;

    int64_t dims_;
    SizeTable sizes_;
    std::vector<Call> calls_;
    std::vector<std::size_t> integers_;  // of all calls: indices into the sizes
    std::vector<float> numbers_;
    std::vector<Operand> operands_;
    std::size_t bases_, widest_;  // bases that a run needs; the most integers of a call
};

}  // namespace nd
