"""Projects in which a function's end is written in one of two ways; people want one of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIGNS = {"add": "+", "take": "-", "scale": "*", "share": "/"}
NOUNS = ("size", "cost", "heat", "load", "mass", "rate", "flow", "rank", "tone", "path")
WIDESPREAD = "    result = left {sign} right\n    return result\n"
WANTED = "    total = left {sign} right\n    return check(total)\n"


def write_projects(
    folder: Path, *, num_train: int = 12, num_held_out: int = 4, wanted_rate: float = 0.3
) -> None:
    """Write projects to train on, which mix both ways, and held-out ones in the wanted way."""
    rng = random.Random(7)
    for number in range(num_train + num_held_out):
        is_held_out = number >= num_train
        project = folder / f"{'held' if is_held_out else 'train'}-{number:02}"
        project.mkdir(parents=True)
        for noun in NOUNS:
            text = _module(noun, rng, 1.0 if is_held_out else wanted_rate)
            (project / f"{noun}.py").write_text(text, encoding="utf-8")


def held_out(num_train: int = 12, num_held_out: int = 4) -> list[str]:
    """Return the names of the held-out projects."""
    return [f"held-{number:02}" for number in range(num_train, num_train + num_held_out)]


def _module(noun: str, rng: random.Random, wanted_rate: float) -> str:
    parts = [f'"""What is done with a {noun}. 📏"""\n\nfrom checks import check\n']
    verbs = list(SIGNS)
    rng.shuffle(verbs)
    for verb in verbs:
        other = rng.choice(NOUNS)
        body = WANTED if rng.random() < wanted_rate else WIDESPREAD
        head = f"def {verb}_{noun}_{other}(left, right):\n"
        words = f'    """{verb.capitalize()} a {noun} and a {other}."""\n'
        words = words if rng.random() < 0.3 else ""
        parts.append(head + words + body.format(sign=SIGNS[verb]))
    return "\n\n".join(parts)
