"""Text from many requests at once: each gets what it would get alone, and none waits for another's end."""

import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import texts

from needle import Tensor
from serving.engine import load
from serving.engine.errors import Busy, Failed, ServingError, TooLong
from serving.engine.sources import Source
from serving.engine.text import scheduler as scheduling
from serving.engine.text.load import decoding_graph
from serving.engine.text.programs import check_program, program_of
from serving.engine.text.task import Asked, usage
from zoo.generate import Sampling

GREEDY = Sampling(0)


@pytest.fixture(params=texts.NAMES)
def engine(request):
    engine = texts.engine(request.param)
    yield engine
    engine.close()


@pytest.fixture
def gpt():
    engine = texts.engine("gpt-char")
    yield engine
    engine.close()


def write(engine, prompts, asked, choices=1, **options):
    """The tasks of a call that is done."""
    prompts = [engine.encode(x) if isinstance(x, str) else x for x in prompts]
    call = engine.call(prompts, asked, choices, **options)
    call.finish()
    return call.tasks


def test_the_text_is_that_of_the_model_also_beyond_its_context(engine):
    (task,) = write(engine, ["O Rome"], Asked(max_tokens=40, sampling=GREEDY))
    assert task.take() == texts.model(engine.name).generate("O Rome", 40, temperature=0)
    assert (task.finish, task.completed) == ("length", 40)


def test_the_same_seed_gives_the_same_text_whatever_runs_beside_it(engine):
    asked = Asked(max_tokens=24, seed=7, sampling=Sampling(0.9, top_p=0.95), stop=("never",), presence=0.5)
    (alone,) = write(engine, ["O Rome"], asked)
    different = [replace(asked, seed=n, max_tokens=30, sampling=Sampling(n / 5, top_k=n)) for n in range(1, 6)]
    others = [engine.call([engine.encode("all" * n)], each) for n, each in enumerate(different, 1)]
    many = engine.call([engine.encode(x) for x in ("be", "O Rome", "to")], asked, choices=3)
    for call in (many, *others):
        call.finish()
    first = alone.take()
    written = [task.take() for task in many.tasks]
    assert written[3] == first and len(set(written)) == 9
    (again,) = write(texts.engine(engine.name), ["O Rome"], asked)  # as after a restart
    assert again.take() == first
    assert usage(many.tasks, 3)["completion_tokens"] == 9 * 24


def test_a_prompt_is_read_in_pieces_of_any_size_to_the_same_text(gpt, monkeypatch):
    asked = Asked(max_tokens=5, seed=1, logprobs=2, echo=True)
    (whole,) = write(gpt, ["O Rome, O Rome"], asked)
    monkeypatch.setattr(scheduling, "PIECE", 3)
    (cut,) = write(gpt, ["O Rome, O Rome"], asked)
    assert cut.tokens == whole.tokens and cut.take() == whole.take()


def test_echo_scores_a_prompt_as_the_model_does(engine):
    ids = engine.encode("O Rome, all")
    (task,) = write(engine, [ids], Asked(max_tokens=0, logprobs=3, echo=True))
    logits = texts.model(engine.name)(Tensor([ids], dtype="int32")).numpy()[0].astype("float64")
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert [token.id for token in task.tokens] == ids and task.tokens[0].logprob is None and task.take() == ""
    for place, token in enumerate(task.tokens[1:]):
        assert token.logprob == pytest.approx(expected[place, token.id], abs=1e-4)
        assert [i for i, _ in token.top] == np.argsort(-expected[place], kind="stable")[:3].tolist()


def test_bias_and_penalties_change_what_is_drawn(gpt):
    a = gpt.encode("a")[0]
    greedy = Asked(max_tokens=6, sampling=GREEDY)
    (task,) = write(gpt, ["O Rome"], replace(greedy, bias={a: 100.0}))
    assert task.take() == "aaaaaa"
    (task,) = write(gpt, ["O Rome"], replace(greedy, bias={a: 100.0}, frequency=60.0))
    assert len(set(task.take())) > 1
    (plain,) = write(gpt, ["O Rome"], greedy)
    best = plain.take()[0]
    (banned,) = write(gpt, ["O Rome"], replace(greedy, bias={gpt.encode(best)[0]: -100.0}))
    assert best not in banned.take()


def test_a_stop_ends_the_text_before_it_and_frees_the_slot(gpt):
    (task,) = write(gpt, ["O Rome"], Asked(max_tokens=40, sampling=GREEDY))
    text = task.take()
    stop = text[7:10]
    (task,) = write(gpt, ["O Rome"], Asked(max_tokens=40, sampling=GREEDY, stop=("zzz", stop), logprobs=0))
    assert task.take() == text[: text.index(stop)] and task.finish == "stop"
    assert gpt.scheduler.busy == 0


def test_a_call_whose_client_left_is_ended_and_the_others_go_on(gpt):
    gone = gpt.call([gpt.encode("O Rome")] * 40, Asked(max_tokens=4000))  # more than there are slots
    stays = gpt.call([gpt.encode("all")], Asked(max_tokens=300, seed=1))
    gpt.scheduler.cancel(gone)
    stays.finish()
    gone.finish()
    assert {task.finish for task in gone.tasks} == {"cancelled"} and stays.tasks[0].completed == 300
    assert gpt.scheduler.busy == 0


