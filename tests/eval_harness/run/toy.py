"""A suite of eight small holes in Bash, and what answers it: a script, not a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = {f"toy/{number}": f"    echo $(( $1 + {number} ))\n" for number in range(8)}
_TOML = """\
name = "toy"
shape = "template"

[[data]]
file = "toy.jsonl"
language = "bash"

[template]
problem_id = "{id}"
group = "{group}"
prompt = "{before}"
suffix = "{behind}"
tests = "{tests}"
canonical = "{middle}"
kind = "infill"
extent = "line"
"""


def write_toy_suite(folder: Path) -> Path:
    """Write the suite and return its TOML file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": name,
            "group": f"function-{number // 2}",
            "before": f"add_{number}() {{  # 😀\n",
            "middle": middle,
            "behind": "}\n",
            "tests": f'[ "$(add_{number} 5)" = {5 + number} ] || exit 1\n',
        }
        for number, (name, middle) in enumerate(RIGHT.items())
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "toy.jsonl").write_text(lines, encoding="utf-8")
    (folder / "toy.toml").write_text(_TOML, encoding="utf-8")
    return folder / "toy.toml"


def answer_to(prompt: str) -> list[str]:
    """Return the tokens of an answer: right for even problems, wrong for odd ones."""
    number = int(prompt.rpartition("add_")[2].partition("(")[0])
    wanted = number if number % 2 == 0 else 100
    return ["    echo", " $((", " $1", f" + {wanted}", " ))", "\n", "}", "\n"]
