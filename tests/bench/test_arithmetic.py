"""The arithmetic of the benchmarks: ratios, spreads, turns, and where the machine's time went."""

import pytest

from bench.load import Reading, Share, Watch, between, percent
from bench.table import Row, compared, quantity
from bench.timing import Comparison, Turns, calibrated, interleaved


def test_the_ratio_is_the_median_of_the_rounds_and_not_of_the_medians() -> None:
    ours = [1.0, 1.0, 1.0, 3.0, 3.0]  # the machine got three times slower in the third round, before the peer's turn
    peer = [2.0, 2.0, 6.0, 6.0, 6.0]
    assert Comparison.of(peer, ours).ratio == 2.0  # of medians it would be 6


def test_the_spread_is_the_interquartile_range_over_the_median() -> None:
    found = Comparison.of([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert found.ratio == 3.0 and found.spread == pytest.approx((4 - 2) / 3) and found.noisy
    assert Comparison.of([2.0, 4.0], [1.0, 2.0]) == Comparison(2.0, 0.0)


def test_one_outlier_makes_no_row_noisy_and_two_speeds_do() -> None:
    assert not Comparison.of([1.0] * 7 + [149.0], [1.0] * 8).noisy
    assert Comparison.of([1.0] * 4 + [2.0] * 4, [1.0] * 8).noisy


def test_a_spread_of_exactly_the_limit_is_not_noisy() -> None:
    assert not Row("x", ratio=1.0, spread=0.15).noisy and not Comparison(1.0, 0.15).noisy
    assert Row("x", ratio=1.0, spread=0.151).noisy and Comparison(1.0, 0.151).noisy


@pytest.mark.parametrize("rounds", [0, 1])
def test_no_spread_without_two_rounds(rounds: int) -> None:
    with pytest.raises(ValueError, match="two"):
        Comparison.of([1.0] * rounds, [1.0] * rounds)


def test_both_lists_have_a_time_of_each_round() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Comparison.of([1.0, 2.0, 3.0], [1.0, 2.0])


def test_programs_take_turns_and_the_order_is_swapped_every_round() -> None:
    asked: list[str] = []

    def program(name: str, seconds: float):
        def timer(calls: int) -> float:
            asked.append(name)
            return calls * seconds

        return timer

    times = interleaved([program("A", 0.5), program("B", 0.25)], Turns(rounds=4, lasts=0.001, pause=0, warm=False))
    assert asked[:2] == ["A", "B"]  # the calibration
    assert asked[2:] == ["B", "A", "A", "B", "B", "A", "A", "B", "B", "A"]  # the first round does not count
    assert times == [[0.5] * 4, [0.25] * 4]


def test_each_program_is_called_as_often_as_fills_a_turn() -> None:
    first = [10.0]  # a first call that sets things up

    def timer(calls: int) -> float:
        return first.pop() if first else calls * 1e-5

    assert calibrated(timer, lasts=0.3) == 30_000
    assert calibrated(timer, lasts=0.02) == 2000
    assert calibrated(lambda calls: calls * 5.0, lasts=0.02) == 1


def test_rows_show_the_ratio_the_spread_and_the_mark() -> None:
    faster = compared("f", [1.0, 1.0], [2.0, 2.0], "numpy")
    assert str(faster) == "| f | 1 s | 2 s numpy | **2.00x** | 0.0 % |"
    assert compared("f", [1.0, 1.0], [2.0, 2.0], invert=True).ratio == 0.5
    noisy = compared("f", [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0])
    assert noisy.noisy and str(noisy).endswith("| 1.50x | 67 % *noisy* |")
    assert str(Row("f", 1e-3, label="numpy", note="does not run here")) == "| f | 1 ms | numpy | does not run here | |"


def test_durations_and_fractions_have_units() -> None:
    assert [quantity(x) for x in (12.3456, 0.0123456, 12.3e-6, 45e-9)] == ["12.3 s", "12.3 ms", "12.3 µs", "45 ns"]
    assert [quantity(x, "B") for x in (512.0, 1.5e6, 2e9)] == ["0.512 kB", "1.5 MB", "2 GB"]
    assert [percent(x) for x in (0.0, 0.0123, 0.0994, 0.0996, 0.5)] == ["0.0 %", "1.2 %", "9.9 %", "10 %", "50 %"]


def test_where_the_time_of_the_processors_went() -> None:
    start = Reading.parse("cpu  100 10 40 800 50 0 0 0 0 0", own=1.0)
    end = Reading.parse("cpu  180 10 60 880 50 5 5 10 30 0", own=1.5)  # two seconds in all, guests' inside user's
    share = between(start, end)
    assert share is not None and share.others == pytest.approx((1.1 - 0.5) / 2) and share.steal == pytest.approx(0.05)
    assert share.busy and "30 %" in str(share) and "5.0 %" in str(share)
    assert between(start, start) is None and between(None, end) is None and between(start, None) is None


def test_our_own_time_does_not_make_the_machine_busy() -> None:
    start = Reading.parse("cpu 0 0 0 0 0 0 0 0", own=0.0)
    share = between(start, Reading.parse("cpu 100 0 0 100 0 0 0 0", own=1.01))
    assert share == Share(0.0, 0.0) and not share.busy
    assert Share(0.0, 0.2).busy and Share(0.2, 0.0).busy  # steal counts like other processes


def test_without_proc_the_load_average_at_the_beginning_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reading, "now", classmethod(lambda cls: None))
    for load, busy in ((0.1, ""), (2.0, "the load average was 2.00")):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        with Watch() as watch:
            pass
        assert watch.busy == busy and f"{load:.2f}" in str(watch)
