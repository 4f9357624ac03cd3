"""No call from Python may crash the process: random and hostile arguments to every function of the extension.

The calls run in a process of their own (this file as a program), which finds the functions with dir() and the kinds of
their arguments in the signatures that pybind11 writes. A call may succeed or raise one of ALLOWED, nothing else.
"""

import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CALLS = 40_000
CONTENTS = (0.0, 1.0, 0.5, 2.0, -1.0, 1e30, float("nan"))  # also as labels and ids
OF_ADDRESSES = {"call_library"}  # which trusts its caller, as a function of ctypes does
ALLOWED = (ValueError, TypeError, MemoryError, OverflowError, IndexError)


@pytest.mark.thorough
@pytest.mark.parametrize("seed, threads", [(1, 1), (2, 3)])
def test_no_call_crashes(seed: int, threads: int) -> None:
    with tempfile.NamedTemporaryFile() as last:
        environment = {**os.environ, "NEEDLE_NUM_THREADS": str(threads), "NEEDLE_CACHE_MB": "16",
                       "MALLOC_PERTURB_": "190"}  # fresh memory is never zero by luck
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, str(seed), last.name],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        call = Path(last.name).read_text().split("\0")[0]
    assert ran.returncode == 0, f"exit {ran.returncode} in or after {call}\n{ran.stderr[-3000:]}"
    done, succeeded = map(int, ran.stdout.split())
    assert done == CALLS
    assert succeeded > CALLS // 10, f"only {succeeded} of {done} calls got through: the fuzzer has lost its aim"


class Fuzz:
    """Random arguments: mostly of the kind asked for and small, so that many calls get past the checks."""

    def __init__(self, module, numpy, ndarray, seed):
        self.random = random.Random(seed)
        self.module, self.numpy, self.ndarray = module, numpy, ndarray
        self.arrays = []
        for size in (0, 1, 1, 2, 3, 4, 6, 6, 8, 12, 16, 24, 24, 24, 48, 64, 96, 144, 1000):
            array = module.Array(size)
            module.fill(array, 0.5)
            self.arrays.append(array)
        self.hostile = [
            None, "text", b"bytes", object(), 1.5, float("nan"), float("inf"), 1e300, True, -1, -(2**31), 2**31, 2**32,
            2**47, 2**62, 2**63 - 1, -(2**63), 2**64, 10**30, (), [], {}, {1: 2}, [None], [[1, 2], [3]], ["a"], (-1, 4),
            (2**62, 2**62), (2**40,), [1] * 40, range(3), int, len, module.Array, module.Array.__new__(module.Array),
            numpy.zeros((2, 3)), numpy.zeros(3, dtype="complex64"), numpy.array(["x"]), numpy.array([object()]),
            numpy.float64(2), numpy.zeros((2, 0), dtype="float32"), numpy.full(4, -1), numpy.full(4, 2**40),
        ]  # fmt: skip

    def size(self):
        return self.random.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6, 8, 12, 24))

    def sizes(self):
        return [self.size() for _ in range(self.random.choice((1, 1, 2, 2, 2, 3, 3, 4, 4, 5)))]

    def view(self, shape=None):
        """An NDArray: mostly whole, sometimes strided, of another dtype, empty or beyond its memory."""
        pick, shape = self.random.random(), tuple(self.sizes()) if shape is None else shape
        if pick < 0.7:
            dtype = "float32" if pick < 0.65 else self.random.choice(("int64", "bool", "float64"))
            return self.ndarray(self.numpy.ones(shape), dtype=dtype)
        strides = [self.random.choice((0, 1, 1, 2, 3, 12, -1, -4, 2**31, 2**62)) for _ in shape]
        offset = self.random.choice((0, 0, 0, 1, 5, 40, -1, 2**62))
        return self.ndarray.make(shape, strides, handle=self.random.choice(self.arrays), offset=offset)

    def argument(self, kind):
        pick = self.random.random()
        if pick < 0.03:
            return self.random.choice(self.hostile)
        if kind == "NDArray":
            return self.view()
        if kind == "collections.abc.Sequence[NDArray]":
            return [self.view((2, 3)) for _ in range(self.random.choice((0, 1, 1, 2)))]
        if kind.startswith("collections.abc.Sequence"):
            values = self.sizes()
            return [-value for value in values] if pick < 0.06 else tuple(values)
        if "ArrayLike" in kind or "NDArray" in kind:
            dtype = self.random.choice(("float32", "float32", "float64", "int64", "uint8", "bool", "float16"))
            values = self.numpy.ones(self.sizes(), dtype=dtype)
            return values.T if pick < 0.3 else values[..., ::-1] if pick < 0.4 else values
        if kind.endswith(".Array"):
            return self.random.choice(self.arrays)
        if kind == "bool":
            return pick < 0.5
        if "SupportsFloat" in kind:
            return self.random.choice((0.0, 0.5, -1.0, 1e-5, 3.0, float("nan"), float("inf")))
        if "SupportsInt" in kind:
            return -self.size() if pick < 0.06 else self.size()
        return self.random.choice(self.hostile)

    def unguided(self, function):
        """Arguments of the kinds that the signature names, sometimes one too few or too many."""
        signature = (function.__doc__ or "").partition(")\n")[0]
        values = [self.argument(kind) for kind in re.findall(r"\w+: (.+?)(?=, \w+: |\) ->)", signature)]
        if self.random.random() < 0.02:
            return values[:-1] if values and self.random.random() < 0.5 else [*values, None]
        return values

    def near(self, values):
        """The arguments of a call that works, with none to three of them changed."""
        values = list(values)
        for _ in range(self.random.choice((0, 1, 1, 2, 3)) if values else 0):
            at = self.random.randrange(len(values))
            values[at] = self.changed(values[at])
        return values

    def changed(self, value):
        if self.random.random() < 0.1:
            return self.random.choice(self.hostile)
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.random.choice((value - 1, value + 1, 2 * value, -value, 0, 1, 7, 2**31, 2**62))
        if isinstance(value, float):
            return self.random.choice((0.0, -value, float("nan"), float("inf"), -1e30))
        if isinstance(value, tuple) and value:
            at = self.random.randrange(len(value))
            changed = self.changed(value[at])
            return self.random.choice(((*value[:at], changed, *value[at + 1 :]), value[:-1], (*value, 1)))
        if isinstance(value, self.module.Array):
            return self.random.choice(self.arrays)
        if isinstance(value, self.ndarray):
            return self.view(value.shape if self.random.random() < 0.6 else None)
        if isinstance(value, list) and value:
            return self.random.choice(([*value, value[0]], value[:-1], [self.changed(value[0]), *value[1:]]))
        return self.random.choice(self.hostile)


