"""Exactly what is stored: every line of the spool as it lies there, every stored event in full."""

from __future__ import annotations

import contextlib
import json
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fimble.spool import CLOSED_SUFFIX, OPEN_SUFFIX
from telemetry.texts import parquet_query
from telemetry.views import connect
from telemetry.warehouse import Kind, Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ROWS_AT_ONCE = 1000


def stored_lines(folders: Sequence[Path], warehouse: Warehouse) -> Iterator[str]:
    """Yield one JSON object a line: first what is merged, then what waits, as it is.

    Args:
        folders: Folders of segments: the spool, and the store of content.
        warehouse: Merged events; fields that an event does not have are left out.

    Raises:
        InputError: The manifest of the warehouse is damaged.
    """
    parquet = warehouse.files(warehouse.manifest(), Kind.EVENTS)
    if parquet:
        with TemporaryDirectory() as work, connect(work) as db:
            rows = db.execute(
                "select to_json(e) from "  # noqa: S608 - literals by `quoted`
                f"(select * exclude (day) from ({parquet_query(parquet)})) as e "
                "order by session_id, seq"
            )
            while found := rows.fetchmany(_ROWS_AT_ONCE):
                for (text,) in found:
                    event = json.loads(text)
                    kept = {name: value for name, value in event.items() if value is not None}
                    yield json.dumps(kept, ensure_ascii=False)
    for folder in (*folders, warehouse.aside):
        for path in sorted([*folder.glob(f"*{OPEN_SUFFIX}"), *folder.glob(f"*{CLOSED_SUFFIX}")]):
            with contextlib.suppress(FileNotFoundError):  # merged or sent just now
                yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
