"""Comparing commits: each side's own process and its own files, and what a side lacks is a row, not a crash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import builds
from bench.against import EndedError, Side, measure
from bench.case import Case
from bench.cases import GROUPS
from bench.timing import Turns
from needle.backend_ndarray import ndarray_backend_cpu

pytestmark = pytest.mark.thorough
ROOT = builds.ROOT
CASE = Case("sum of 8x8", "eager.sum_", (8,), Turns(rounds=2, lasts=1e-4, pause=0, warm=False))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(builds, "STORE", tmp_path / "store")
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this needle and its extension, which an editable installation keeps elsewhere."""
    tree = tmp_path_factory.mktemp("whole")
    for part in ("needle", "deploy", "zoo", "csrc"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("*.so", "*.safetensors", "__pycache__"))
    shutil.copy2(ndarray_backend_cpu.__file__, tree / "needle" / "backend_ndarray")
    return tree


def side(name: str, tree: Path, needle: str | None = None) -> Side:
    """A side that runs in `tree`, where `needle` is the text of all its package, if given."""
    if needle is not None:
        (tree / "needle").mkdir(parents=True)
        (tree / "needle" / "__init__.py").write_text(needle)
    return Side(name, tree, GROUPS["eager"])


def test_both_sides_run_the_case_in_processes_of_their_own(whole: Path, store: Path) -> None:
    with side("old", whole) as old, side("new", whole) as new:
        row = measure("eager", CASE, old, new)
        processes = [old.process, new.process]
        assert len({process.pid for process in processes if process} | {os.getpid()}) == 3
    assert row.ratio is not None and row.first and row.second and not row.note and not row.lost
    assert all(process and process.returncode == 0 for process in processes)


def test_what_a_side_lacks_is_shown_as_missing(whole: Path, store: Path) -> None:
    with side("old", store / "a", "") as old, side("new", whole) as new:
        row = measure("eager", CASE, old, new)
    assert row.note.startswith("missing in old: ModuleNotFoundError: ") and row.ratio is None and not row.lost
    with side("old", whole) as old, side("new", store / "b", "raise AttributeError('no | sum')") as new:
        row = measure("eager", CASE, old, new)
    assert row.note == "missing in new: AttributeError: no / sum" and row.lost


def test_a_process_that_dies_is_a_missing_row_and_the_next_case_has_a_new_one(whole: Path, store: Path) -> None:
    crash = (
        "import os, signal, pathlib\nfirst = pathlib.Path(__file__).with_name('first')\n"
        "if not first.exists():\n    first.touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "raise ImportError('second')"
    )
    with side("old", store / "a", crash) as old, side("new", whole) as new:
        assert measure("eager", CASE, old, new).note == "missing in old: the process of old ended with SIGKILL"
        assert measure("eager", CASE, old, new).note == "missing in old: ImportError: second"


def test_a_process_that_dies_while_it_measures_is_that_side_s_failure(whole: Path, store: Path) -> None:
    with side("old", whole) as old:
        assert old.prepare("eager", CASE) == "" and old.timer()(2) > 0
        assert old.process
        old.process.kill()
        with pytest.raises(EndedError, match="the process of old ended with SIGKILL") as caught:
            old.timer()(1)
        assert caught.value.side is old


def test_a_room_that_a_commit_lacks_is_not_taken_from_elsewhere(whole: Path, store: Path) -> None:
    """As an editable installation would: its finder comes before the path."""
    code = (
        "import sys, pathlib; from bench.child import isolate\n"
        "class Finder:\n    @staticmethod\n    def find_spec(*rest): raise SystemExit('found elsewhere')\n"
        "sys.meta_path.insert(0, Finder); sys.meta_path.append(Finder()); isolate(pathlib.Path())\n"
        "try: import a_room_that_is_nowhere\nexcept ImportError: print('missing')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "missing\n", done.stderr
    with side("old", store / "a") as old:
        shutil.copytree(whole / "needle", store / "a" / "needle")
        assert "deploy" in old.prepare("compiled", GROUPS["compiled"].cases[0])
        assert old.prepare("eager", CASE) == ""


@pytest.fixture
def repository(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with the parts of ours, whose extension is a file that says how often it was compiled."""
    root = tmp_path / "repository"
    names = ("csrc/a.h", "csrc/b.h", "needle/x.py", "needle/backend_ndarray/y.py", "bench/x.py", "CMakeLists.txt")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    (root / ".gitignore").write_text("*.so")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    compiled: list[str] = []

    def cmake(tree: Path, made: Path, name: str) -> None:
        compiled.append(name)
        made.mkdir(parents=True)
        (made / "extension.so").write_text(str(len(compiled)))

    monkeypatch.setattr(builds, "ROOT", root)
    monkeypatch.setattr(builds, "run_cmake", cmake)
    return root


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def extension(tree: Path) -> str:
    return (tree / "needle" / "backend_ndarray" / "extension.so").read_text()


def test_a_commit_s_folder_holds_its_files_without_bench(repository: Path) -> None:
    (repository / "needle" / "x.py").write_text("2")
    name, tree = builds.commit("HEAD")
    assert tree.name == name and (tree / "needle" / "x.py").read_text() == "1" and not (tree / "bench").exists()
    assert builds.commit("HEAD") == builds.commit(name) == (name, tree)


def test_the_working_tree_s_folder_follows_it_and_leaves_the_rest_untouched(repository: Path) -> None:
    tree = builds.working_tree()
    kept = (tree / "csrc" / "a.h").stat().st_mtime_ns
    (repository / "csrc" / "b.h").write_text("2")
    (repository / "needle" / "x.py").unlink()
    (repository / "needle" / "new.py").write_text("new")
    (repository / "needle" / "ignored.so").touch()
    assert builds.working_tree() == tree
    assert (tree / "csrc" / "a.h").stat().st_mtime_ns == kept and (tree / "csrc" / "b.h").read_text() == "2"
    assert (tree / "needle" / "new.py").exists() and not (tree / "needle" / "x.py").exists()
    assert not (tree / "needle" / "ignored.so").exists()


def test_the_same_sources_are_compiled_once(repository: Path) -> None:
    (repository / "needle" / "x.py").write_text("2")
    assert extension(builds.commit("HEAD")[1]) == extension(builds.working_tree()) == "1"
    (repository / "csrc" / "a.h").write_text("2")
    assert extension(builds.working_tree()) == "2"
    (repository / "csrc" / "a.h").write_text("1")
    assert extension(builds.working_tree()) == "1"


def test_what_cannot_be_compared_is_one_sentence(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for revision in ("nothing", "--all", "HEAD:csrc"):
        with pytest.raises(builds.RefusedError, match="needs a commit, and git knows none"):
            builds.commit(revision)
    git(repository, "rm", "-rq", "csrc")
    git(repository, "commit", "-qm", "second")
    with pytest.raises(builds.RefusedError, match=r"needs csrc, CMakeLists.txt and needle in the commit"):
        builds.commit("HEAD")
    with builds.store(), pytest.raises(builds.RefusedError, match="another comparison"), builds.store():
        pass
    monkeypatch.setattr(builds, "ROOT", repository.parent)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent.parent))
    with pytest.raises(builds.RefusedError, match="is not a git repository"):
        builds.commit("HEAD")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_sources_that_do_not_compile_are_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("pybind11")
    (tmp_path / "CMakeLists.txt").write_text('message(FATAL_ERROR "the reason")')
    with pytest.raises(builds.RefusedError, match=r"it does not compile; .*build\.log says why"):
        builds.run_cmake(tmp_path, tmp_path / "made", "it")
    assert "the reason" in (tmp_path / "build.log").read_text()
