"""Examples for preference tuning: one record, whoever makes it, and its file of JSON lines.

A pair has `prompt`, `chosen` and `rejected`; a label has `prompt`, `completion` and `label`; a
place has `prompt` alone, since any text in it can be judged. Those are the columns that trl's
`DPOTrainer`, `KTOTrainer` and `GRPOTrainer` take. All others, flat beside them, say what the prompt
is made of, how sure the example is, and where it comes from. Telemetry makes examples of what users
did; training makes them of what a model wrote; tests that pass or fail make them of both.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from fimble.errors import InputError
from fimble.experiments import NUM_BUCKETS, bucket_of
from fimble.files import sha256_of, write_whole
from fimble.fim import FimFormat, Snippet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from fimble.fim import Part

KIND = "fimble-preferences"
"""Of the manifest of a folder of examples: says that the folder is ours."""
FORMAT_VERSION = 2
"""Of the records; goes into the manifest of a folder of examples."""


class Maker(StrEnum):
    """What says that one text is better than another."""

    USER = "user"
    """What a user did with a suggestion, and what stood there later."""
    TRUTH = "truth"
    """The code that the project has at that place."""
    TESTS = "tests"
    """The project's own tests."""


class Why(StrEnum):
    """What made an example."""

    REWRITTEN = "rewritten"
    """Accepted, then changed."""
    WRITTEN_INSTEAD = "written_instead"
    """Rejected, and something else was written there."""
    KEPT = "kept"
    """Accepted, and half of it or more stands."""
    REMOVED = "removed"
    """Accepted, and less than half of it stands."""
    UNDONE = "undone"
    """Accepted, and taken back within seconds."""
    REJECTED = "rejected"
    OVERRUN = "overrun"
    """The model went on behind the end."""
    STOPPED_EARLY = "stopped_early"
    PARSE_BREAK = "parse_break"
    """The file with the text in it does not parse, and did without."""
    UNDEFINED_NAME = "undefined_name"
    DIFFERS = "differs"
    """Another text than the project's, and nothing else is wrong with it."""
    SAME = "same"
    """The project's own text."""
    TESTS_FAIL = "tests_fail"
    TESTS_PASS = "tests_pass"  # noqa: S105 - tests that succeed, not a password


class Split(StrEnum):
    """What an example is for."""

    TRAIN = "train"
    HELD_OUT = "held_out"

    @classmethod
    def of(cls, owner: str, *, seed: str, held_out_share: float) -> Split:
        """Return what an owner's examples are for, all of them: a keyed hash decides, forever.

        Args:
            owner: See `Origin`.
            seed: Key of the hash.
            held_out_share: Share of the owners that are held out, 0 to 1.
        """
        bucket = bucket_of(salt=seed, experiment="held-out", unit_id=owner)
        return cls.HELD_OUT if bucket < round(held_out_share * NUM_BUCKETS) else cls.TRAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model was asked: the prompt as one string, and its parts for any other layout."""

    prompt: str
    """In the layout `fim_format`."""
    fim_format: str
    """A name in `fimble.fim.FORMATS`."""
    prefix: str
    suffix: str
    path: str = ""
    """Of the file, as the prompt names it; empty where that is not known."""
    snippets: tuple[Snippet, ...] = ()
    """Code of other files, the most important last."""
    is_prompt_as_sent: bool
    """Whether an engine got just this; else it was cut anew from what was recorded."""

    @classmethod
    def of(
        cls,
        fim_format: FimFormat,
        *,
        prefix: str,
        suffix: str,
        path: str = "",
        snippets: tuple[Snippet, ...] = (),
        is_prompt_as_sent: bool = True,
    ) -> Asked:
        """Return the question that these parts make.

        Raises:
            SentinelInTextError: A part spells a sentinel of the format.
        """
        parts = fim_format.prompt(prefix=prefix, suffix=suffix, path=path, snippets=snippets)
        return cls(
            prompt=fim_format.render(parts),
            fim_format=fim_format.name,
            prefix=prefix,
            suffix=suffix,
            path=path,
            snippets=snippets,
            is_prompt_as_sent=is_prompt_as_sent,
        )

    def parts(self, fim_format: FimFormat) -> tuple[Part, ...]:
        """Return the prompt in any layout, with marks, so that code never becomes a sentinel."""
        return fim_format.prompt(
            prefix=self.prefix, suffix=self.suffix, path=self.path, snippets=self.snippets
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an example comes from."""

    weight: float
    """How sure it is, above 0 and up to 1."""
    maker: Maker
    why: Why
    split: Split
    """All examples of one `owner` are on one side."""
    owner: str
    """The user's pseudonym, or the project."""
    example_id: str
    """Of a user's example: the `completion_id` of its events."""
    language: str
    """Our name of it; empty where we know none."""
    model: str
    """What wrote the text that is judged."""
    model_digest: str
    outcome: str = ""
    """`fimble.events.Outcome`; this and all below are of users' examples only."""
    outcome_source: str = ""
    """`fimble.events.Source`."""
    visible_ms: float | None = None
    kept_rate: float | None = None
    """Share of an accepted text that stands at the last look; null where nobody looked."""
    after_s: int | None = None
    """When the text was looked at that the example relies on; null where it relies on none."""
    day: str = ""
    """Of the request, UTC."""
    expires_ms: int | None = None
    """The user's consent for this content ends here, Unix ms."""
    content_version: int | None = None
    """`fimble.content.CONTENT_VERSION` of what was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two texts for one prompt, of which one is better."""

    asked: Asked
    chosen: str
    rejected: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text for a prompt, wanted or not."""

    asked: Asked
    completion: str
    label: bool
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a project that its tests see: they judge any text in it."""

    asked: Asked
    place_id: str
    """What `fimble eval judge` knows it by."""
    truth: str
    """The project's own code, with which the tests pass."""
    origin: Origin


