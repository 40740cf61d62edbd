"""Gates and verdicts, each case as one would decide it by hand."""

from dataclasses import replace

import numpy as np
import pytest

from fimble.events import Unit
from fimble.experiments import Looks
from telemetry.experiments.days import COUNTS, ArmLosses, UserDays
from telemetry.experiments.gates import Gate, check_gates, same_share, sample_ratio
from telemetry.experiments.verdict import Comparison, Decision, Harm, decide, harm_of
from tests.telemetry.experiments.registrations import experiment

PASSED = Gate(name="sample_ratio", is_passed=True, finding="")


def compared(
    effect: float, half: float, *, arm: str = "new-1", metric: str = "taken_per_opportunity"
) -> Comparison:
    return Comparison(
        arm=arm,
        metric=metric,
        control=0.2,
        treatment=0.2 + effect,
        effect=effect,
        low=effect - half,
        high=effect + half,
        standard_error=half / 3,
        p_value=0.01 if abs(effect) > half else 0.5,
        num_control_users=100,
        num_treatment_users=100,
        is_adjusted=True,
    )


@pytest.mark.parametrize(
    ("effect", "half", "decision"),
    [
        (0.03, 0.02, Decision.SHIP),  # better, if not by what was hoped for
        (0.03, 0.04, Decision.UNDECIDED),
        (0.0, 0.04, Decision.STOP),  # better by less than what is worth it, if at all
        (-0.03, 0.02, Decision.STOP),
        (-0.03, 0.09, Decision.UNDECIDED),
    ],
)
def test_the_interval_decides(effect: float, half: float, decision: Decision) -> None:
    found = decide(
        experiment(), gates=[PASSED], main=[compared(effect, half)], guardrails=[], is_over=False
    )
    assert found.decision is decision
    assert (found.arm == "new-1") is (decision is Decision.SHIP)
    assert bool(found.needed) is (decision is Decision.UNDECIDED)


def test_what_is_needed_is_counted_in_data() -> None:
    """To find 0.05 with bounds for any look takes a standard error of 0.05 / 3.88."""
    found = decide(
        experiment(), gates=[PASSED], main=[compared(0.01, 0.12)], guardrails=[], is_over=True
    )
    assert "9.6 times the data" in found.needed  # (0.04 * 3.877 / 0.05) ** 2
    enough = decide(
        experiment(), gates=[PASSED], main=[compared(0.04, 0.038)], guardrails=[], is_over=True
    )
    assert enough.decision is Decision.SHIP


def test_before_its_one_look_an_experiment_is_said_to_wait() -> None:
    once, slow = experiment(looks=Looks.ONCE), compared(0.3, 0.01, metric="error_rate")
    waiting = decide(once, gates=[PASSED], main=[], guardrails=[slow], is_over=False)
    assert (waiting.decision, waiting.needed) == (
        Decision.UNDECIDED,
        "wait until it is over, on 2026-09-15",
    )
    assert "it allows one look, at its end" in waiting.reasons[-1]
    few = decide(once, gates=[PASSED], main=[], guardrails=[], is_over=True)
    assert few.needed.startswith("ten users in each arm")
    harm = replace(slow, harm=Harm.FOUND)
    stopped = decide(once, gates=[PASSED], main=[], guardrails=[harm], is_over=False)
    assert (stopped.decision, stopped.roll_back) == (Decision.STOP, ("new-1",))
    other = replace(harm, arm="new-2")
    more = decide(
        experiment(num_arms=3, looks=Looks.ONCE),
        gates=[PASSED],
        main=[],
        guardrails=[other],
        is_over=False,
    )
    assert (more.decision, more.roll_back) == (Decision.UNDECIDED, ("new-2",))
    assert more.needed == waiting.needed


