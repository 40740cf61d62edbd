"""How well the server tells what users did: editor sessions with a known truth.

    python -m bench.telemetry_outcomes [--sessions N]

Prints the confusion tables of `docs/telemetry.md`. Only the engine is scripted, and the time is
virtual; documents, requests and outcomes are the server's own.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

from tests.stand_ins.editor_sessions import confusion

if TYPE_CHECKING:
    from collections import Counter

_Name = TypeVar("_Name", str, bool)


def main() -> None:
    """Play sessions and print what was taken for what."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000)
    found = confusion(parser.parse_args().sessions)
    print(f"{found.num_sessions} sessions, {found.match_rate:.1%} told right in every respect\n")
    print(table("done, recorded", found.outcomes))
    print(table("undone, recorded", found.undone))
    print(table("half of it stands after 30 s, recorded", found.kept))


def table(title: str, counts: Counter[tuple[_Name, _Name]]) -> str:
    """Return counts of (truth, said) as a table in Markdown."""
    names = sorted({name for pair in counts for name in pair}, key=str)
    shown = [str(name).lower() for name in names]
    lines = [f"| {title} | {' | '.join(shown)} |", f"|---|{'--:|' * len(names)}"]
    for truth, name in zip(names, shown, strict=True):
        if any(counts[truth, said] for said in names):
            cells = " | ".join(str(counts[truth, said] or "") for said in names)
            lines.append(f"| {name} | {cells} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
