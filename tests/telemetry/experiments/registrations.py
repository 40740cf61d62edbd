"""Experiments as tests register them."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from fimble.events import Unit
from fimble.experiments import Arm, Experiment, Guardrail, Looks

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
name = "longer"
unit = "user"
main_metric = "taken_per_opportunity"
minimal_effect = 0.05
start = 2026-09-08
stop = 2026-09-15
before_days = 7

[[arms]]
name = "control"
weight = 0.5

[[arms]]
name = "new"
weight = 0.5
max_new_tokens = 96

[[guardrails]]
metric = "slow_rate"
max_worse = 0.02
"""


def experiment(
    *, unit: Unit = Unit.USER, looks: Looks = Looks.DAILY, num_arms: int = 2, before_days: int = 7
) -> Experiment:
    arms = tuple(
        Arm(name="control" if n == 0 else f"new-{n}", weight=1 / num_arms) for n in range(num_arms)
    )
    return Experiment(
        name="longer",
        arms=arms,
        unit=unit,
        main_metric="taken_per_opportunity",
        minimal_effect=0.05,
        start=date(2026, 9, 8),
        stop=date(2026, 9, 15),
        before_days=before_days,
        looks=looks,
        guardrails=(Guardrail(metric="slow_rate", max_worse=0.02),),
    )


def registered(folder: Path, **changes: str) -> Path:
    """Write a registration with other values of some keys; return its path."""
    text = TEXT
    for key, value in changes.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    path = folder / "longer.toml"
    path.write_text(text, encoding="utf-8")
    return path
