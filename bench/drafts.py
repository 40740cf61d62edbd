"""What a key costs the engine, with and without what is known ahead: real lines typed again.

    python -m bench.drafts [MODEL] [--files FILE...] [--lines N] [--seed N]

Each line is typed key by key; at every key the engine completes, cut as the language server does.
Three engines do the same work: one that computes each token by itself, one that checks guessed
tokens in one pass, and one that also remembers the scores of the answer before, as ours does.

Times are processor time, one thread; the first key of a line, which reads a prompt, is left out.
Answers should be equal; where two tokens score nearly the same, they need not be: what is read in
one pass is rounded otherwise than what is read in two.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.begun import begun_before
from fimble.context import WindowBudget, window
from fimble.fim import FORMATS
from fimble.languages import by_path
from fimble.paths import model_dir
from fimble.stops import Site, cut
from lsp_server.engines import embedded, graph
from lsp_server.engines.beginning import Beginning
from lsp_server.engines.drafts import Drafts
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation
from lsp_server.engines.graph import Cancellation, KeyValueSequence
from lsp_server.engines.segments import segments_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lsp_server.engines.sampling import Scores

SOURCES = Path(__file__).parent / "sources"
MAX_NEW_TOKENS = 64
SITE_CHARS = 8192
LINE_CHARS = range(12, 60)


class Kind(Enum):
    """What an engine knows ahead."""

    NOTHING = "each token alone"
    GUESSES = "guesses"
    ALL = "guesses and memory"


class NoDrafts(Drafts):
    """Guesses nothing."""

    # `typing.override` came with Python 3.12.
    # pyrefly: ignore[missing-override-decorator]
    def after(self, ids: Sequence[int], *, limit: int) -> list[int]:
        """Return no guesses."""
        del ids, limit
        return []


class PlainBeginning(Beginning):
    """Guesses nothing."""

    # pyrefly: ignore[missing-override-decorator]
    def guesses(self, *, limit: int) -> list[int]:
        """Return no guesses."""
        del limit
        return []


class Forgetful(KeyValueSequence):
    """Remembers no scores."""

    # pyrefly: ignore[missing-override-decorator]
    def scores_after(self, ids: Sequence[int]) -> Scores | None:
        """Return nothing."""
        del ids
        return None


class Pressed(NamedTuple):
    """What one key cost."""

    text: str
    cpu_ms: float
    num_passes: int
    is_first: bool
    """Whether it is the first key of its line."""


class Counted:
    """Forward passes of all engines."""

    def __init__(self) -> None:
        self.num_passes = 0
        run = KeyValueSequence._run  # noqa: SLF001 - what is counted

        def counted(
            sequence: KeyValueSequence, ids: Sequence[int], past: int, cancellation: Cancellation
        ) -> Scores:
            self.num_passes += 1
            return run(sequence, ids, past, cancellation)

        setattr(KeyValueSequence, "_run", counted)  # noqa: B010 - no method of this class


def know(kind: Kind) -> None:
    """Let engines that are made from now on, and their answers, know so much ahead."""
    embedded.Drafts = NoDrafts if kind is Kind.NOTHING else Drafts  # type: ignore[misc]
    embedded.Beginning = PlainBeginning if kind is Kind.NOTHING else Beginning  # type: ignore[misc]
    graph.KeyValueSequence = KeyValueSequence if kind is Kind.ALL else Forgetful  # type: ignore[misc]


def places(paths: Sequence[Path], num_lines: int, seed: int) -> Iterator[tuple[Path, int]]:
    """Yield lines of each file, by their numbers."""
    chance = random.Random(seed)
    for path in paths:
        lines = path.read_text(encoding="utf-8").split("\n")
        full = [n for n, line in enumerate(lines) if len(line.strip()) in LINE_CHARS and n > 20]
        for number in sorted(chance.sample(full, min(num_lines, len(full)))):
            yield path, number


def typed(engine: EmbeddedEngine, path: Path, number: int, counted: Counted) -> Iterator[Pressed]:
    """Type a line, and complete at each key."""
    lines = path.read_text(encoding="utf-8").split("\n")
    line = lines[number]
    indent = len(line) - len(line.lstrip())
    above, below = "\n".join([*lines[:number], ""]), "\n".join(["", *lines[number + 1 :]])
    fim_format = FORMATS[engine.manifest.fim_format]
    for column in range(indent, len(line)):
        before = above + line[:column]
        around = window(before, below, WindowBudget())
        begun = begun_before(around.prefix)
        parts = fim_format.prompt(
            prefix=around.prefix.removesuffix(begun), suffix=around.suffix, path=path.name
        )
        prompt = tuple(engine.vocabulary.encode(segments_of(parts, fim_format)))
        if len(prompt) + MAX_NEW_TOKENS > engine.manifest.context_tokens:
            continue
        generation = Generation(prompt_ids=prompt, max_new_tokens=MAX_NEW_TOKENS, beginning=begun)
        site = Site.at(before[-SITE_CHARS:], below[:SITE_CHARS], by_path(str(path)))
        passes, started_s = counted.num_passes, time.process_time()
        text = answer(engine, generation, site)
        cpu_ms = 1000 * (time.process_time() - started_s)
        yield Pressed(text, cpu_ms, counted.num_passes - passes, column == indent)


def answer(engine: EmbeddedEngine, generation: Generation, site: Site) -> str:
    """Return a completion, cut as the language server does."""
    text = ""
    for step in engine.generate(generation, Cancellation()):
        if isinstance(step, GeneratedToken):
            text += "" if step.is_special else step.text
            if (so_far := cut(text, site)).reason is not None:
                return so_far.text
    return text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", help="model folder, or name of a shipped model")
    parser.add_argument("--files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--lines", type=int, default=1, help="of each file")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    files = arguments.files or [p for p in sorted(SOURCES.rglob("*.*")) if by_path(str(p))]
    chosen = list(places(files, arguments.lines, arguments.seed))
    counted = Counted()
    pressed: dict[Kind, list[Pressed]] = {kind: [] for kind in Kind}
    for kind in Kind:
        know(kind)
        engine = EmbeddedEngine(model_dir(arguments.model), num_threads=1)
        for path, number in chosen:
            pressed[kind] += typed(engine, path, number, counted)
    texts = [each.text for each in pressed[Kind.NOTHING]]
    print(f"{'':<20}{'keys':>6}{'ms, median':>12}{'mean':>8}{'90%':>8}{'passes':>8}{'same':>6}")
    for kind, found in pressed.items():
        later = [each for each in found if not each.is_first]
        times_ms = sorted(each.cpu_ms for each in later)
        same = sum(each.text == text for each, text in zip(found, texts, strict=True))
        print(
            f"{kind.value:<20}{len(later):>6}{statistics.median(times_ms):>12.1f}"
            f"{statistics.mean(times_ms):>8.1f}{times_ms[len(times_ms) * 9 // 10]:>8.1f}"
            f"{statistics.mean(each.num_passes for each in later):>8.2f}{same:>6}"
        )


if __name__ == "__main__":
    main()
