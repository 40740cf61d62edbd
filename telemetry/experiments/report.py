"""Plans and analyses as text for people."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from telemetry.experiments.metrics import METRICS
from telemetry.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fimble.experiments import Experiment
    from telemetry.experiments.analysis import Analysis
    from telemetry.experiments.gates import Gate
    from telemetry.experiments.power import Design, Plan, Traffic
    from telemetry.experiments.verdict import Comparison

_UNIT_ADVICE = {
    "request": (
        "request: for what one completion is (model of the same speed, decoding, prompt, filter)"
    ),
    "user_day": "user_day: also for what changes the pace of work (latency, another model's size)",
    "user": "user: for what takes getting used to, and for what one keeps (habits, retention)",
}


def plan_lines(plan: Plan, experiment: Experiment, traffic: Traffic, *, source: str) -> list[str]:
    """Return what a plan says, one fact a line."""
    metric = METRICS[experiment.main_metric]
    design = plan.registered
    lines = [
        f"experiment   {experiment.name}: {', '.join(arm.name for arm in experiment.arms)}",
        f"main metric  {experiment.main_metric}: {metric.meaning}",
        f"traffic      {source}: {design.num_users} users, metric {traffic.ratio:.4g}",
        f"registered   unit {design.unit}, {design.num_days} days, looks {experiment.looks}",
        f"finds        {_points(design)}; minimal_effect is {experiment.minimal_effect:g}",
    ]
    if plan.once is not None:
        lines.append(f'one look     at the end only (looks = "once") finds {plan.once:.4g}')
    lines += ["", *_table(["unit", "history", "users", "days", "finds"], map(_row, plan.table)), ""]
    if plan.is_enough:
        return [*lines, f"verdict      enough: finds {experiment.minimal_effect:g} or less"]
    lines.append(
        f"verdict      not enough: {design.num_users} users cannot see "
        f"{experiment.minimal_effect:g}; do this instead:"
    )
    lines += [f"  - {_proposal(each, design)}" for each in plan.instead]
    lines.append(f"  - minimal_effect = {_points(design)}: look for no less than can be found")
    lines += [f"  {advice}" for advice in _UNIT_ADVICE.values()]
    return lines


def _row(design: Design) -> tuple[object, ...]:
    history = "with" if design.is_adjusted else "without"
    return (design.unit.value, history, design.num_users, design.num_days, design.minimal_effect)


def _points(design: Design) -> str:
    return "unknown" if design.minimal_effect is None else f"{design.minimal_effect:.4g}"


def _proposal(design: Design, registered: Design) -> str:
    changes = []
    if design.unit != registered.unit:
        changes.append(f"unit {design.unit}")
    if design.num_days != registered.num_days:
        changes.append(f"{design.num_days} days")
    if design.num_users != registered.num_users:
        changes.append(f"{design.num_users} users")
    if design.is_adjusted != registered.is_adjusted:
        changes.append("history (before_days above 0)" if design.is_adjusted else "no history")
    return f"{', '.join(changes)}: finds {_points(design)}"


def gate_lines(gates: Sequence[Gate]) -> list[str]:
    """Return the gates, one a line."""
    return [
        f"{'passed' if gate.is_passed else 'FAILED':<12} {gate.name}: {gate.finding}"
        for gate in gates
    ]


def analysis_lines(found: Analysis) -> list[str]:
    """Return what an analysis says."""
    over = "over" if found.is_over else "running"
    lines = [
        f"experiment   {found.experiment}, unit {found.unit}, {over}",
        f"data         {found.num_days} days, {found.num_users} users",
        *gate_lines(found.gates),
        "",
    ]
    for title, part in (
        ("main metric, difference to the control with its interval", found.main),
        ("guardrails", found.guardrails),
        ("explored: hints for the next experiment, no ground for a verdict", found.explored),
    ):
        if part:
            lines += [title, *_comparisons(part), ""]
    verdict = found.verdict
    lines.append(f"verdict      {verdict.decision}{f' {verdict.arm}' if verdict.arm else ''}")
    lines += [f"  - {reason}" for reason in verdict.reasons]
    lines += [f"needed       {verdict.needed}"] if verdict.needed else []
    lines += [f"roll back    {', '.join(verdict.roll_back)}"] if verdict.roll_back else []
    return lines


def _comparisons(found: Sequence[Comparison]) -> list[str]:
    names = ["arm", "metric", "control", "arm's", "difference", "low", "high", "p", "users", "harm"]
    rows = (
        (
            each.arm,
            each.metric,
            each.control,
            each.treatment,
            each.effect,
            each.low,
            each.high,
            each.p_value,
            f"{each.num_control_users}/{each.num_treatment_users}",
            each.harm or "",
        )
        for each in found
    )
    return _table(names, rows)


def _table(names: Sequence[str], rows: Iterable[tuple[object, ...]]) -> list[str]:
    out = io.StringIO()
    write_table(names, rows, out)
    return out.getvalue().splitlines()[:-1]
