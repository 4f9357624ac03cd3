"""Adapters in files: PEFT's, both ways, and ours against the wrong base, malformed ones and half of them."""

import json
import warnings

import numpy as np
import pytest

import needle as ndl
from needle import nn, optim
from needle.errors import DataError, NeedleError, ShapeError
from needle.nn import lora
from needle.nn.lora.config import BASE
from needle.weights import load_safetensors, save_safetensors
from zoo.models.gpt import gpt_char

pytestmark = pytest.mark.both_modes
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def fixed(array):
    return ndl.Tensor(np.asarray(array, dtype="float32"), requires_grad=False)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.classifier = nn.Linear(5 * 4 * 4, 3)

    def forward(self, x):
        return self.classifier(self.features(x))


def gpt():
    np.random.seed(0)
    return gpt_char(context=8, width=16, layers=2, heads=2, dropout=0.0).eval()


def convolutions():
    np.random.seed(0)
    return Convolutions().eval()


IDS, IMAGES = np.random.RandomState(3).randint(0, 60, (3, 7)), np.random.RandomState(3).randn(4, 3, 8, 8)
MODELS = {
    "gpt": (gpt, IDS, ["*.q", "*.v", "*.up", "embedding"]),
    "gpt, fused": (gpt, IDS, ["*.qkv", "*.out"]),
    "convolutions": (convolutions, IMAGES, ["features.modules.0", "*.3", "classifier"]),
}


def train(model, x, steps=3):
    """A few steps towards zeros."""
    step = ndl.TrainStep(model, lambda y: (y**2).mean(), optim.Adam(nn.trainable_parameters(model), lr=0.02))
    step.loss = lambda batch: (model(batch) ** 2).mean()
    for _ in range(steps):
        step(fixed(x))


def adapted(key, name="default"):
    make, x, targets = MODELS[key]
    model = make()
    lora.add(model, rank=3, alpha=5, targets=targets, rslora=key == "convolutions", name=name)
    train(model, x)
    return model, fixed(x)


@pytest.mark.parametrize("key", MODELS)
def test_a_file_brings_back_what_was_saved_and_is_small(key, tmp_path):
    model, x = adapted(key)
    lora.save(model, tmp_path / "new" / "folder")
    fresh = MODELS[key][0]()
    count = lora.load(fresh, tmp_path / "new" / "folder", name="other")
    assert count == nn.ParameterCount.of(model) and lora.active(fresh) == "other"
    assert (fresh(x).numpy() == model(x).numpy()).all()
    size = sum(path.stat().st_size for path in (tmp_path / "new" / "folder").iterdir())
    assert size < 4 * count.trainable + 8_000
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [CONFIG, WEIGHTS]
    lora.save(fresh, tmp_path / "again", "other")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "new" / "folder" / name).read_bytes()


def test_the_hash_is_that_of_the_base_s_own_file(tmp_path):
    import hashlib

    convolutions().save(tmp_path / "base.safetensors")
    model, _ = adapted("convolutions")
    lora.merge(model)
    lora.save(model, tmp_path)
    said = json.loads((tmp_path / CONFIG).read_text())
    assert said[BASE] == hashlib.sha256((tmp_path / "base.safetensors").read_bytes()).hexdigest()
    assert said["base_model_name_or_path"] == "Convolutions" and said["use_rslora"] is True and said["r"] == 3
    assert said["target_modules"] == ["classifier", "features.0", "features.3"] and said["lora_alpha"] == 5


def state_of(model):
    return {"names": lora.names(model), "active": lora.active(model), "state": model.state_dict(),
            "learn": [p.requires_grad for p in model.parameters()]}  # fmt: skip


def refused(model, folder, error, message, **options):
    before, text = state_of(model), repr(model)
    with pytest.raises(error, match=message):
        lora.load(model, folder, **options)
    after = state_of(model)
    assert repr(model) == text and after["names"] == before["names"] and after["active"] == before["active"]
    assert after["learn"] == before["learn"]
    assert all((array == before["state"][at]).all() for at, array in after["state"].items())


def test_another_base_is_refused_with_both_hashes(tmp_path):
    model, _ = adapted("convolutions")
    lora.save(model, tmp_path, base="mine-v1")
    other = convolutions()
    other.classifier.bias.data = other.classifier.bias.data + 1e-6
    refused(other, tmp_path, DataError, r"made for mine-v1 with sha256 \w{64}, this is Convolutions with sha256 \w{64}")
    refused(gpt(), tmp_path, DataError, "belongs to another base")


