"""`fimble complete FILE:LINE:COLUMN`: one completion, by the same way as in an editor."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fimble.clock import SystemClock
from fimble.errors import InputError, PositionError
from fimble.settings import load_settings
from fimble.text import Position, PositionEncoding, decode_source, with_line_end
from lsp_server.backend import ANSWER_TIMEOUT_S, Backend
from lsp_server.context.at_once import project_of, read_others, takes_others
from lsp_server.documents import Document
from lsp_server.generation import Generation, Limits, run_within_context
from lsp_server.prompting import NO_OTHERS, path_of, project_path, spot_at
from lsp_server.route import Route
from lsp_server.trail import Trail

if TYPE_CHECKING:
    import argparse

    from fimble.clock import Clock
    from fimble.settings import Settings
    from lsp_server.documents import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What `--json` prints; the names are part of the command's interface."""

    text: str
    """With the file's line ends; empty where the model suggests nothing."""
    model: str
    latency_ms: float
    """From the question to the complete text; the start of an engine is not in it."""
    prompt_tokens: int
    generated_tokens: int
    """Tokens up to the end of the text."""
    finish_reason: str
    """`fimble.stops.StopReason`."""


class Cursor(NamedTuple):
    """A place as people count it."""

    path: Path
    line: int
    column: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the place and what answers for it."""
    parser.add_argument(
        "place",
        metavar="FILE:LINE:COLUMN",
        help="the cursor stands before this column; lines and columns start at 1",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--model", metavar="DIR", help="model folder or name of a shipped model")
    parser.add_argument("--tgi-url", metavar="URL", help="ask this server instead")


def run(arguments: argparse.Namespace) -> int:
    """Print one completion."""
    settings = load_settings()
    engine = settings.engine
    if arguments.model:
        engine = replace(engine.embedded(), model=arguments.model)
    if arguments.tgi_url:
        engine = engine.at_tgi(arguments.tgi_url)
    settings = replace(settings, engine=engine)
    cursor = parse_cursor(arguments.place)
    document, place = read_at(cursor, max_bytes=settings.completion.max_document_bytes)
    completion = asyncio.run(complete(document, place, settings, SystemClock()))
    if arguments.json:
        fields = {name: getattr(completion, name) for name in Completion.__slots__}
        sys.stdout.write(f"{json.dumps(fields, ensure_ascii=False)}\n")
    else:
        sys.stdout.write(f"{completion.text}\n")
    return 0


def parse_cursor(place: str) -> Cursor:
    """Return the cursor in `FILE:LINE:COLUMN`; the file's name may hold colons.

    Raises:
        InputError: Line or column is missing or no number above 0.
    """
    path, _, column = place.rpartition(":")
    path, _, line = path.rpartition(":")
    if not path or not _is_count(line) or not _is_count(column):
        raise InputError(
            f"the place is {place!r}; it must be FILE:LINE:COLUMN with numbers from 1 on"
        )
    return Cursor(Path(path), int(line), int(column))


def read_at(cursor: Cursor, *, max_bytes: int) -> tuple[Document, Place]:
    """Return the file as a document, and the cursor's place in it.

    Raises:
        InputError: The file cannot be read, is too large, or is not text.
        PositionError: The file has no such line or column.
    """
    path = cursor.path
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file")
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(
                f"{path} has {size} bytes; completion.max_document_bytes allows {max_bytes}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    text = decode_source(data)
    if text is None:
        raise InputError(f"{path} is not text in UTF-8")
    document = Document.of(path.absolute().as_uri(), "", 0, text)
    num_lines = len(document.lines)
    if cursor.line > num_lines:
        raise PositionError(f"{path} has {num_lines} lines; line {cursor.line} was asked for")
    num_columns = len(document.lines[cursor.line - 1].rstrip("\r\n")) + 1
    if cursor.column > num_columns:
        raise PositionError(
            f"line {cursor.line} of {path} has columns 1 to {num_columns}; "
            f"column {cursor.column} was asked for"
        )
    position = Position(cursor.line - 1, cursor.column - 1)
    return document, document.place(position, PositionEncoding.UTF32)


async def complete(
    document: Document, place: Place, settings: Settings, clock: Clock
) -> Completion:
    """Return the completion that an editor would get at a place.

    Raises:
        EngineError: The engine cannot be started, or failed.
        InputError: The model or the configuration is broken, or the engine cannot take the text.
    """
    backend = Backend(settings.engine)
    limits = Limits(settings.completion.window, settings.completion.max_new_tokens)
    root = project_of(Path(path_of(document.uri)))
    path = project_path(document.uri, [root.as_uri()] if root else [])
    # Who asks for one completion wants to know what is wrong, not another engine's answer.
    route = Route(backend, clock=clock, patience_s=ANSWER_TIMEOUT_S)
    try:
        info = await backend.info()
        others = NO_OTHERS
        if root is not None and takes_others(settings.context, is_trained=backend.takes_snippets):
            others = await asyncio.to_thread(read_others, root, document, place, settings.context)
        spot = spot_at(document, place, path=path, budget=limits.budget, others=others)
        generation = Generation(spot, Trail(place), route=route, clock=clock)
        started_ms = clock.monotonic_ms()
        # Only an engine that was not interrupted says how long the prompt was.
        final = await run_within_context(generation, limits, {}, to_the_end=True)
    finally:
        await backend.close()
    assert final is not None, "nobody types here"
    counts = generation.counts
    return Completion(
        text=with_line_end(final.text, document.line_end) if final.text.strip() else "",
        model=info.model,
        latency_ms=round(counts.done_at_ms - started_ms, 1),
        prompt_tokens=counts.prompt_tokens,
        generated_tokens=counts.generated_tokens,
        finish_reason=final.reason.value if final.reason else "",
    )


def _is_count(number: str) -> bool:
    return len(number) < 10 and number.isascii() and number.isdigit() and int(number) > 0
