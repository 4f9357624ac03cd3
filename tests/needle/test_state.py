"""The state of modules: names, readable differences, partial loading, files."""

import numpy as np
import pytest

import needle as ndl
from needle import nn
from needle.errors import DataError, ShapeError
from needle.weights import DTYPES, load_safetensors, read_safetensors, save_safetensors

pytestmark = pytest.mark.both_modes


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


NAMES = [
    "modules.0.weight", "modules.0.bias", "modules.1.weight", "modules.1.bias", "modules.1.running_mean",
    "modules.1.running_var", "modules.3.weight", "modules.3.bias",
]  # fmt: skip


def same(a, b):
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_parameters_and_running_statistics_by_dotted_name():
    assert list(model().state_dict()) == NAMES


def test_a_state_moves_over_and_is_a_copy():
    a, b = model(), model()
    state = a.state_dict()
    assert not b.load_state_dict(state)
    assert same(a.state_dict(), b.state_dict())
    state["modules.0.bias"][:] = 7
    assert same(a.state_dict(), b.state_dict())


def test_differences_are_named_and_nothing_is_changed():
    net, before = model(), model().state_dict()
    net.load_state_dict(before)
    state = dict(before)
    state["modules.0.wieght"] = state.pop("modules.0.weight")
    state["classifier"] = np.zeros(3, "float32")
    state["modules.3.weight"] = state["modules.3.weight"].T
    state["modules.3.bias"] = state["modules.3.bias"].astype("float64") + 1
    with pytest.raises(ShapeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "[load_state_dict] the state does not fit Sequential: missing modules.0.weight; unexpected modules.0.wieght "
        "(is it modules.0.weight?); unexpected classifier; modules.3.weight needs shape (4, 2), got (2, 4); "
        "modules.3.bias needs dtype float32, got float64"
    )
    assert same(net.state_dict(), before)
    found = net.load_state_dict(state, strict=False)
    assert found.missing == ["modules.0.weight"] and found.unexpected == ["modules.0.wieght", "classifier"]
    assert found.shapes == {"modules.3.weight": ((4, 2), (2, 4))}
    assert found.dtypes == {"modules.3.bias": ("float32", "float64")}
    after = net.state_dict()
    new, old = after.pop("modules.3.bias"), before.pop("modules.3.bias")
    assert new.dtype == "float32" and (new == old + 1).all()
    assert same(after, before)


def test_a_long_difference_is_cut():
    many = nn.Sequential(*[nn.Linear(1, 1) for _ in range(30)])
    with pytest.raises(ShapeError, match=r"missing modules.0.weight; .*; and 40 more$"):
        many.load_state_dict({})


def test_a_dtype_that_fits_exactly_is_taken():
    layer = nn.Linear(2, 2)
    halves = {name: np.ones(array.shape, "float16") for name, array in layer.state_dict().items()}
    assert not layer.load_state_dict(halves)
    assert layer.weight.dtype == "float32" and (layer.weight.numpy() == 1).all()


def test_a_file_of_halves_becomes_float32(tmp_path):
    a, b = model(), model()
    halves = {name: array.astype("float16") for name, array in a.state_dict().items()}
    save_safetensors(tmp_path / "halves", halves)
    assert not b.load(tmp_path / "halves")
    assert same(b.state_dict(), halves) and {str(array.dtype) for array in b.state_dict().values()} == {"float32"}


def test_files(tmp_path):
    a, b, path = model(), model(), tmp_path / "model.safetensors"
    a.save(path, {"note": "a test"})
    assert read_safetensors(path)[1] == {"note": "a test"}
    assert not b.load(path)
    assert same(a.state_dict(), b.state_dict())
    with pytest.raises(ShapeError, match=r"model.safetensors\] the state does not fit Linear: missing weight"):
        nn.Linear(3, 4).load(path)
    assert nn.Linear(3, 4).load(path, strict=False).missing == ["weight", "bias"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"model.safetensors"):
        b.load(path)
    with pytest.raises(DataError, match=r"nowhere.safetensors cannot be read: No such file"):
        b.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(DataError, match=r"a.safetensors cannot be written: No such file"):
        b.save(tmp_path / "no" / "a.safetensors")


def test_every_dtype_of_the_format_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"{dtype} {shape}": (rng.random(shape) * 9).astype(dtype) for dtype in DTYPES.values()
              for shape in [(), (0,), (3,), (2, 0, 4), (2, 3, 4)]}  # fmt: skip
    save_safetensors(tmp_path / "all.safetensors", arrays)
    back = load_safetensors(tmp_path / "all.safetensors")
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape and (back[name] == array).all()


class Buffers(nn.Module):
    """Tensors of the dtypes that modules may hold."""

    def __init__(self, fill):
        super().__init__()
        self.mask, self.ids, self.x = (
            ndl.Tensor(np.full(3, fill), dtype=dtype, requires_grad=False) for dtype in ("bool", "int64", "float64")
        )


def test_modules_with_tensors_of_other_dtypes(tmp_path):
    Buffers(1).save(tmp_path / "b.safetensors")
    other = Buffers(0)
    other.load(tmp_path / "b.safetensors")
    kept = {name: str(array.dtype) for name, array in other.state_dict().items()}
    assert kept == {"mask": "bool", "ids": "int64", "x": "float64"}
    assert all((array == 1).all() for array in other.state_dict().values())
