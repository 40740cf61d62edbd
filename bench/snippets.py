"""What does it cost to know a project, and to choose code of it for a place?

    python -m bench.snippets PROJECT... [--files 500 5000]

The source files of some folders are taken into an index, so many of them as are asked for; a file
that is needed twice gets another path and other words. Printed are processor times: of taking in
10 KB, of a choice at a place where none was made before (imported files are parsed), and of one at
a place in the same file later. Beside them stands the time of a million steps of a plain loop:
compare machines, and the same machine under load, by that.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.languages import by_path
from fimble.snippets.around import Around
from fimble.snippets.project import MAX_FILE_BYTES, ProjectIndex
from fimble.text import decode_source, to_lf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_NUM_PLACES = 60
_SKIPPED = frozenset({".git", ".venv", "build", "node_modules"})


def main() -> None:
    """Print the cost at each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--files", type=int, nargs="+", default=[500, 5000])
    arguments = parser.parse_args()
    sources = list(_sources(arguments.folders))
    for num_files in arguments.files:
        _measure(_some(sources, num_files))


def _sources(folders: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield path, text and language of the source files below some folders."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            language = by_path(path.name)
            if language is None or _SKIPPED & set(path.parts) or not path.is_file():
                continue
            text = decode_source(path.read_bytes()[:MAX_FILE_BYTES])
            if text:
                yield path.relative_to(folder).as_posix(), to_lf(text), language.name


def _some(sources: Sequence[tuple[str, str, str]], num_files: int) -> list[tuple[str, str, str]]:
    files = list(sources[:num_files])
    copy = 1
    while len(files) < num_files:
        for path, text, language in sources[: num_files - len(files)]:
            files.append((f"copy{copy}/{path}", text.replace("_", f"_{copy}"), language))
        copy += 1
    return files


def _measure(files: Sequence[tuple[str, str, str]]) -> None:
    num_bytes = sum(len(text) for _, text, _ in files)
    index = ProjectIndex()
    put_ms = _timed(lambda: [index.put(*file) for file in files])
    chance = random.Random(0)
    first: list[float] = []
    later: list[float] = []
    for path, text, language in chance.choices(files, k=_NUM_PLACES):
        for times in (first, later):
            place = chance.randrange(len(text))
            around = Around(path, text[:place], text[place:], language)
            times.append(_timed(lambda around=around: index.select(around)))
    print(
        f"{len(files)} files, {num_bytes / 1e6:.1f} MB, {_held_mb(files):.0f} MB held: "
        f"put {put_ms / num_bytes * 1e4:.2f} ms for 10 KB, select {_said(first)} at first, "
        f"{_said(later)} later; a million steps take {_pace_ms():.0f} ms",
        flush=True,
    )


def _said(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.1f} ms ({statistics.quantiles(times, n=20)[-1]:.1f} at p95)"


def _timed(work: Callable[[], object]) -> float:
    """Return the processor time of some work, in milliseconds."""
    started_ns = time.process_time_ns()
    work()
    return (time.process_time_ns() - started_ns) / 1e6


def _held_mb(files: Sequence[tuple[str, str, str]]) -> float:
    """Return what an index holds besides the texts, in megabytes."""
    tracemalloc.start()
    index = ProjectIndex()
    for file in files:
        index.put(*file)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6


def _pace_ms() -> float:
    def loop() -> None:
        counts: dict[int, int] = {}
        for step in range(1_000_000):
            counts[step & 4095] = counts.get(step & 4095, 0) + 1

    return min(_timed(loop) for _ in range(3))


if __name__ == "__main__":
    main()