def test_a_failed_gate_comes_before_every_result() -> None:
    failed = Gate(name="sample_ratio", is_passed=False, finding="users: control 500, new 400")
    found = decide(
        experiment(),
        gates=[PASSED, failed],
        main=[compared(0.1, 0.01)],
        guardrails=[],
        is_over=True,
    )
    assert found.decision is Decision.UNDECIDED
    assert found.reasons == ("sample_ratio: users: control 500, new 400",)


def test_an_arm_that_breaks_a_guardrail_is_rolled_back_and_never_shipped() -> None:
    slow = Comparison(
        **{
            **{name: getattr(compared(0.1, 0.03), name) for name in Comparison.__slots__},
            "metric": "slow_rate",
            "harm": Harm.FOUND,
        }
    )
    both = [compared(0.1, 0.01), compared(0.05, 0.01, arm="new-2")]
    found = decide(
        experiment(num_arms=3), gates=[PASSED], main=both, guardrails=[slow], is_over=False
    )
    assert (found.decision, found.arm, found.roll_back) == (Decision.SHIP, "new-2", ("new-1",))
    alone = decide(experiment(), gates=[PASSED], main=both[:1], guardrails=[slow], is_over=False)
    assert (alone.decision, alone.roll_back) == (Decision.STOP, ("new-1",))


@pytest.mark.parametrize(
    ("effect", "half", "harm"),
    [
        (0.03, 0.02, Harm.FOUND),
        (0.015, 0.01, Harm.OPEN),  # certainly slower, but by less than is allowed
        (0.03, 0.04, Harm.OPEN),
        (0.0, 0.01, Harm.EXCLUDED),
        (-0.05, 0.01, Harm.EXCLUDED),
    ],
)
def test_a_guardrail_tells_harm_from_ignorance(effect: float, half: float, harm: Harm) -> None:
    assert harm_of(compared(effect, half, metric="slow_rate"), 0.02) is harm
    assert harm_of(compared(-effect, half, metric="served_rate"), 0.02) is harm


def test_arms_that_do_not_get_their_share_of_users_are_found_out() -> None:
    assert sample_ratio(experiment(), [500, 520]).is_passed
    assert not sample_ratio(experiment(), [500, 620]).is_passed
    assert sample_ratio(experiment(), [0, 0]).is_passed
    # By hand: (560 - 500)**2 / 560 + (620 - 560)**2 / 560 = 12.86; p = 0.00034.
    assert "p = 0.000336" in sample_ratio(experiment(), [500, 620]).finding


def days(*, keyless: int = 0, crossed: int = 0) -> UserDays:
    user = np.arange(100)
    return UserDays(
        user=user,
        day=np.zeros(100, dtype=int),
        arm=user % 2,
        counts={name: np.ones(100) for name in COUNTS},
        num_users=100,
        num_arms=2,
        num_keyless=keyless,
        num_crossed=crossed,
    )


def losses(lost: tuple[int, int], *, lossy: tuple[int, int] = (0, 0)) -> list[ArmLosses]:
    return [ArmLosses(f"arm-{n}", 1000, lossy[n], 10, 50_000, lost[n]) for n in range(2)]


def test_every_gate_fails_for_its_own_reason_only() -> None:
    def failed(what: UserDays, missing: list[ArmLosses]) -> list[str]:
        return [g.name for g in check_gates(experiment(), what, missing) if not g.is_passed]

    assert failed(days(), losses((100, 100))) == []
    assert failed(days(), losses((900, 200))) == ["data_loss"]
    assert failed(days(), losses((400, 0), lossy=(40, 5))) == ["loss_by_arm"]
    assert failed(days(keyless=5), losses((0, 0))) == ["identity"]
    assert failed(days(crossed=5), losses((0, 0))) == ["identity"]
    assert failed(days(), []) == []
    within = check_gates(experiment(unit=Unit.REQUEST), days(), losses((0, 0), lossy=(40, 5)))
    assert {gate.name for gate in within} == {"sample_ratio", "identity", "data_loss"}
    assert same_share("x", "x", [(0, 0), (0, 0)]).is_passed
