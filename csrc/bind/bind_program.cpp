#include "bindings.h"
#include "program.h"
#include "roofline.h"

namespace nd {
namespace {

// C-contiguous memory of Python objects, held for the length of a run.
class Buffers {
public:
    explicit Buffers(const std::vector<py::object>& objects) : held_(objects.size()) {
        for (const py::object& object : objects) {
            const std::size_t place = bases.size();
            Py_buffer& buffer = held_[place];
            if (PyObject_GetBuffer(object.ptr(), &buffer, PyBUF_SIMPLE) != 0) {
                PyErr_Clear();
                release();
                refuse("Program", "base " + std::to_string(place) + " must be a C-contiguous buffer, got " +
                                      std::string(py::str(py::type::of(object).attr("__name__"))));
            }
            bases.push_back({static_cast<char*>(buffer.buf), buffer.len, buffer.readonly != 0});
        }
    }
    ~Buffers() { release(); }
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;
    std::vector<Program::Base> bases;

private:
    void release() {
        for (std::size_t i = 0; i < bases.size(); ++i) PyBuffer_Release(&held_[i]);
        bases.clear();
    }
    std::vector<Py_buffer> held_;
};

void run_program(const Program& program, const Sizes& dims, const std::vector<py::object>& bases, int64_t count) {
    check_threads("Program", count);
    const Buffers buffers(bases);
    py::gil_scoped_release unlocked;
    program.run(dims, buffers.bases, threads(static_cast<int>(count)));
}

std::vector<double> time_program(const Program& program, const Sizes& dims, const std::vector<py::object>& bases, int64_t count) {
    check_threads("Program", count);
    const Buffers buffers(bases);
    std::vector<double> seconds(program.calls());
    py::gil_scoped_release unlocked;
    program.run(dims, buffers.bases, threads(static_cast<int>(count)), seconds.data());
    return seconds;
}

// What a library of a compiled model has as NAME_call, in its own memory: its result.
int call_library(std::uintptr_t function, std::uintptr_t model, const Sizes& sizes, const std::vector<py::object>& operands) {
    const Buffers buffers(operands);
    std::vector<void*> pointers;
    for (const Program::Base& base : buffers.bases) pointers.push_back(base.p);
    py::gil_scoped_release unlocked;
    const auto call = reinterpret_cast<int (*)(void*, const int64_t*, void* const*)>(function);
    return call(reinterpret_cast<void*>(model), sizes.data(), pointers.data());
}

// `rounds` rounds of independent multiply-adds, of which nothing waits for memory; how many they were.
int64_t multiply_adds(int64_t rounds) {
    check_size("multiply_adds", "the number of rounds", rounds, 0);
    py::gil_scoped_release unlocked;
    return roofline().multiply_adds(rounds);
}

// Reads all floats of a buffer, in order.
void read_floats(const py::object& buffer) {
    const Buffers held({buffer});
    py::gil_scoped_release unlocked;
    roofline().read(reinterpret_cast<const float*>(held.bases[0].p), held.bases[0].bytes / 4);
}

}  // namespace

void bind_program(py::module_& m) {
    m.def("call_library", &call_library);
    py::class_<Program> program(m, "Program", R"(Calls of kernels, checked once and run in one call from Python.

dims: how many numbers a run is given first.
sizes: integer expressions in static single assignment: entry k is ("const", value, 0), ("dim", index, 0), or
    ("add" | "sub" | "mul" | "floordiv" | "ceildiv" | "min" | "max", i, j) of entries i, j < k.
calls: (kernel, functor or "", integers, numbers, operands): integers are indices into sizes, an operand is (base, offset,
    bytes): an index into the bases of a run, an index into sizes, in bytes, and what an element has, 1, 4 or 8.

Raises ValueError for a program that could not run.)");
    program.def(py::init<int64_t, const std::vector<SizeEntry>&, const std::vector<CallEntry>&>(), py::arg("dims"), py::arg("sizes"),
                py::arg("calls"))
        .def("run", run_program, py::arg("dims"), py::arg("bases"), py::arg("threads"),
             R"(Run all calls, in order, on that many threads, without Python's lock.

bases: C-contiguous buffers of bytes, read-only where nothing is written. Several threads may run a program at once, each with
its own. Raises ValueError before anything is written for dims, bases or threads that do not fit.)")
        .def("times", time_program, py::arg("dims"), py::arg("bases"), py::arg("threads"),
             "The same; the seconds that each call took.");
    m.def("multiply_adds", multiply_adds, py::arg("rounds"),
          "Run rounds of independent multiply-adds in registers; their number, for whoever holds the clock.");
    m.def("read_floats", read_floats, py::arg("buffer"), "Read a buffer of float32 once, for whoever holds the clock.");
    py::dict kernels;
    for (const Kernel& kernel : program_kernels())
        kernels[kernel.name] = py::make_tuple(kernel.integers, kernel.numbers, kernel.operands);
    program.attr("kernels") = kernels;  // (integers, numbers, operands) of each, -1 where the number varies
}

}  // namespace nd