@pytest.mark.parametrize(("change", "message"), [
    ({"r": 0}, "r of adapter_config.json must be a whole number from 1 to 65536, got 0"), ({"r": 3.0}, "got 3.0"),
    ({"r": None}, "got None"), ({"r": 10**9}, "got 1000000000"), ({"lora_alpha": -1}, "lora_alpha .* got -1"),
    ({"lora_alpha": "5"}, "got '5'"), ({"lora_dropout": 1}, r"lora_dropout .* in \[0, 1\), got 1"),
    ({"use_rslora": "yes"}, "true or false, got 'yes'"), ({"peft_type": "LOHA"}, "asks for peft_type = 'LOHA'"),
    ({"use_dora": True}, "asks for use_dora = True, which there is not here"), ({"bias": "all"},
     "asks for bias = 'all'"),
    ({"rank_pattern": {"a": 2}}, "asks for rank_pattern"),
    ({"modules_to_save": ["head"]}, "lacks the module 'head', which modules_to_save names. There are classifier"),
    ({"modules_to_save": 3}, "modules_to_save .* must be null or a list of at most 100 names, got 3"),
    ({"of_tomorrow": 7}, "asks for of_tomorrow = 7"), ({BASE: "12"}, "64 hexadecimal digits, got '12'"),
    ({"r": 2}, "has A and B of shapes .* unfit for its kind and r 2"),
])  # fmt: skip
def test_a_config_that_is_wrong_or_asks_for_more_is_refused(change, message, tmp_path):
    model, _ = adapted("convolutions")
    lora.save(model, tmp_path)
    fields = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(fields | change))
    refused(convolutions(), tmp_path, DataError, message)


@pytest.mark.parametrize(("text", "message"), [
    ("", "is not JSON"), ("[1]", "must hold a JSON object, got a list"), ("[" * 100_000, "is not JSON"),
    ("{" + " " * (1 << 20) + "}", "more than 1,048,576 bytes"), ("\x00\xff", "is not JSON"),
    ("{}", "peft_type .* got None"),
])  # fmt: skip
def test_a_config_that_is_none_is_refused(text, message, tmp_path):
    (tmp_path / CONFIG).write_text(text, encoding="latin-1")
    refused(convolutions(), tmp_path, DataError, message)


def without(arrays, *names):
    return {key: array for key, array in arrays.items() if not key.endswith(names)}


ROOT = "base_model.model.classifier."


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda a: {}, DataError, "holds no arrays"),
    (lambda a: without(a, "classifier.lora_B.weight"), DataError, "one of A and B of 'classifier', not both"),
    (lambda a: a | {"classifier.lora_A.weight": a[ROOT + "lora_A.weight"]}, DataError, "which belongs to no layer"),
    (lambda a: a | {ROOT + "lora_C.weight": np.zeros(3, "f")}, DataError,
     "is it base_model.model.classifier.lora_B.weight"),
    (lambda a: a | {ROOT + "lora_A.weight": np.zeros((3, 80, 1), "f")}, DataError, "unfit for its kind and r 3"),
    (lambda a: a | {ROOT + "lora_A.weight": np.zeros((3, 81), "f")}, ShapeError,
     r"A needs shape \(80, 3\), got \(81, 3\)"),
    (lambda a: a | {ROOT + "lora_A.weight": np.zeros((3, 80))}, ShapeError, "A needs dtype float32, got float64"),
    (lambda a: a | {ROOT + "lora_A.weight": np.zeros((3, 400_000), "f")}, DataError, "of this model has at most"),
    (lambda a: a | {ROOT + "lora_A.weight": np.full((3, 80), np.nan, "f")}, DataError, "must hold finite numbers"),
    (lambda a: a | {ROOT + "lora_B.weight": a[ROOT + "lora_B.weight"] + np.float32(np.inf)}, DataError,
     "must hold finite numbers, got others in 'base_model.model.classifier.lora_B.weight'"),
])  # fmt: skip
def test_weights_that_are_wrong_are_refused_with_the_place(change, error, message, tmp_path):
    model, _ = adapted("convolutions")
    lora.save(model, tmp_path)
    save_safetensors(tmp_path / WEIGHTS, change(dict(load_safetensors(tmp_path / WEIGHTS))))
    refused(convolutions(), tmp_path, error, message)
    other = convolutions()
    lora.add(other, targets="classifier", name="mine")
    refused(other, tmp_path, error, message)


