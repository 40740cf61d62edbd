"""Records of benchmark files, with the file and line in every complaint."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import InputError
from fimble.text import to_lf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


class Record(NamedTuple):
    """One row of a benchmark file."""

    fields: Mapping[str, object]
    where: str
    """File and line, for messages."""

    def text(self, name: str, default: str | None = None) -> str:
        """Return a field's text, LF only.

        Raises:
            InputError: It is missing and there is no default, or it is no text.
        """
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, value, "a text")
        return to_lf(value)

    def texts(self, name: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a field's list of texts, LF only.

        Raises:
            InputError: It is missing and there is no default, or it is no list of texts.
        """
        value = self._value(name, default)
        if isinstance(value, Sequence) and not isinstance(value, str):
            items = [to_lf(item) for item in value if isinstance(item, str)]
            if len(items) == len(value):
                return tuple(items)
        raise self._wrong(name, value, "a list of texts")

    def label(self, name: str) -> str:
        """Return a field that names the record: a text or a whole number.

        Raises:
            InputError: It is missing or something else.
        """
        value = self._value(name, None)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self._wrong(name, value, "a text or a whole number")
        return str(value)

    def record(self, name: str) -> Record:
        """Return a record within the record.

        Raises:
            InputError: It is missing or something else.
        """
        value = self._value(name, None)
        if not isinstance(value, dict):
            raise self._wrong(name, value, "a table")
        return Record(value, f"{self.where}, in {name!r}")

    def records(self, name: str) -> tuple[Record, ...]:
        """Return the records of a list within the record; none where there is no such field.

        Raises:
            InputError: It is something else than a list of tables.
        """
        value = self._value(name, ())
        if isinstance(value, Sequence) and not isinstance(value, str):
            where = f"{self.where}, in {name!r}"
            items = [Record(item, where) for item in value if isinstance(item, dict)]
            if len(items) == len(value):
                return tuple(items)
        raise self._wrong(name, value, "a list of tables")

    def refuse(self, what: str) -> InputError:
        """Return an error that says where the record stands."""
        return InputError(f"{self.where}: {what}")

    def _value(self, name: str, default: object) -> object:
        value = self.fields.get(name)
        if value is not None:
            return value
        if default is None:
            has = ", ".join(sorted(self.fields)) or "no field at all"
            raise self.refuse(f"the record has no field {name!r}; it has {has}")
        return default

    def _wrong(self, name: str, value: object, expected: str) -> InputError:
        kind = type(value).__name__
        return self.refuse(f"field {name!r} is {str(value)[:60]!r} ({kind}); it must be {expected}")


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a benchmark file, in order.

    Raises:
        InputError: The file is missing, damaged, of an unknown kind or without a record.
    """
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path} is no benchmark file; names end in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"there is no benchmark file {path}")
    rows = _parquet_rows(path) if path.name.endswith(".parquet") else _text_rows(path)
    is_empty = True
    for line, fields in rows:
        is_empty = False
        where = f"{path}:{line}"
        if not isinstance(fields, dict):
            raise InputError(f"{where}: the record is {str(fields)[:60]!r}; it must be a table")
        yield Record(fields, where)
    if is_empty:
        raise InputError(f"{path} holds no record")


def _parquet_rows(path: Path) -> Iterator[tuple[int, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path} as Parquet: {error}") from error
    yield from enumerate(rows, start=1)


def _text_rows(path: Path) -> Iterator[tuple[int, object]]:
    text = _text_of(path)
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        # Only a line feed ends a record: a JSON text may hold U+2028 as it is.
        for line, row in enumerate(text.split("\n"), start=1):
            if row.strip():
                yield line, _parsed(row, f"{path}:{line}")
        return
    if not text.strip():
        return
    whole = _parsed(text, str(path))
    yield from enumerate(whole if isinstance(whole, list) else [whole], start=1)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: this is not JSON: {error}") from error


def _text_of(path: Path) -> str:
    try:
        return content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error


def content_of(path: Path) -> bytes:
    """Return what a file holds, unpacked where it is gzipped.

    Raises:
        InputError: It cannot be read, or is damaged.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is cut short or damaged: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
