"""What `import needle` gives, and what it costs. In both array modes."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import needle

pytestmark = pytest.mark.both_modes
ROOT = Path(__file__).resolve().parents[2]
OPS = """
    add EWiseAdd add_scalar AddScalar multiply EWiseMul mul_scalar MulScalar power EWisePow power_scalar PowerScalar
    divide EWiseDiv divide_scalar DivScalar transpose Transpose reshape Reshape broadcast_to BroadcastTo summation
    Summation matmul MatMul negate Negate log Log exp Exp relu ReLU tanh Tanh logsoftmax LogSoftmax logsumexp LogSumExp
    stack Stack split Split flip Flip dilate Dilate undilate UnDilate conv Conv make_tuple MakeTensorTuple
    tuple_get_item TupleGetItem fused_add_scalars FusedAddScalars
    permute softmax sigmoid cross_entropy batch_norm layer_norm lstm gru rnn attention embed
"""
OTHERS = """
    Tensor TensorTuple ones zeros ones_like zeros_like cpu all_devices default_device Device array_api NDArray BACKEND
    init data nn optim ops autograd backend_ndarray backend_selection
"""


@pytest.mark.parametrize("name", OPS.split())
def test_every_op_is_in_ops_and_at_the_top(name: str) -> None:
    assert getattr(needle, name) is getattr(needle.ops, name)
    assert name in needle.ops.__all__


def test_a_star_import_brings_the_whole_surface() -> None:
    names: dict[str, object] = {}
    exec("from needle import *", names)
    assert not [name for name in (OPS + OTHERS).split() if name not in names]


def test_devices_as_each_mode_has_them() -> None:
    if needle.BACKEND == "np":
        assert repr(needle.cpu()) == "needle.cpu()" and not hasattr(needle, "cuda")
    else:
        assert repr(needle.cpu()) == "cpu()" and repr(needle.cpu_numpy()) == "cpu_numpy()"
        assert needle.cpu().enabled() and not needle.cuda().enabled()
        assert needle.backend_ndarray.cuda() == needle.cuda()
    assert needle.cpu().enabled() and needle.default_device() in needle.all_devices()


def test_importing_is_cheap_and_silent() -> None:
    """Few modules beyond numpy's, nothing that probes or downloads, and not a word."""
    script = "import sys, numpy; before = set(sys.modules); import needle; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1
    loaded = set(done.stdout.split())
    others = [name for name in loaded if name.split(".")[0] != "needle"]
    assert "needle" in loaded and len(others) < 50 and len(loaded) < 180
    assert not loaded & {"torch", "PIL", "flask", "socket", "urllib.request", "http", "ssl", "subprocess", "zoo"}


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert needle.__version__ == project["version"]
    assert "from needle import __version__ as __version__" in (ROOT / "serving" / "__init__.py").read_text()


def test_type_checkers_are_told_that_the_packages_are_typed() -> None:
    """PEP 561: an empty py.typed in each package that the wheel takes as it is."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["wheel"]["packages"]
    assert "needle" in packages and all((ROOT / package / "py.typed").is_file() for package in packages)
