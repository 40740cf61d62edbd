"""What an instruction example holds, and the file of Parquet that holds many.

The record keeps the prompt as parts, so that any model family's layout can be made of it; the
layout of our own is exactly what the language server sends.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fimble.errors import InputError
from fimble.fim import FimOrder, Snippet, document_header, infill_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fimble.fim import FimFormat, Part

FORMAT_VERSION = 1


class Task(StrEnum):
    """What an example asks for."""

    DOCSTRING_BODY = "docstring_body"
    """The body of a function that is documented."""
    SIGNATURE_BODY = "signature_body"
    """The body of one that is not."""
    TEST_BODY = "test_body"
    """The body of a function, with a test that calls it among the code of other files."""
    COMMENT_BLOCK = "comment_block"
    """The code below a comment, up to a blank line or the end of its block."""
    CALL_ARGUMENTS = "call_arguments"
    """What stands between the brackets of a call of the project's own function."""
    RELEASE_EDIT = "release_edit"
    """The next change of a file, of which the changes above are made and those below are not."""
    FIM = "fim"
    """A middle drawn as in pretraining, so that nothing is forgotten."""
    PLAIN = "plain"
    """A text without a hole, likewise."""


REPLAY = frozenset({Task.FIM, Task.PLAIN})


class Example(NamedTuple):
    """One example."""

    task: Task
    language: str
    project: str
    path: str
    prefix: str
    """Cut to the server's window."""
    suffix: str
    middle: str
    snippets: tuple[Snippet, ...] = ()
    """Code of other files, the most important last."""
    order: str = ""
    """Of a replayed middle: a `FimOrder`; empty for the order that is served."""
    instruction: str = ""
    """The documentation, comment or signature that says what is wanted."""
    place: int = 0
    """Where the middle begins, in characters of the file."""

    def prompt(self, fim_format: FimFormat) -> tuple[Part, ...]:
        """Return what the model is asked, as marks and text; the middle follows."""
        if self.task is Task.PLAIN:
            return document_header(path=self.path) if fim_format.file else ()
        if self.order and FimOrder(self.order) in fim_format.orders and fim_format.file:
            return infill_prompt(
                prefix=self.prefix,
                suffix=self.suffix,
                order=FimOrder(self.order),
                path=self.path,
                snippets=self.snippets,
            )
        return fim_format.prompt(
            prefix=self.prefix, suffix=self.suffix, path=self.path, snippets=self.snippets
        )


_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        *(pa.field(name, _TEXT) for name in Example._fields[:7]),
        pa.field("snippets", pa.list_(pa.struct([("path", _TEXT), ("text", _TEXT)]))),
        pa.field("order", _TEXT),
        pa.field("instruction", _TEXT),
        pa.field("place", pa.int64()),
    ]
)


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write examples to a Parquet file; the same ones give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            **example._asdict(),
            "task": example.task.value,
            "snippets": [{"path": s.path, "text": s.text} for s in example.snippets],
        }
        for example in examples
    ]
    aside = path.with_name(f".{path.name}.part")
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), aside, compression="zstd")
    aside.replace(path)


def read_examples(path: Path, *, tasks: Iterable[Task] = tuple(Task)) -> list[Example]:
    """Return the examples of a file, those of some tasks.

    Raises:
        InputError: There is no such file, or it is another kind of one.
    """
    if not path.is_file():
        raise InputError(f"there is no {path}; make it with `fimble tune data`")
    wanted = {task.value for task in tasks}
    table = pq.read_table(path)
    if table.schema.names != SCHEMA.names:
        raise InputError(f"{path} holds {table.schema.names}; examples hold {SCHEMA.names}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return [_read(row) for row in rows if row["task"] in wanted]


def _read(row: dict[str, Any]) -> Example:
    row["task"] = Task(row["task"])
    row["snippets"] = tuple(Snippet(**each) for each in row["snippets"])
    return Example(**row)
