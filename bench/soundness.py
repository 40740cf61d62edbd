"""How often a true continuation is judged to break the code, and how often a spoilt one is caught.

In each file up to ten places are drawn: the start of a line, its first character, or a column. What
truly follows there, cut as a completion would be, is judged; then the same with a piece behind it
that is usually wrong (` = = 3`, `)`), which is no error everywhere.

    python bench/soundness.py FILE... [--seed N]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fimble.languages import by_path
from fimble.soundness import Soundness
from fimble.stops import Scope, Site, cut

PLACES_PER_FILE = 10
SITE_CHARS = 8192
LONGEST_FILE_CHARS, SHORTEST_FILE_CHARS = 300_000, 500
SPOILERS = (")", "}", " = = 3", " def (", "]", " +* 2")


@dataclass(slots=True)
class Counted:
    """What was judged in one language."""

    num_places: int = 0
    num_wrong: int = 0
    """True continuations that were judged to break."""
    num_caught: int = 0
    """Spoilt ones that were judged to break."""
    parse_ms: list[float] = field(default_factory=list)


def continuation(text: str, start: int, line_end: int, path: Path) -> tuple[Site, str] | None:
    """Return a place and what truly follows there; None where no end can be told."""
    language = by_path(str(path))
    before = text[max(0, start - SITE_CHARS) : start]
    site = Site.at(before, text[line_end : line_end + SITE_CHARS], language)
    if site.scope is Scope.LINE:
        return site, text[start:line_end]
    found = cut(text[start : start + 1500], site)
    if found.reason is None:
        return None
    end = start + len(found.text)
    return Site.at(before, text[end : end + SITE_CHARS], language), found.text


def judge_file(path: Path, chance: random.Random, counted: Counted) -> None:
    """Judge what follows at places of one file."""
    text = path.read_text(encoding="utf-8")
    if not SHORTEST_FILE_CHARS <= len(text) <= LONGEST_FILE_CHARS:
        return
    lines = text.split("\n")
    full = [number for number, line in enumerate(lines) if line.strip()]
    for number in chance.sample(full, min(PLACES_PER_FILE, len(full))):
        line, offset = lines[number], sum(len(each) + 1 for each in lines[:number])
        indent = len(line) - len(line.lstrip())
        column = chance.choice([0, indent, chance.randint(indent, len(line))])
        found = continuation(text, offset + column, offset + len(line), path)
        if found is None or not found[1].strip():
            continue
        started = time.process_time()
        judge = Soundness(found[0])
        counted.parse_ms.append(1000 * (time.process_time() - started))
        counted.num_places += 1
        counted.num_wrong += judge.breaks(found[1])
        counted.num_caught += judge.breaks(found[1] + chance.choice(SPOILERS))


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    languages: dict[str, Counted] = defaultdict(Counted)
    for path in arguments.files:
        language = by_path(str(path))
        if language is not None:
            try:
                judge_file(path, chance, languages[language.name])
            except UnicodeDecodeError:
                continue
    print(
        "| language | places | judged wrong | spoilt, caught | parse, median ms |\n"
        "|---|---|---|---|---|"
    )
    for name, counted in sorted(languages.items()):
        share = counted.num_caught / max(1, counted.num_places)
        parse_ms = statistics.median(counted.parse_ms or [0.0])
        judged = f"{counted.num_places} | {counted.num_wrong}"
        print(f"| {name} | {judged} | {share:.0%} | {parse_ms:.2f} |")
    total = sum(counted.num_places for counted in languages.values())
    print(f"\n{sum(c.num_wrong for c in languages.values())} of {total} judged wrong")


if __name__ == "__main__":
    main()