def samples(module, numpy):
    """Calls that work, by function: what the array functions of needle pass on for small arguments."""
    from needle import backend_ndarray as nd
    from needle.backend_ndarray.compiled import TABLES

    found = {}
    originals = {name: getattr(module, name) for name in dir(module) if callable(getattr(module, name))}

    def recording(name, function):
        def call(*values):
            found.setdefault(name, []).append(values)
            return function(*values)

        return call

    package = nd.kernels(nd.array([1.0], device=nd.cpu()))
    names = [name for name in originals if name in TABLES or getattr(package, name, 0) is originals[name]]
    passed_on = {name: getattr(package, name) for name in names}
    for home, functions in ((module, originals), (package, passed_on)):
        for name, function in functions.items():
            if name != "Array":
                setattr(home, name, recording(name, function))
    try:
        use_everything(nd, numpy, lambda *shape: nd.array(numpy.ones(shape), device=nd.cpu()))
    finally:
        for home, functions in ((module, originals), (package, passed_on)):
            for name, function in functions.items():
                setattr(home, name, function)
    return found


def use_everything(nd, numpy, ones):
    """One small call of each array function."""
    x, y, label = ones(2, 3), ones(2, 3), ones(2)
    k = nd.kernels(x)
    maps = {"exp": 1, "relu_gradient": 2, "add": 2, "add_scalar": 1, "negate": 1, "where": 3, "leaky_relu": 1,
            "leaky_relu_gradient": 2, "squared_difference_gradient": 3}  # fmt: skip
    for name, operands in maps.items():
        for arrays in ((x, y, x), (ones(3, 4)[0:2, ::2], ones(2, 2), ones(2, 2))):
            number = [2.0] if "leaky" in name or name.endswith("_scalar") else []
            getattr(nd.cpu(), name)(*arrays[:operands], *number)
    k.softmax(x), k.softmax_gradient(x, y), k.logsoftmax(x), k.logsoftmax_gradient(x, y)
    x[0:1, 1:3] = ones(2)
    x[0:2, 1:3] = ones(4, 3)[::2, 0:2]
    x[0:1, 1:3] = 1.0
    x.sum(0), x.max(1), x.permute((1, 0)).compact(), x.numpy(), k.logsumexp(x, 1)
    k.matmul(x, ones(3, 2)), k.matmul(ones(2, 2, 3), ones(3, 2)), k.matmul(x.permute((1, 0)), y)
    nd.cpu().matmul(x._handle, ones(3, 2)._handle, ones(2, 2)._handle, 2, 3, 2)
    image, w = ones(2, 5, 4, 3), ones(3, 3, 3, 2)
    g = k.conv(image, w, 2, 1)
    k.conv_input_gradient(g, w, 2, 1, 5, 4), k.conv_weight_gradient(image, g, 2, 1, 3)
    k.grouped_conv(image, ones(3, 3, 1, 3), 2, (1, 0), 3, 1), k.grouped_conv(image, ones(2, 2, 1, 3), 1, (0, 0), 3, 2)
    g = k.grouped_conv(image, ones(3, 3, 1, 3), 1, (1, 1), 3, 1)
    k.grouped_conv_input_gradient(g, ones(3, 3, 1, 3), 1, (1, 1), 5, 4, 3, 1)
    k.grouped_conv_weight_gradient(image, g, 1, (1, 1), 3, 3, 1)
    rows, columns = nd.bands.sliding(5, 3, 2, 1), nd.bands.adaptive(4, 3)
    y = k.max_pool(image, image, rows, columns)
    k.max_pool_gradient(y, image, rows, columns), k.resample(image, rows, columns)
    k.cross_entropy(x, label, 0.1), k.cross_entropy_gradient(ones(1), x, label, 0.1)
    k.cross_entropy(x, label, 0.1, 1, "none"), k.cross_entropy_gradient(ones(2), x, label, 0.0, 1, "none")
    k.take(x, label, 1), k.take_gradient(x, label, 0, 3), k.gather(x, ones(2, 1), 1)
    k.gather_gradient(ones(2, 1), ones(2, 1), 1, 3)
    k.min(x, 1)
    weight = ones(3)
    _, mean, var = k.batch_norm(image, weight, weight, 1e-5)
    k.batch_norm_gradient(image, image, weight, mean, var, 1e-5)
    k.batch_norm_inference(image, weight, weight, mean, var, 1e-5)
    _, mean, rstd = k.layer_norm(x, weight, weight, 1e-5)
    k.layer_norm_gradient(x, x, weight, mean, rstd)
    _, mean, rstd = k.group_norm(ones(2, 5, 6), ones(6), ones(6), 3, 1e-5)
    k.group_norm_gradient(ones(2, 5, 6), ones(2, 5, 6), ones(6), mean, rstd, 3)
    k.rms_norm_gradient(x, x, weight, k.rms_norm(x, weight, 1e-5)[1])
    gates, h, w_hh = ones(3, 2, 8), ones(2, 2), ones(2, 8)
    out, c, act = k.lstm(gates, h, h, w_hh)
    k.lstm_gradient(out, h, out, c, act, h, h, w_hh)
    out, act = k.gru(ones(3, 2, 6), h, ones(2, 6), ones(6))
    k.gru_gradient(out, out, act, h, ones(2, 6))
    k.rnn_gradient(out, k.rnn(out, h, ones(2, 2), True), h, ones(2, 2), True)
    q = ones(1, 2, 3, 4)
    out, lse = k.attention(q, q, q, 0.5, True)
    k.attention_gradient(q, q, q, q, out, lse, 0.5, True)
    cache, rows = ones(2, 5, 2, 4), (ones(1), ones(1))
    k.cache_write(cache, ones(1, 3, 2, 4), *rows), k.cached_attention(q, cache, cache, *rows, 0.5)
    rows = k.embedding(label, x)
    k.embedding_gradient(rows, label, 3)
    data = numpy.ones((4, 3), "float32"), numpy.ones(4, "int64"), numpy.ones((3, 2), "float32")
    nd.cpu().softmax_regression_epoch(*data, 0.1, 2)
    pixels, places = numpy.zeros((4, 2, 5, 6), "uint8"), numpy.array([3, 0])
    shifts, mirrored, factors = numpy.array([0, 2]), numpy.array([0, 1], "uint8"), numpy.ones(2, "float32")
    nd.cpu().image_batch(pixels, places, shifts, shifts, mirrored, 1, True, factors, factors, ones(120)._handle)
    drawn = (numpy.ones((2, 5)) / 2, 0, 1, True, 2, 0.5, True, 3, 2)
    nd.cpu().drawn_image_batch(pixels, places, *drawn, factors, factors, factors, ones(120)._handle)
    nd.cpu().keyed_uniform(nd.cpu().keyed_by(3, 4), places, numpy.ones((2, 3)))
    k.sgd_step([ones(3)], [ones(3)], [ones(3)], 0.1, 0.9, 0.01), k.sgd_step([ones(3)], [ones(3)], [], 0.1, 0.0, 0.0)
    k.momentum_step([ones(3)], [ones(3)], [ones(3)], 0.1, 0.9, 0.01, True), k.squared_norm([ones(3), ones(2, 2)])
    k.adam_step([ones(3)], [ones(3)], [ones(3)], [ones(3)], 1, 0.1, 0.9, 0.999, 1e-8, 0.01, True)
    numbers, places = [("const", n, 0) for n in range(4)], [(0, 0, 4), (1, 0, 4), (2, 0, 4), (3, 0, 4)]
    for call in (("map", "Relu", [1], [], places[:2]), ("map_strided", "Add", [1] * 5, [], places[:3]),
                 ("reduce", "SumFold", [1, 3, 1], [], places[:2]),
                 ("group_norm", "", [1, 1, 2, 1], [0.1], places[:1] * 7),
                 ("max_pool", "", [1] * 7 + [0, 0, 1, 1, 1, 0, 0, 1], [], places[:2]),
                 ("resample", "", [1] * 7 + [0, 0, 1, 1, 1, 0, 0, 1], [0.5, 0.5], places[:2]),
                 ("conv", "", [1] * 12 + [0], [], places), ("linear", "", [1, 1, 1, 1], [], places)):  # fmt: skip
        nd.cpu().Program(1, [*numbers, ("dim", 0, 0), ("mul", 3, 4)], [call])