def test_files_that_are_missing_or_cut_are_refused(tmp_path):
    model, _ = adapted("gpt")
    refused(gpt(), tmp_path, DataError, "adapter_config.json cannot be read: No such file")
    lora.save(model, tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-5])
    refused(gpt(), tmp_path, DataError, "the arrays take .* bytes, the file has")
    (tmp_path / WEIGHTS).unlink()
    refused(gpt(), tmp_path, DataError, "adapter_model.safetensors cannot be read")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"):
        lora.save(model, tmp_path / "file")
    with pytest.raises(NeedleError, match=r"there is no adapter 'x'"):
        lora.save(model, tmp_path, "x")


def test_a_name_that_is_taken_and_names_that_collide_are_refused(tmp_path):
    model, _ = adapted("gpt")
    with pytest.raises(NeedleError, match=r"blocks.0.attention.q and blocks.1.attention.q would both be called 'q'"):
        lora.save(model, tmp_path, modules={"blocks.0.attention.q": "q", "blocks.1.attention.q": "q"})
    with pytest.raises(NeedleError, match=r"need as many '\*' as each other"):
        lora.save(model, tmp_path, modules={"blocks.*.attention.q": "h.q"})
    assert not list(tmp_path.iterdir())
    lora.save(model, tmp_path)
    refused(model, tmp_path, NeedleError, "has an adapter 'default'")


# Modules that are saved whole: a head for other classes.


def with_a_head(classes=5):
    model = convolutions()
    np.random.seed(1)
    lora.add(model, rank=2, targets="features.*", modules_to_save={"classifier": nn.Linear(80, classes)})
    train(model, IMAGES)
    return model, fixed(IMAGES)


def test_a_head_of_its_own_learns_travels_and_leaves_the_base_as_it_was(tmp_path):
    base, x = convolutions(), fixed(IMAGES)
    before, state = base(x).numpy(), base.state_dict()
    model, _ = with_a_head()
    lora.save(model, tmp_path)
    assert lora.base_sha256(model) == lora.base_sha256(base)
    fresh = convolutions()
    count = lora.load(fresh, tmp_path)
    assert fresh(x).shape == (4, 5) and (fresh(x).numpy() == model(x).numpy()).all()
    assert count.trainable == sum(a.size for a in lora.state_dict(fresh).values()) and "classifier.bias" in (
        lora.state_dict(fresh)
    )
    lora.activate(fresh, None)
    assert (fresh(x).numpy() == before).all()
    lora.add(fresh, rank=1, targets="features.*", name="second")
    assert fresh(x).shape == (4, 3)
    lora.activate(fresh, "default")
    assert (fresh(x).numpy() == model(x).numpy()).all()
    lora.remove(fresh)
    assert all((array == state[at]).all() for at, array in fresh.state_dict().items())
    assert nn.ParameterCount.of(fresh).trainable == nn.ParameterCount.of(base).total


def test_unloading_leaves_the_base_s_structure_with_other_weights():
    model, x = with_a_head(3)
    meant, names = model(x).numpy(), list(convolutions().state_dict())
    lora.merge_and_unload(model)
    np.testing.assert_allclose(model(x).numpy(), meant, rtol=1e-5, atol=1e-5)
    assert list(model.state_dict()) == names and lora.names(model) == [] and type(model.classifier) is nn.Linear
    assert nn.ParameterCount.of(model).trainable == nn.ParameterCount.of(convolutions()).total
    language, _ = adapted("gpt")
    with pytest.raises(NeedleError, match=r"'embedding' is an Embedding, whose weight others may use .* lora.merge"):
        lora.merge_and_unload(language)
    assert not lora.merged(language)


@pytest.mark.parametrize(("whole", "message"), [
    ("features.modules.0", "'features.modules.0' is Conv. There are classifier"), ("head", "'head' is not there"),
    ({"classifier": nn.Linear(7, 3)}, "in the place of 'classifier' goes a Linear of 80 in_features"),
])  # fmt: skip
def test_what_cannot_be_saved_whole_is_refused(whole, message):
    model = convolutions()
    with pytest.raises(NeedleError, match=message):
        lora.add(model, targets="features.modules.3", modules_to_save=whole)
    with pytest.raises(NeedleError, match="'classifier' is a target"):
        lora.add(model, targets="classifier", modules_to_save="classifier")
    lora.add(model, targets="features.modules.3", modules_to_save="classifier")
    with pytest.raises(NeedleError, match="'classifier' is a whole module of another adapter"):
        lora.add(model, targets="classifier", name="other")


