"""The cache: each folder is whole, made once, and nothing is left beside it, not by who was killed either."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from deploy import Graph, cache
from deploy.cache import _locked
from deploy.compiler import compiler
from deploy.errors import BuildError
from deploy.generate import Generated, generate
from deploy.ir import Input, Node, apply
from deploy.lower import lower
from needle import ops
from needle.types import Type


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
def test_a_child_that_was_forked_under_a_lock_does_not_keep_it(tmp_path: Path) -> None:
    folder, (wait, end) = tmp_path / "a", os.pipe()
    with _locked(folder):
        path = tmp_path / ".a.lock"
        again = path.open("w")
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = os.fork()
        if child == 0:
            os.close(end)
            os.read(wait, 1)  # until the parent has looked
            os._exit(0)
    try:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        again.close()
        os.close(end)
        os.waitpid(child, 0)
        os.close(wait)
    assert not path.exists()


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generated:
    try:
        compiler()
    except BuildError:
        pytest.skip("needs a C++ compiler, whose version is part of the key")
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path))
    x = Node(Input("x"), (), Type((2,)))
    return generate(lower(Graph((x,), (("y", apply(ops.ReLU(), x)),))), "small")


def test_a_folder_is_made_once_and_nothing_is_left_beside_it(generated: Generated, tmp_path: Path) -> None:
    filled: list[Path] = []

    def fill(work: Path) -> None:
        filled.append(work)
        (work / "library").write_text("whole")
        time.sleep(0.05)

    assert cache.found(generated) is None
    threads = [threading.Thread(target=cache.made, args=(generated, fill)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder, seconds = cache.made(generated, fill)
    assert len(filled) == 1 and seconds == 0 and (folder / "library").read_text() == "whole"
    assert cache.found(generated) == folder and [x.name for x in (tmp_path / "compiled").iterdir()] == [folder.name]


def test_what_a_killed_process_left_goes_when_the_folder_is_made(generated: Generated, tmp_path: Path) -> None:
    key = cache.key(generated)
    left = tmp_path / "compiled" / f".building-{key}"
    left.mkdir(parents=True)
    (left / "half.o").write_text("half")
    left.with_name(f".{key}.lock").touch()
    folder, _ = cache.made(generated, lambda work: (work / "library").touch())
    assert {x.name for x in folder.iterdir()} == {"library", cache.RECORD}
    assert [x.name for x in (tmp_path / "compiled").iterdir()] == [folder.name]


def test_a_folder_that_could_not_be_filled_is_not_there(generated: Generated, tmp_path: Path) -> None:
    def fail(work: Path) -> None:
        (work / "half").touch()
        raise BuildError("[build] no")

    with pytest.raises(BuildError):
        cache.made(generated, fail)
    assert not list((tmp_path / "compiled").iterdir()) and cache.found(generated) is None
