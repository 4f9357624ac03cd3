"""Learning-rate schedules: their shapes, their order, their ends, and going on from a state."""

import numpy as np
import pytest

import needle as ndl
from needle import optim
from needle.errors import NeedleError, SettingError

pytestmark = pytest.mark.both_modes
SCHEDULES = [
    lambda o, steps: optim.CosineSchedule(o, steps, warmup=3, final=0.01),
    lambda o, steps: optim.LinearSchedule(o, steps, warmup=3),
    lambda o, steps: optim.LinearWarmup(o, steps, 5),
    lambda o, steps: optim.OneCycle(o, steps),
    lambda o, steps: optim.StepDecay(o, steps, at=(4, 8)),
]


def optimizer(lr=0.5):
    return optim.SGD([ndl.Tensor([1.0])], lr=lr)


def rates(schedule):
    """The rates of its updates, read from the optimizer as a training loop leaves them."""
    found = []
    for _ in range(schedule.steps):
        found.append(schedule.optimizer.lr)
        schedule.step()
    return found


def test_one_cycle_rises_then_falls():
    rates = [optim.one_cycle(step, 100, peak=0.5) for step in range(100)]
    assert rates[0] == pytest.approx(0.5 / 25) and rates[-1] == pytest.approx(0.5 / 25 / 1e4, rel=1e-3)
    top = int(np.argmax(rates))
    assert 27 <= top <= 31 and rates[top] == pytest.approx(0.5, rel=1e-2)
    assert all(np.diff(rates[: top + 1]) > 0) and all(np.diff(rates[top:]) < 0)