def described(value):
    """The value, but of an NDArray, which may not be readable, what it claims."""
    if isinstance(value, list):
        return [described(each) for each in value]
    return (value.shape, value.strides, value._offset) if hasattr(value, "_offset") else value


def main(seed, last):
    import faulthandler
    import resource

    import numpy

    from needle.backend_ndarray import NDArray
    from needle.backend_ndarray import ndarray_backend_cpu as module

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # a huge array is a MemoryError, not a full machine
    working = samples(module, numpy)
    fuzz = Fuzz(module, numpy, NDArray, seed)
    names = sorted(set(dir(module)) - OF_ADDRESSES)
    functions = [getattr(module, name) for name in names if callable(getattr(module, name))]
    assert len(functions) > 50
    log = os.open(last, os.O_WRONLY)
    done = succeeded = 0
    while done < CALLS:
        function = fuzz.random.choice(functions)
        name = function.__name__
        if name in working and fuzz.random.random() < 0.7:
            values = fuzz.near(fuzz.random.choice(working[name]))
        else:
            values = fuzz.unguided(function) if name != "Array" else fuzz.unguided(module.Array.__init__)[1:]
        if name == "set_num_threads" and fuzz.random.random() < 0.9:  # each new number starts threads
            values = [fuzz.random.choice((1, 2, 3))]
        os.pwrite(log, f"call {done}: {name}{described(values)!r:.300}\0".encode(), 0)
        done += 1
        try:
            result = function(*values)
            succeeded += 1
            if name == "Array" and result.size <= 1000:
                fuzz.arrays[fuzz.random.randrange(len(fuzz.arrays))] = result
        except ALLOWED:
            pass
        if done % 50 == 0:
            module.fill(fuzz.random.choice(fuzz.arrays), fuzz.random.choice(CONTENTS))
    print(done, succeeded)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