@pytest.mark.parametrize(("change", "message"), [
    (lambda a: without(a, "classifier.weight"), "lacks the module 'classifier'"),
    (lambda a: without(a, "classifier.bias"), r"classifier needs a weight \(outputs, 80\) and its bias \(5,\)"),
    (lambda a: a | {ROOT + "weight": np.zeros((5, 81), "f")}, r"needs a weight \(outputs, 80\)"),
    (lambda a: a | {ROOT + "weight": np.zeros((0, 80), "f"), ROOT + "bias": np.zeros(0, "f")}, "needs a weight"),
])  # fmt: skip
def test_a_whole_module_that_does_not_fit_is_refused(change, message, tmp_path):
    model, _ = with_a_head()
    lora.save(model, tmp_path)
    save_safetensors(tmp_path / WEIGHTS, change(dict(load_safetensors(tmp_path / WEIGHTS))))
    refused(convolutions(), tmp_path, DataError, message)


# Beside PEFT itself.


@pytest.fixture(scope="module")
def peers():
    torch, peft = pytest.importorskip("torch"), pytest.importorskip("peft")
    from tests.needle import lora_twins

    return torch, peft, lora_twins


RENAMED = {"blocks.*.attention.q": "h.*.attn.q_proj", "blocks.*.attention.v": "h.*.attn.v_proj",
           "blocks.*.up": "h.*.up", "embedding": "tok"}  # fmt: skip
TWINS = {"gpt": RENAMED, "gpt, fused": None, "convolutions": None}


def loaded_by_peft(peft, base, folder):
    """The PyTorch model with an adapter of ours, of which PEFT misses nothing (it warns of our field)."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loaded = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    assert not [str(each.message) for each in said if "missing" in str(each.message)]
    return loaded


@pytest.mark.parametrize("key", TWINS)
def test_peft_gives_the_same_results_with_our_files(key, peers, tmp_path):
    torch, peft, twins = peers
    model, x = adapted(key)
    lora.save(model, tmp_path, modules=TWINS[key])
    loaded = loaded_by_peft(peft, twins.twin(key, lora.base_state(model)), tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(twins.run(loaded, x.numpy()), model(x).numpy(), rtol=1e-5, atol=1e-5)
    lora.activate(model, None)
    assert abs(twins.run(loaded, x.numpy()) - model(x).numpy()).max() > 1e-3


@pytest.mark.parametrize("key", TWINS)
def test_we_give_the_same_results_with_peft_s_files(key, peers, tmp_path):
    _, _, twins = peers
    make, x, _ = MODELS[key]
    model = make()
    theirs = twins.trained(key, model.state_dict(), x, rslora=key == "gpt")
    theirs.save_pretrained(str(tmp_path))
    with pytest.warns(UserWarning, match="does not say which weights it belongs to: only names and shapes are checked"):
        lora.load(model, tmp_path, modules=TWINS[key])
    np.testing.assert_allclose(model(fixed(x)).numpy(), twins.run(theirs, x), rtol=1e-5, atol=1e-5)
    before = {name: array.copy() for name, array in load_safetensors(tmp_path / WEIGHTS).items()}
    lora.save(model, tmp_path / "ours", modules=TWINS[key])
    after = load_safetensors(tmp_path / "ours" / WEIGHTS)
    assert before.keys() == after.keys() and all((before[at] == after[at]).all() for at in before)
    ours, peft_s = (json.loads((folder / CONFIG).read_text()) for folder in (tmp_path / "ours", tmp_path))
    same = set(ours) & set(peft_s) - {"target_modules", "base_model_name_or_path", "auto_mapping"}
    assert {name: ours[name] for name in same} == {name: peft_s[name] for name in same}
    assert set(ours) - set(peft_s) == {BASE}


def test_a_head_travels_both_ways(peers, tmp_path):
    torch, peft, twins = peers
    model, x = with_a_head(3)
    lora.save(model, tmp_path / "ours")
    loaded = loaded_by_peft(peft, twins.twin("convolutions", lora.base_state(model)), tmp_path / "ours")
    np.testing.assert_allclose(twins.run(loaded, x.numpy()), model(x).numpy(), rtol=1e-5, atol=1e-5)
    torch.manual_seed(0)
    config = peft.LoraConfig(r=3, target_modules=["features.0", "features.3"], modules_to_save=["classifier"])
    theirs = peft.get_peft_model(twins.twin("convolutions", convolutions().state_dict()), config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    theirs.save_pretrained(str(tmp_path / "theirs"))
    fresh = convolutions()
    with pytest.warns(UserWarning, match="only names and shapes are checked"):
        lora.load(fresh, tmp_path / "theirs")
    np.testing.assert_allclose(fresh(x).numpy(), twins.run(theirs, x.numpy()), rtol=1e-5, atol=1e-5)
