"""Structure and weights are two things: one library runs any weights of its structure."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import numpy as np
import pytest

from deploy import Built, Compiled, DeployError, Graph, GraphError, build, freeze, interpreter
from deploy.build import find
from deploy.compare import relative_error
from deploy.nd import dumps, loads, structure
from needle import nn
from needle.backend_ndarray import ndarray_backend_cpu as extension
from tests.deploy.conftest import images


def others(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Other weights, as another run might have learnt them; variances stay positive."""
    draw = np.random.default_rng(seed)
    arrays = graph.weights().items()
    return {name: (array * draw.uniform(0.5, 1.5, array.shape)).astype("float32") for name, array in arrays}


def test_one_library_runs_the_weights_of_every_model_of_its_structure(graph: Graph, cache: Path) -> None:
    built, x = build(graph, name="small"), images(3)
    for seed in range(3):
        arrays = others(graph, seed)
        expected = interpreter.run(graph.with_weights(arrays), {"image": x})["logits"]
        with Compiled(built.library, built.weights_of(arrays), max_batch=4) as compiled:
            found = compiled(x)
        assert relative_error(found, expected) < 1e-5
        again = build(graph.with_weights(arrays), name="small")
        assert again.seconds == 0 and again.library == built.library and again.weights != built.weights
        with Compiled(again.library, again.weights, max_batch=4) as compiled:
            assert np.array_equal(compiled(x), found)


def test_a_library_in_the_cache_holds_no_weights(graph: Graph, cache: Path) -> None:
    with pytest.raises(DeployError, match="no weights of this model are linked into the program"):
        Compiled(build(graph, name="small").library)


@pytest.mark.thorough
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="only x86-64 programs hold several instruction sets")
def test_the_cache_holds_this_processor_s_instruction_set_or_all(graph: Graph, cache: Path) -> None:
    def levels(built: Built) -> set[str]:
        return {path.stem for path in built.library.parent.glob("v*.o")}

    here = extension.__isa__.removeprefix("x86-64-")
    assert levels(build(graph, name="levels")) == {here}
    assert find(graph, name="levels").library == build(graph, name="levels").library
    whole = build(graph, name="levels", levels="all")
    assert levels(whole) == {"v2", "v3", "v4"} and levels(build(graph, name="levels")) == levels(whole)


def test_weights_that_do_not_fit_are_refused(graph: Graph, cache: Path) -> None:
    built, arrays = build(graph, name="small"), graph.weights()
    name = next(iter(arrays))
    shape = arrays[name].shape
    for wrong, message in (
        ({**arrays, "more": np.zeros(1)}, "unknown .'more'."),
        ({key: x for key, x in arrays.items() if key != name}, f"missing .'{name}'"),
        ({**arrays, name: np.zeros((*shape, 1), "float32")}, f"'{name}' must be float32"),
        ({**arrays, name: np.zeros(shape)}, f"'{name}' must be float32.*got float64"),
    ):
        with pytest.raises(GraphError, match=message):
            built.weights_of(wrong)
        with pytest.raises(GraphError, match=message):
            graph.with_weights(wrong)


def test_the_structure_is_all_but_the_weights(graph: Graph) -> None:
    assert structure(graph.with_weights(others(graph, 0))) == structure(graph)
    assert structure(Graph(graph.inputs, graph.outputs, {"name": "another card"})) == structure(graph)
    one, other, third = (
        freeze(lambda x, c=c: x + c, np.zeros((1, 3), "float32")) for c in (np.ones(3), np.ones(3), np.full(3, 2.0))
    )
    assert structure(one) == structure(other) != structure(third)


def test_tied_and_unused_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3, bias=False)
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            return (x @ self.first.weight) @ self.first.weight

    graph = freeze(Tied(), np.zeros((1, 3)))
    assert list(graph.weights()) == ["first.weight"] and loads(dumps(graph)).weights().keys() == graph.weights().keys()