E = TypeVar("E", Pair, Label, Place)
_OWN: dict[type, tuple[str, ...]] = {
    Pair: ("chosen", "rejected"),
    Label: ("completion", "label"),
    Place: ("place_id", "truth"),
}
_HINTS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in (Asked, Origin)}
_OWN_HINTS = {
    **dict.fromkeys(("chosen", "rejected", "completion", "place_id", "truth"), str),
    "label": bool,
}
_PLAIN: dict[type, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
    type(None): (type(None),),
}


def to_table(example: Pair | Label | Place) -> dict[str, object]:
    """Return the flat JSON object of an example, the columns that trainers read first."""
    asked = {name: getattr(example.asked, name) for name in _HINTS[Asked]}
    asked["snippets"] = [{"path": s.path, "text": s.text} for s in example.asked.snippets]
    own = {name: getattr(example, name) for name in _OWN[type(example)]}
    origin = {name: getattr(example.origin, name) for name in _HINTS[Origin]}
    return {"prompt": asked.pop("prompt"), **own, **asked, **origin}


def from_table(kind: type[E], table: Mapping[str, object]) -> E:
    """Return the example that a JSON object holds; columns that are not ours are ignored.

    Raises:
        InputError: A column is missing, or holds something else than it must.
    """
    own = {name: _value(name, _OWN_HINTS[name], table) for name in _OWN[kind]}
    asked = Asked(**{name: _value(name, hint, table) for name, hint in _HINTS[Asked].items()})
    origin = Origin(**{name: _value(name, hint, table) for name, hint in _HINTS[Origin].items()})
    if not 0 < origin.weight <= 1:
        raise InputError(f"weight is {origin.weight}; it must be above 0 and up to 1")
    return kind(asked=asked, origin=origin, **own)


def write_examples(path: Path, examples: Iterable[Pair | Label | Place]) -> None:
    """Write examples as JSON lines; the file appears whole.

    Raises:
        InputError: A text holds half of a surrogate pair, which no file of UTF-8 can.
    """
    lines = "".join(f"{json.dumps(to_table(e), ensure_ascii=False)}\n" for e in examples)
    try:
        data = lines.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"an example for {path} is not Unicode text: {error}") from error
    write_whole(path, data)


def write_by_split(
    folder: Path, name: str, examples: Iterable[Pair | Label | Place]
) -> dict[str, dict[str, object]]:
    """Write `NAME/train.jsonl` and `NAME/held_out.jsonl`, and return what a manifest says of them.

    Raises:
        InputError: See `write_examples`.
    """
    kept = list(examples)
    entries: dict[str, dict[str, object]] = {}
    for split in Split:
        path = folder / name / f"{split}.jsonl"
        of_split = [each for each in kept if each.origin.split is split]
        write_examples(path, of_split)
        entries[f"{name}/{split}.jsonl"] = {
            "sha256": sha256_of(path),
            "num_examples": len(of_split),
        }
    return entries


def read_examples(kind: type[E], path: Path) -> Iterator[E]:
    """Yield the examples of a file, one at a time.

    Args:
        kind: `Pair`, `Label` or `Place`.
        path: A file of JSON lines.

    Raises:
        InputError: The file cannot be read, or a line is not such an example.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _parsed(kind, line, f"{path}:{number}")
    except OSError as error:
        raise InputError(f"cannot read examples from {path}: {error}") from error


def _parsed(kind: type[E], line: bytes, place: str) -> E:
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not a JSON object: {error}") from error
    if not isinstance(table, dict):
        raise InputError(f"{place}: {type(table).__name__} where a JSON object must be")
    try:
        return from_table(kind, table)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _value(name: str, hint: Any, table: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
    """Return the value of a column, checked against the type of its field."""
    if name not in table:
        raise InputError(f"column {name} is missing")
    value = table[name]
    if hint == tuple[Snippet, ...]:
        return _snippets(value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in list(hint):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(hint)}")
        return hint(value)
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    allowed = {each for kind in kinds for each in _PLAIN[kind]}
    is_finite = not isinstance(value, float) or math.isfinite(value)
    if type(value) not in allowed or not is_finite:
        raise InputError(f"{name} is {value!r}; it must be {getattr(hint, '__name__', hint)}")
    return value


def _snippets(value: object) -> tuple[Snippet, ...]:
    rows = value if isinstance(value, list) else [None]
    for row in rows:
        is_whole = isinstance(row, dict) and {type(row.get(k)) for k in ("path", "text")} == {str}
        if not is_whole:
            raise InputError(f"snippets holds {row!r}; it must be a list of path and text")
    return tuple(Snippet(path=row["path"], text=row["text"]) for row in rows)