def test_cosine_falls_from_peak_to_final_after_its_warmup():
    rates = [optim.cosine(step, 100, peak=1.0, final=0.1, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55) and rates[100] == pytest.approx(0.1)


def test_linear_rises_then_falls_on_straight_lines():
    got = rates(optim.LinearSchedule(optimizer(1.0), 10, warmup=4, final=0.25))
    np.testing.assert_allclose(got, [0.25, 0.5, 0.75, 1, *np.linspace(1, 0.25, 7)[:-1]])


def test_warmup_and_steps():
    np.testing.assert_allclose(rates(optim.LinearWarmup(optimizer(1.0), 6, 4)), [0.25, 0.5, 0.75, 1, 1, 1])
    got = rates(optim.StepDecay(optimizer(1.0), 6, at=(4, 2), factor=0.5))
    np.testing.assert_allclose(got, [1, 1, 0.5, 0.5, 0.25, 0.25])


def test_objects_follow_the_functions():
    cosine = rates(optim.CosineSchedule(optimizer(), 40, warmup=5, final=0.1))
    assert cosine == [optim.cosine(step, 40, 0.5, final=0.1, warmup=5) for step in range(40)]
    assert rates(optim.OneCycle(optimizer(), 9, rise=0.4)) == [optim.one_cycle(s, 9, 0.5, rise=0.4) for s in range(9)]
    assert rates(optim.LinearSchedule(optimizer(), 9, peak=3.0)) == [optim.linear(step, 9, 3.0) for step in range(9)]


@pytest.mark.parametrize("make", SCHEDULES)
def test_the_end_is_the_end(make):
    schedule = make(optimizer(), 10)
    rates(schedule)
    assert schedule.optimizer.lr == schedule.lr == schedule.rate(9)
    with pytest.raises(NeedleError, match="the schedule ends after 10 steps, this is step 11: give it as man"):
        schedule.step()


def test_a_training_step_beyond_the_schedule_changes_nothing():
    param = ndl.nn.Parameter(ndl.Tensor([2.0]))
    opt = optim.SGD([param], lr=0.1)
    step = ndl.TrainStep(ndl.nn.Identity(), lambda x, y: (param * x).sum(), opt, optim.LinearSchedule(opt, 2))
    batch = ndl.Tensor([1.0]), ndl.Tensor([0.0])
    assert [step(*batch)["lr"] for _ in range(2)] == pytest.approx([0.1, 0.05])
    before = param.numpy().item()
    with pytest.raises(NeedleError, match="ends after 2 steps, this is step 3"):
        step(*batch)
    assert param.numpy().item() == before


@pytest.mark.parametrize("make", SCHEDULES)
def test_going_on_from_a_state(make):
    whole = rates(make(optimizer(), 12))
    first, second = make(optimizer(), 12), make(optimizer(), 12)
    for _ in range(7):
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.optimizer.lr == second.lr == whole[7]
    with pytest.raises(NeedleError, match="a schedule of 5 steps cannot go on after step 7"):
        make(optimizer(), 5).load_state_dict(first.state_dict())


def test_the_schedule_owns_the_rate_of_its_optimizer():
    opt = optimizer()
    schedule = optim.LinearSchedule(opt, 10)
    schedule.step()
    schedule.peak = 0.25  # by hand: for all updates from the next step on
    schedule.step()
    again = optimizer()
    resumed = optim.LinearSchedule(again, 20)
    again.lr = 7.0
    resumed.load_state_dict(schedule.state_dict())
    assert (resumed.peak, resumed.taken) == (0.25, 2)
    assert again.lr == optim.linear(2, 20, 0.25)  # that of the longer schedule, as it is continued


def test_a_rate_set_by_hand_under_a_schedule_holds_for_one_update_after_resuming_too():
    opt, again = optimizer(), optimizer()
    schedule, resumed = optim.CosineSchedule(opt, 10), optim.CosineSchedule(again, 10)
    schedule.step()
    opt.lr = 0.125
    resumed.load_state_dict(schedule.state_dict())
    assert again.lr == 0.125
    for each in (schedule, resumed):
        each.step()
    assert again.lr == opt.lr == schedule.lr


def test_a_state_from_before_the_peak_belonged_to_it():
    schedule = optim.OneCycle(optimizer(), 10, peak=2.0)
    schedule.load_state_dict({"taken": np.array(4)})
    assert schedule.peak == 2.0 and schedule.optimizer.lr == schedule.lr == optim.one_cycle(4, 10, 2.0)
    with pytest.raises(NeedleError, match=r"\[OneCycle\] peak of the state must be one finite number, got nan"):
        schedule.load_state_dict({"taken": np.array(4), "peak": np.array(np.nan)})


def test_what_makes_no_sense_is_refused():
    with pytest.raises(SettingError, match="at least 1 step and a warmup within them, got 0 and 0"):
        optim.CosineSchedule(optimizer(), 0)
    with pytest.raises(SettingError, match="got 5 and 6"):
        optim.LinearWarmup(optimizer(), 5, 6)
    with pytest.raises(NeedleError, match=r"\[CosineSchedule\] needs an optimizer first, got a int"):
        optim.CosineSchedule(5, 10)
    with pytest.raises(SettingError, match=r"\[StepDecay\] at must be the steps, such as \[5\], got 5"):
        optim.StepDecay(optimizer(), 10, at=5)
    with pytest.raises(SettingError, match=r"\[StepDecay\] at must be a number, got str"):
        optim.StepDecay(optimizer(), 10, at=[5, "7"])


def test_parity_with_pytorch():
    torch = pytest.importorskip("torch")

    def theirs(make):
        opt = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        schedule, found = make(opt), []
        for _ in range(20):
            found.append(opt.param_groups[0]["lr"])
            opt.step()
            schedule.step()
        return found

    kinds = torch.optim.lr_scheduler
    ours = rates(optim.CosineSchedule(optimizer(), 20, final=0.05))
    np.testing.assert_allclose(ours, theirs(lambda o: kinds.CosineAnnealingLR(o, 20, eta_min=0.05)), rtol=1e-9)
    ours = rates(optim.StepDecay(optimizer(), 20, at=[5, 9], factor=0.3))
    np.testing.assert_allclose(ours, theirs(lambda o: kinds.MultiStepLR(o, [5, 9], 0.3)), rtol=1e-9)
    ours = rates(optim.LinearSchedule(optimizer(), 20, final=0.1))
    np.testing.assert_allclose(ours, theirs(lambda o: kinds.LinearLR(o, 1.0, 0.2, 20)), rtol=1e-9)
