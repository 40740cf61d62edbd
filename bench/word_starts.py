"""What completing a word from its start is worth: cursors within words of real files.

The rest of a line is taken out behind the first letters of a word (or, with `--signs`, behind a
bracket, dot or operator; with `--lines`, from its very start), and asked for twice: with a prompt
that ends there, and with one that ends before the word, sign or line end and an answer that must
begin with it (`lsp_server/engines/beginning.py`). Right is what stood there.

    python -m bench.word_starts [--signs | --lines] [--model DIR] [--per-file N] [--seed N]

The files are those of the demo, which no model of ours has seen. Only counts are reported: they do
not depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import re
from typing import TYPE_CHECKING, NamedTuple

from bench.demo.sources import read_sources
from fimble.context import WindowBudget, window
from fimble.fim import FIMBLE
from fimble.paths import model_dir
from fimble.stops import Scope, Site
from lsp_server.engines.segments import segments_of
from lsp_server.prompting import Spot, query_for

if TYPE_CHECKING:
    from bench.demo.sources import SourceFile
    from fimble.engine import Query
    from lsp_server.engines.embedded import EmbeddedEngine

MAX_NEW_TOKENS = 24
LETTERS = (1, 4)
"""Fewest and most letters of the word that are written already."""
_WORD = re.compile(r"[A-Za-z_]\w{4,}")
_SIGN = re.compile(r"[^\w\s](?=[^\n])")
_LINE = re.compile(r"^(?=[^\n]*\S[^\n]{8})", re.MULTILINE)
_REST_OF_WORD = re.compile(r"\w*")


class Right(NamedTuple):
    """Whether an answer has what stood there."""

    line: bool
    word: bool


def cursors(source: SourceFile, rng: random.Random, count: int, *, at: str) -> list[int]:
    """Return places in code: within words, behind signs, or at the start of lines."""
    places: list[int] = []
    for found in {"words": _WORD, "signs": _SIGN, "lines": _LINE}[at].finditer(source.text):
        start = source.text.rfind("\n", 0, found.start()) + 1
        line = source.text[start : source.text.find("\n", found.start())]
        if not line.isascii() or line.strip().startswith(("#", "//", "*", "/*", '"')):
            continue
        if at == "words":
            letters = rng.randint(LETTERS[0], min(LETTERS[1], len(found.group()) - 2))
            places.append(found.start() + letters)
        elif at == "lines" or line[: found.start() - start].strip():
            places.append(found.end())
    return rng.sample(places, min(count, len(places)))


def query_at(source: SourceFile, place: int, *, takes_beginning: bool) -> Query:
    """Return what the server would ask at a place, with nothing behind it on its line."""
    prefix, suffix = source.text[:place], source.text[source.text.find("\n", place) :]
    budget = WindowBudget()
    site = Site(prefix=prefix, suffix=suffix, language=source.language, scope=Scope.LINE)
    spot = Spot(prefix=prefix, suffix=suffix, path=source.path.name, site=site)
    around = window(prefix, suffix, budget)
    return query_for(spot, around, FIMBLE, MAX_NEW_TOKENS, takes_beginning=takes_beginning)


def answer(engine: EmbeddedEngine, query: Query) -> str:
    """Return the first line that the engine writes."""
    from lsp_server.engines.embedded import GeneratedToken, Generation
    from lsp_server.engines.graph import Cancellation

    ids = engine.vocabulary.encode(segments_of(query.parts, FIMBLE))
    generation = Generation(
        prompt_ids=tuple(ids), beginning=query.beginning, max_new_tokens=query.max_new_tokens
    )
    text = ""
    for event in engine.generate(generation, Cancellation()):
        if isinstance(event, GeneratedToken) and not event.is_special:
            text += event.text
            if "\n" in text:
                break
    return text.partition("\n")[0]


def main() -> None:
    """Print how often each way is right, and where they differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="model folder or name of a shipped model")
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("signs", "lines"):
        kinds.add_argument(f"--{kind}", action="store_const", dest="at", const=kind)
    parser.set_defaults(at="words")
    parser.add_argument("--per-file", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from lsp_server.engines.embedded import EmbeddedEngine

    engine = EmbeddedEngine(model_dir(arguments.model), num_threads=1)
    rng = random.Random(arguments.seed)
    pairs: list[tuple[Right, Right]] = []
    for source in read_sources():
        for place in cursors(source, rng, arguments.per_file, at=arguments.at):
            true = source.text[place : source.text.find("\n", place)].rstrip()
            both = [
                answer(engine, query_at(source, place, takes_beginning=takes))
                for takes in (False, True)
            ]
            within, before = (
                Right(text.rstrip() == true, _rest(text) == _rest(true)) for text in both
            )
            pairs.append((within, before))
        _show(source.path.name, pairs)


def _rest(text: str) -> str:
    found = _REST_OF_WORD.match(text)
    return found.group() if found else ""


def _show(name: str, pairs: list[tuple[Right, Right]]) -> None:
    parts = [f"{name:<20} {len(pairs):>5} cursors"]
    for part in Right._fields:
        both = [(getattr(within, part), getattr(before, part)) for within, before in pairs]
        within, before = (sum(each) for each in zip(*both, strict=True))
        better = sum(after and not first for first, after in both)
        worse = sum(first and not after for first, after in both)
        parts.append(f"{part}: {within} -> {before} right ({better} better, {worse} worse)")
    print("   ".join(parts), flush=True)


if __name__ == "__main__":
    main()
