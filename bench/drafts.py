"""What guessed tokens save: the same completions in real files with and without guesses.

    python bench/drafts.py MODEL FILE... [--seed N]

The times are processor time of the decoding alone, one thread. Both answers should be equal; where
two tokens score the same but for the last bits, they need not be.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.context import WindowBudget, window
from fimble.fim import FORMATS
from fimble.languages import by_path
from fimble.paths import model_dir
from fimble.stops import Site, cut
from lsp_server.engines import embedded
from lsp_server.engines.drafts import Drafts
from lsp_server.engines.embedded import EmbeddedEngine, GeneratedToken, Generation
from lsp_server.engines.graph import Cancellation
from lsp_server.engines.segments import segments_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_NEW_TOKENS = 64
SITE_CHARS = 8192


class NoDrafts(Drafts):
    """Guesses nothing."""

    # `typing.override` came with Python 3.12.
    # pyrefly: ignore[missing-override-decorator]
    def after(self, ids: Sequence[int], *, limit: int) -> list[int]:
        """Return no guesses."""
        del ids, limit
        return []


class Answer(NamedTuple):
    """One completion."""

    ids: list[int]
    decode_s: float


def places(paths: list[Path], seed: int) -> Iterator[tuple[Path, str, str]]:
    """Yield one place a file: its path and the text on both sides."""
    chance = random.Random(seed)
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = text.split("\n")
        full = [number for number, line in enumerate(lines) if len(line.strip()) > 8]
        if len(full) < 20:
            continue
        number = chance.choice(full)
        start = sum(len(line) + 1 for line in lines[:number])
        indent = len(lines[number]) - len(lines[number].lstrip())
        column = chance.choice([0, indent + chance.randint(0, 8)])
        yield path, text[: start + column], text[start + len(lines[number]) :]


def answer(
    engine: EmbeddedEngine, prompt: tuple[int, ...], site: Site, kind: type[Drafts]
) -> Answer:
    """Complete at a site, cut as the language server does."""
    embedded.Drafts = kind  # type: ignore[misc]
    generation = Generation(prompt_ids=prompt, max_new_tokens=MAX_NEW_TOKENS)
    started, text, ids = 0.0, "", list[int]()
    for step in engine.generate(generation, Cancellation()):
        if not isinstance(step, GeneratedToken):
            started = time.process_time()
            continue
        ids.append(step.token_id)
        text += "" if step.is_special else step.text
        if cut(text, site).reason is not None:
            break
    return Answer(ids, time.process_time() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="model folder, or name of a shipped model")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    engine = EmbeddedEngine(model_dir(arguments.model), num_threads=1)
    fim_format = FORMATS[engine.manifest.fim_format]
    answers: dict[str, list[Answer]] = {"without": [], "with guesses": []}
    for path, before, after in places(arguments.files, arguments.seed):
        around = window(before, after, WindowBudget())
        parts = fim_format.prompt(prefix=around.prefix, suffix=around.suffix, path=path.name)
        prompt = tuple(engine.vocabulary.encode(segments_of(parts, fim_format)))
        if len(prompt) + MAX_NEW_TOKENS > engine.manifest.context_tokens:
            continue
        site = Site.at(before[-SITE_CHARS:], after[:SITE_CHARS], by_path(str(path)))
        answers["without"].append(answer(engine, prompt, site, NoDrafts))
        answers["with guesses"].append(answer(engine, prompt, site, Drafts))
    for name, found in answers.items():
        tokens, seconds = sum(len(a.ids) - 1 for a in found), sum(a.decode_s for a in found)
        print(f"{name}: {tokens} tokens, {1000 * seconds / max(1, tokens):.2f} ms a token")
    equal = sum(a.ids == b.ids for a, b in zip(*answers.values(), strict=True))
    print(f"{equal} of {len(answers['without'])} answers are the same")


if __name__ == "__main__":
    main()
