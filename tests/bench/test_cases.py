"""The one list of cases: every row leads to a function, names select, and what was measured is written or kept."""

import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as command
from bench.against import failures, summary
from bench.case import Case, Group, Sides, select
from bench.cases import GROUPS
from bench.group import rows
from bench.table import Row
from bench.timing import Turns

CASES = [case for group in GROUPS.values() for case in group.cases]


def test_every_row_leads_to_a_function_that_takes_its_sizes() -> None:
    for case in CASES:
        module, name = case.make.split(".")
        function = getattr(import_module(f"bench.cases.{module}"), name)
        inspect.signature(function).bind(*case.sizes)
        assert case.turns.rounds >= 4 and "|" not in case.name


def test_names_are_unique() -> None:
    names = [case.name for case in CASES] + list(GROUPS)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "key", ["eager", "maps", *(pytest.param(key, marks=pytest.mark.thorough) for key in ("kernels", "convolutions"))]
)
def test_every_case_of_a_kernel_finds_it(key: str) -> None:
    for case in GROUPS[key].cases:
        case.build().ours()


def groups() -> dict[str, Group]:
    cases = {"maps": ("exp 4", "exp 8", "log"), "sums": ("sum", "mean")}
    return {
        key: Group(key, 1, (), tuple(Case(name, "maps.exp", (), Turns()) for name in names))
        for key, names in cases.items()
    }


def test_names_select_groups_and_beginnings_of_cases() -> None:
    def chosen(*names: str) -> dict[str, list[str]]:
        return {key: [case.name for case in cases] for key, cases in select(groups(), names).items()}

    assert chosen() == {"maps": ["exp 4", "exp 8", "log"], "sums": ["sum", "mean"]}
    assert chosen("sums") == {"sums": ["sum", "mean"]}
    assert chosen("EXP", "mean") == {"maps": ["exp 4", "exp 8"], "sums": ["mean"]}
    assert chosen("exp 8", "maps") == {"maps": ["exp 4", "exp 8", "log"]}
    for unknown in ("product", "map"):
        with pytest.raises(KeyError, match=unknown):
            chosen("sums", unknown)


ROWS = [
    Row("fine", 1.0, 1.0, ratio=0.98, spread=0.01),
    Row("slow", 1.0, 1.0, ratio=0.9, spread=0.01),
    Row("unknown", 1.0, 1.0, ratio=0.5, spread=0.4),
    Row("new", note="missing in the commit"),
    Row("gone", note="missing in the working tree", lost=True),
]


def test_what_fails_is_slower_beyond_noise_or_gone() -> None:
    assert failures(ROWS, 0.97) == [
        "slow is at 0.900x, below 0.97x",
        "gone runs in the commit and not in the working tree",
    ]
    assert failures(ROWS[:1], 0.98) == [] and len(failures(ROWS[:1], 0.99)) == 1


def test_the_summary_leaves_out_what_is_noisy() -> None:
    assert summary(ROWS) == "geometric mean 0.939x over 2 rows; noisy: 1, missing: 2"
    assert summary(ROWS[3:]) == "no row counts; noisy: 0, missing: 2"


@pytest.mark.parametrize(
    ("reasons", "force", "written"), [([], False, True), (["busy"], False, False), (["busy"], True, True)]
)
def test_a_busy_run_does_not_replace_the_report_of_a_quiet_one(
    reasons: list[str], force: bool, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    report = tmp_path / "benchmarks.md"
    report.write_text("quiet")
    monkeypatch.setattr(command, "REPORT", report)
    command.publish("table", reasons, force)
    assert report.read_text() == ("table\n" if written else "quiet")
    assert written or "benchmarks.md stays as it was; --force overwrites it. Reasons: busy" in capsys.readouterr().err


def test_a_group_without_its_library_is_skipped_and_one_that_fails_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case("made up", "maps.exp", (), Turns())  # which the group's process does not know
    monkeypatch.setattr(command.load, "look", lambda: "")
    for key, needs, status in (("skipped", ("a_library_of_nobody",), 0), ("failing", (), 1)):
        monkeypatch.setattr(command, "GROUPS", {key: Group(key, 1, needs, (case,))})
        assert command.main(["made up"]) == status
        assert f"{key}: {key.replace('ing', 'ed')}" in capsys.readouterr().err


def test_a_row_for_each_peer_and_a_note_for_one_that_cannot_be_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise RuntimeError("no compiler | here\nand more")

    def make(size: int) -> Sides:
        return Sides(lambda: size, {"one": lambda: lambda: size, "two": refuses})  # type: ignore[dict-item, return-value]

    monkeypatch.setitem(sys.modules, "bench.cases.made_up", SimpleNamespace(make=make))  # type: ignore[arg-type]
    made_up = Case("made up", "made_up.make", (1,), Turns(rounds=2, lasts=1e-4, pause=0, warm=False))
    one, two = rows(made_up, cost=False)
    assert one.label == "one" and one.ratio and one.spread is not None and not one.note
    assert two.label == "two" and two.first == one.first and two.ratio is None
    assert two.note == "does not run here: RuntimeError: no compiler / here"


def test_amounts_are_compared_as_they_are_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = Sides(lambda: 3e6, {"other": lambda: lambda: 6e6}, unit="B")
    monkeypatch.setitem(sys.modules, "bench.cases.made_up", SimpleNamespace(make=lambda: sides))  # type: ignore[arg-type]
    (row,) = rows(Case("made up", "made_up.make", (), Turns()), cost=False)
    assert str(row) == "| made up | 3 MB | 6 MB other | **2.00x** | 0.0 % |"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"], ["--force", "maps"], ["matmul", "nothing"], ["against"], ["against", "HEAD", "nothing"],
        ["against", "HEAD", "loader"], ["against", "HEAD", "--worst", "nan"], ["against", "HEAD", "--worst", "-1"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.run(arguments)
    assert caught.value.code == 2 and "error: " in capsys.readouterr().err
