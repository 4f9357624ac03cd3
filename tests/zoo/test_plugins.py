"""A model of the user's own, in a file of theirs, from training to serving by the commands of the zoo's."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import deploy.cli
import needle as ndl
import zoo
import zoo.cli
from zoo import registry

OWN = '''
"""A model of stripes."""

from dataclasses import dataclass

import zoo
from needle import nn
from zoo.datasets import bars


@dataclass(frozen=True)
class Stripes(zoo.NesterovRecipe):
    epochs: int = 8
    batch: int = 16
    crop: int = 1
    flip: float = 0.0
    dataset: str = "mnist"

    def data(self, folder=None):
        return self.generated()


@zoo.model(
    input=zoo.Image(1, 32, 32, mean=(0.5,), std=(0.5,)), output=zoo.Labels(tuple("abcdefghij")), recipe=Stripes()
)
def stripes(width: int = 8, device=None):
    """Which of ten stripes a picture shows.

    A convolution and a linear layer.
    """
    layers = [nn.Conv(1, width, 3, stride=2, device=device), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width * 16 * 16, 10, device=device))
'''

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in the current folder; what it registers is forgotten after the test."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "home"))
    path = tmp_path / "own_stripes.py"
    path.write_text(OWN)
    return path


def done(command: str, capsys: Capture) -> str:
    """What a command line prints, run in this process as far as `needle-zoo` and `needle-deploy` go."""
    name, *arguments = shlex.split(command)
    assert {"needle-zoo": zoo.cli.main, "needle-deploy": deploy.cli.main}[name](arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_own_models_are_at_home_in_every_command(
    own: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = sys.modules["deploy.compiler"]  # one instruction set, hardly optimised: compiled in seconds
    monkeypatch.setattr(builder, "VARIANTS", {})
    monkeypatch.setattr(builder, "FLAGS", tuple(flag.replace("-O2", "-O0") for flag in builder.FLAGS))
    told = done(f"needle-zoo train stripes --plugin {own} --seeds 2", capsys).split("Next:")[1].splitlines()
    evaluate, predict, freeze, _, serve = (line.strip() for line in told if line)
    assert all(f"--plugin {own}" in line for line in (evaluate, predict, freeze))
    metrics = json.loads(done(f"{evaluate} --json", capsys))
    assert metrics["top1"] > 0.5  # of ten: chance is 0.1
    sheet = zoo.datasets.bars("mnist", 1, seed=5)
    Image.fromarray(np.repeat(sheet.pixels[0, 0][..., None], 3, axis=2)).save("photo.jpg", quality=95)
    assert done(freeze, capsys).startswith("stripes.nd: ")
    model = zoo.load("stripes", weights=next(Path("runs/stripes-seed2").glob("stripes-*.safetensors")))
    graph = deploy.load("stripes.nd")
    assert graph.card["task"] == "Which of ten stripes a picture shows." and len(graph.card["labels"]) == 10
    np.save("x.npy", ((sheet.pixels / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).astype(np.float32))
    answer = json.loads(done("needle-deploy run stripes.nd x.npy --json", capsys))[0]
    eager = model(ndl.Tensor(np.load("x.npy"))).numpy()[0]
    assert answer[0]["label"] == "abcdefghij"[int(eager.argmax())]
    assert serve == "needle-serve --models stripes.nd"


def test_it_is_served_from_its_file(own: Path, capsys: Capture) -> None:
    pytest.importorskip("flask")
    from serving.app import create_app
    from serving.engine import load, sources
    from serving.engine.catalog import Catalog
    from serving.engine.limits import Limits
    from serving.engine.metrics import Metrics
    from serving.engine.registry import Registry
    from serving.engine.service import Service

    told = done(f"needle-zoo train stripes --plugin {own} --epochs 1", capsys)
    freeze = next(line for line in told.splitlines() if "freeze" in line)
    done(freeze.strip(), capsys)
    (source,) = sources.sources(["stripes.nd"])
    assert (source.name, source.path) == ("stripes", Path("stripes.nd"))
    registry = Registry(Path("models.db"))
    registry.add(source)
    service = Service(Catalog(load.load, Metrics(registry), Limits()))
    service.start().join()
    client = create_app(service).test_client()
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    tensor = {"name": "image", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    answer = client.post("/v2/models/stripes/infer", json={"inputs": [tensor]}).json["outputs"][0]
    model = zoo.load("stripes", weights=next(Path("runs/stripes-seed0").glob("stripes-*.safetensors")))
    expected = model(ndl.Tensor(x)).numpy()
    np.testing.assert_allclose(np.reshape(answer["data"], (2, 10)), expected, rtol=1e-4, atol=1e-4)


def test_recorded_it_is_like_one_of_the_zoo_and_its_runs_lie_beside_its_file(
    own: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEEDLE_PLUGINS", str(own))
    done("needle-zoo train stripes --epochs 1 --record", capsys)
    assert (tmp_path / "cards" / "stripes.json").is_file() and list((tmp_path / "weights").glob("stripes-*"))
    assert "steady" in json.loads(done("needle-zoo evaluate stripes --json", capsys))
    done("needle-deploy freeze zoo:stripes -o x.nd", capsys)
    from serving.engine import sources

    assert [(source.name, source.path) for source in sources.sources(["stripes"])] == [("stripes", None)]


CLASHES = {
    "a name of the zoo": (OWN.replace("def stripes", "def resnet9"), "'resnet9' belongs to a model of the zoo"),
    "no name": (OWN.replace("recipe=Stripes()", "recipe=Stripes(), name='a/b'"), "a name is made of letters"),
    "no recipe": (OWN.replace(", recipe=Stripes()", ""), "missing 1 required keyword-only argument: 'recipe'"),
    "an unknown field": (OWN.replace("recipe=Stripes()", "recipe=Stripes(), licens='MIT'"), "licens"),
}


@pytest.mark.parametrize(("text", "says"), CLASHES.values(), ids=CLASHES)
def test_what_cannot_be_registered_is_said_with_its_line(text: str, says: str, own: Path, capsys: Capture) -> None:
    other = own.with_name("other_stripes.py")
    other.write_text(text)
    assert zoo.cli.main(["list", "--plugin", str(other)]) == 1
    said = capsys.readouterr().err
    assert f"[plugin] {other}:" in said and says in said and said.count("\n") == 1


def test_two_files_cannot_share_a_name_but_one_may_be_run_again(own: Path, capsys: Capture) -> None:
    other = own.with_name("another_own_stripes.py")
    other.write_text(OWN)
    assert zoo.cli.main(["list", "--plugin", str(own), "--plugin", str(other)]) == 1
    assert f"belongs to a model of {own}" in capsys.readouterr().err
    again: dict[str, Any] = {"__name__": "needle_plugin_own_stripes"}  # as when its module is reloaded
    exec(compile(OWN, str(own), "exec"), again)


def test_a_builder_that_gives_no_model_is_refused(own: Path) -> None:
    record = registry.Entry("odd", lambda: 3, zoo.Latent(1), zoo.Latent(1), zoo.Recipe())  # type: ignore[arg-type,return-value]
    with pytest.raises(zoo.ZooError, match=r"\[odd\] the builder must return a zoo.Model, .* got int"):
        record.make()
    for method, arguments in (("data", ()), ("generated", ()), ("loader", (None, None, 0)), ("step", (None, 1))):
        with pytest.raises(registry.NeedleError, match=rf"\[Recipe\] a recipe must define {method}\(\)"):
            getattr(record.recipe, method)(*arguments)


LATENT = zoo.Latent(3)


class Odd(zoo.Model):
    """A model that is no classifier: it gives what it takes."""

    def forward(self, z: ndl.Tensor) -> ndl.Tensor:
        return z


def made(build: Any, **config: Any) -> Any:
    return registry.Entry("odd", build, LATENT, LATENT, zoo.Recipe()).make(**config)


def test_the_zoo_gives_a_model_its_card_and_device_unless_its_builder_has() -> None:
    given = made(lambda device=None: Odd(), device=ndl.cpu())
    assert given.card["name"] == "odd" and given.card["input"] == LATENT.spec() and given.device == ndl.cpu()
    image = zoo.Image(1, 4, 5, mean=(0.5,), std=(0.5,)).spec()
    own = made(lambda: zoo.ImageClassifier(ndl.nn.Flatten(), {"name": "mine", "input": image}, ndl.cpu()))
    assert own.card == {"name": "mine", "input": image} and own.device == ndl.cpu()
    assert own.example(2).shape == (2, 1, 4, 5)


def test_an_example_follows_the_input_and_what_the_model_says_of_it() -> None:
    model = made(Odd)
    assert model.example(2).shape == (2, 3)
    model.takes = {"size": 5}
    assert model.example().shape == (1, 5) and deploy.freeze(model, model.example()).inputs[0].shape[1] == 5
    assert zoo.load("gpt-char", tiny=True).example().shape == (1, 16)
    assert zoo.load("dcgan", tiny=True).example().shape == (1, 8)
    for card, kind in (({}, "None"), ({"input": {"kind": "sound"}}, "'sound'")):
        model.card, model.takes = card, {}
        with pytest.raises(registry.NeedleError, match=rf"has no shape for an input of kind {kind}: define example"):
            model.example()