VERSION_1 = (
    "UEsDBBQAAAAAAAAAIQC7WTmgCwIAAAsCAAAKABgAZ3JhcGguanNvbjXZFABAAAAAAAAAAAAAAAAAAAAAAAAAAHsiZGltcyI6WyJi"
    "YXRjaCJdLCJmb3JtYXQiOiJuZCIsImlucHV0cyI6W3siZHR5cGUiOiJmbG9hdDMyIiwibmFtZSI6ImlucHV0Iiwic2hhcGUiOlt7"
    "ImRpbSI6ImJhdGNoIiwic2NhbGUiOjF9LDNdfV0sIm5vZGVzIjpbeyJuYW1lIjoiaW5wdXQiLCJvcCI6IklucHV0In0seyJvcCI6"
    "IkNvbnN0YW50Iiwid2VpZ2h0IjoibW9kdWxlcy4wLndlaWdodCJ9LHsiYXR0cmlidXRlcyI6e30sImlucHV0cyI6WzAsMV0sIm9w"
    "IjoiTWF0TXVsIn0seyJvcCI6IkNvbnN0YW50Iiwid2VpZ2h0IjoibW9kdWxlcy4wLmJpYXMifSx7ImF0dHJpYnV0ZXMiOnsic2hh"
    "cGUiOlt7ImRpbSI6ImJhdGNoIiwic2NhbGUiOjF9LDJdfSwiaW5wdXRzIjpbM10sIm9wIjoiQnJvYWRjYXN0VG8ifSx7ImF0dHJp"
    "YnV0ZXMiOnt9LCJpbnB1dHMiOlsyLDRdLCJvcCI6IkVXaXNlQWRkIn0seyJhdHRyaWJ1dGVzIjp7fSwiaW5wdXRzIjpbNV0sIm9w"
    "IjoiUmVMVSJ9XSwib3V0cHV0cyI6W3sibmFtZSI6Im91dHB1dCIsIm5vZGUiOjZ9XSwidmVyc2lvbiI6MX1QSwMEFAAAAAAAAAAh"
    "AD4DQv3gAAAA4AAAABMARAB3ZWlnaHRzLnNhZmV0ZW5zb3JzNdlAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAC4AAAAAAAAAHsibW9kdWxlcy4wLmJpYXMiOnsiZHR5cGUiOiJGMzIiLCJzaGFw"
    "ZSI6WzEsMl0sImRhdGFfb2Zmc2V0cyI6WzAsOF19LCJtb2R1bGVzLjAud2VpZ2h0Ijp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsz"
    "LDJdLCJkYXRhX29mZnNldHMiOls4LDMyXX19ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICCoZF2+"
    "z7atPwhhDT5S0Bs/ONGUPuD+AT6QHl2++EbTPlBLAwQUAAAAAAAAACEAdSwTBp4BAACeAQAACQA5AGNhcmQuanNvbjXZNQBAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHsiaW5wdXRzIjpbeyJkdHlwZSI6ImZsb2F0"
    "MzIiLCJuYW1lIjoiaW5wdXQiLCJzaGFwZSI6W3siZGltIjoiYmF0Y2giLCJzY2FsZSI6MX0sM119XSwibW9kZWwiOnt9LCJvdXRw"
    "dXRzIjpbeyJkdHlwZSI6ImZsb2F0MzIiLCJuYW1lIjoib3V0cHV0Iiwic2hhcGUiOlt7ImRpbSI6ImJhdGNoIiwic2NhbGUiOjF9"
    "LDJdfV0sInByb3ZlbmFuY2UiOnsidmVyc2lvbiI6MSwid3JpdGVyIjoibmVlZGxlLWRlcGxveSJ9LCJzaGEyNTYiOnsiZ3JhcGgu"
    "anNvbiI6ImIyZDE5MTg2N2Q0NjRlOGE3NzJlNDZkNzA3YjU5ODQ2MTdiY2FlOWEzM2YzNTc0NjRkZGE2ZDUzYzMwMjUxZmYiLCJ3"
    "ZWlnaHRzLnNhZmV0ZW5zb3JzIjoiY2FmYWQ0YzA3MGQ1ZDJmZjNmYWQwNTc2YjE1YWMxOTJmMjk3OWUzYWY2MDBkNWFjNDFiNDAz"
    "MTllZWRkMjZjYiJ9fVBLAQIUABQAAAAAAAAAIQC7WTmgCwIAAAsCAAAKAAAAAAAAAAAAAAAAAAAAAABncmFwaC5qc29uUEsBAhQA"
    "FAAAAAAAAAAhAD4DQv3gAAAA4AAAABMAAAAAAAAAAAAAAAAASwIAAHdlaWdodHMuc2FmZXRlbnNvcnNQSwECFAAUAAAAAAAAACEA"
    "dSwTBp4BAACeAQAACQAAAAAAAAAAAAAAAACgAwAAY2FyZC5qc29uUEsFBgAAAAADAAMAsAAAAJ4FAAAAAA=="
)


def test_a_file_of_version_1_is_read() -> None:
    """Linear(3, 2) and ReLU, written before constants and weights were told apart."""
    graph = loads(base64.b64decode(VERSION_1))
    assert list(graph.weights()) == ["modules.0.weight", "modules.0.bias"]
    np.random.seed(0)
    now = freeze(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), np.zeros((1, 3)))
    assert dumps(now) == dumps(graph)