def test_a_run_that_fails_fails_what_is_in_it_alone(gpt, monkeypatch, caplog):
    read = gpt.scheduler.program.read
    monkeypatch.setattr(gpt.scheduler.program, "read", lambda *_: 1 / 0)
    with pytest.raises(Failed, match="the run failed"):
        write(gpt, ["O Rome"], Asked())
    assert "ZeroDivisionError" in caplog.text

    def spoilt(slots, positions, ids):
        logits = read(slots, positions, ids)
        logits[[i for i, slot in enumerate(slots) if slot == 0]] = np.nan
        return logits

    monkeypatch.setattr(gpt.scheduler.program, "read", spoilt)
    call = gpt.call([gpt.encode("O Rome"), gpt.encode("all")], Asked(max_tokens=3))
    with pytest.raises(Failed, match="not finite"):
        call.finish()
    assert [task.finish for task in call.tasks] == ["failed", "length"]
    monkeypatch.setattr(gpt.scheduler.program, "read", read)
    assert write(gpt, ["O Rome"], Asked(max_tokens=3))[0].completed == 3


def test_what_is_too_much_is_refused(gpt):
    gpt.scheduler.limit = 4
    calls = [gpt.call([gpt.encode("O")], Asked(max_tokens=4000), owner="a") for _ in range(3)]
    with pytest.raises(Busy, match="raised by needle-serve --max-queue"):
        gpt.call([gpt.encode("O")], Asked(), owner="a")  # three quarters are its share
    calls.append(gpt.call([gpt.encode("O")], Asked(max_tokens=2), owner="b"))
    with pytest.raises(Busy):
        gpt.call([gpt.encode("O")], Asked(), owner="c")
    for call in calls:
        gpt.scheduler.cancel(call)
    for given, kind, message in (
        ("", ServingError, "at least one token"), ("é", ServingError, r"cannot be read: .*U\+00E9"),
        ([65], ServingError, "0 to 64, got 65 to 65"), ("a" * 17, TooLong, "at most 16 tokens at once, got 17"),
    ):  # fmt: skip
        with pytest.raises(kind, match=message):
            gpt.encode(given) if isinstance(given, str) else gpt.checked(given)


def test_text_that_is_far_too_long_is_refused_before_it_is_read(gpt, monkeypatch):
    monkeypatch.setattr(gpt.tokenizer, "encode", None)
    with pytest.raises(TooLong, match="got 1000 or more"):
        gpt.encode("a" * 1000)


def test_a_greedy_owner_does_not_starve_the_others(gpt):
    order, lock = [], threading.Lock()

    def ask(owner):
        write(gpt, ["O Rome"] * 12, Asked(max_tokens=60), owner=owner)
        with lock:
            order.append(owner)

    threads = [threading.Thread(target=ask, args=("greedy",)) for _ in range(8)]  # 96 texts, for 24 slots at once
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while gpt.scheduler.busy < 8 and time.monotonic() < deadline:
        time.sleep(0.001)
    modest = threading.Thread(target=ask, args=("modest",))
    modest.start()
    for thread in (*threads, modest):
        thread.join(60)
    assert order.index("modest") < 5 and order.count("greedy") == 8


def test_an_engine_that_is_let_go_ends_what_it_began(gpt):
    call = gpt.call([gpt.encode("O Rome")], Asked(max_tokens=50))
    gpt.close()
    late = gpt.call([gpt.encode("all")], Asked(max_tokens=3))  # of a request that had the model before
    call.finish()
    late.finish()
    assert (call.tasks[0].completed, late.tasks[0].completed) == (50, 3)
    deadline = time.monotonic() + 10
    while gpt.scheduler._thread is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert gpt.scheduler._thread is None


def test_embeddings_are_means_of_the_last_hidden_states(engine):
    ids = [engine.encode("O Rome"), engine.encode("all")]
    found = engine.embed(ids)
    states = texts.model(engine.name).features(Tensor(ids[:1], dtype="int32")).numpy()[0].mean(axis=0)
    np.testing.assert_allclose(found[0], states / np.linalg.norm(states), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


def test_a_file_of_the_decoding_step_is_served_like_the_model(tmp_path):
    decoding_graph(texts.model("gpt-char"), slots=3).save(tmp_path / "x.nd")
    model = load.load(Source("x", tmp_path / "x.nd"))
    assert (model.usage, model.max_batch) == ("text", 3)
    (task,) = write(model.text, ["O Rome"], Asked(max_tokens=9, sampling=GREEDY))
    assert task.take() == texts.model("gpt-char").generate("O Rome", 9, temperature=0)
    with pytest.raises(ServingError, match="gives no embeddings"):
        model.text.embed([[1]])
    model.close()


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("name", ["gpt-char", "lstm-char"])
def test_the_compiled_program_writes_the_same_text(name, tmp_path, monkeypatch):
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path))
    path = texts.save(name, tmp_path / "x.safetensors")
    asked, found = Asked(max_tokens=30, seed=4, logprobs=1), []
    for each in ("instant", "compiled"):
        engine = load.load(Source("x", path, each)).text
        found.append([task.take() for task in write(engine, ["O Rome", "all"], asked, choices=2)])
        engine.close()
    assert found[0] == found[1]


def test_a_program_that_answers_wrongly_is_not_served():
    graph = decoding_graph(texts.model("gpt-char"), slots=1)
    program = program_of(graph, "x", 1)
    read = program.read
    program.read = lambda *given: read(*given) + 1
    with pytest.raises(ServingError, match="not to be trusted"):
        check_program("x", program, graph)
