"""Where the requests of a day are: in a file of its own, or in the block of its month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.texts import quoted, stored_requests
from telemetry.warehouse import FORMAT_VERSION, Block, Kind, Manifest, Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterable


def all_requests(warehouse: Warehouse, manifest: Manifest) -> str:
    """Return a query for the requests of all days."""
    is_uniform = manifest.format_version == FORMAT_VERSION
    blocks = manifest.blocks.values()
    partly = [block for block in blocks if block.replaced]
    apart = {path for block in partly for path in warehouse.files_of(block)}
    whole = [path for path in warehouse.files(manifest, Kind.REQUESTS) if path not in apart]
    of_blocks = [of_block(warehouse, block) for block in partly]
    return " union all by name ".join([stored_requests(whole, is_uniform=is_uniform), *of_blocks])


def of_block(warehouse: Warehouse, block: Block) -> str:
    """Return a query for the requests of a block that count."""
    stored = stored_requests(warehouse.files_of(block), is_uniform=True)
    return f"from ({stored}) select * where day not in ({_days(block.replaced)})"


def requests_of(warehouse: Warehouse, manifest: Manifest, day: str) -> str:
    """Return a query for the requests of one day; an empty one where it has none."""
    if block := manifest.block_of(day):
        stored = stored_requests(warehouse.files_of(block), is_uniform=True)
        return f"from ({stored}) select * where day = {_days([day])}"
    files = manifest.days[day]
    return stored_requests([warehouse.path_of(files, Kind.REQUESTS)] if files.requests else [])


def without_day(blocks: dict[str, Block], day: str) -> dict[str, Block]:
    """Return blocks in which the requests of a day do not count any more."""
    return {
        month: Block(
            names=block.names,
            days=tuple(each for each in block.days if each != day),
            replaced=tuple(sorted({*block.replaced, day})),
        )
        if day in block.days
        else block
        for month, block in blocks.items()
        if block.days != (day,)
    }


def block_file(month: str, generation: int, number: int) -> str:
    """Return the name of a file of a block."""
    return f"{month}.{generation}-{number}.parquet"


def _days(days: Iterable[str]) -> str:
    return ", ".join(f"{quoted(day)}::date" for day in days) or "'0001-01-01'::date"
