"""Object storage: a bucket, or anything else that speaks the protocol of S3.

Segments are there before their senders are told so. After each merge the files of the warehouse
follow, and last the manifest, so whoever reads the bucket sees a whole warehouse at any time. The
files have names of their own and never change; an analyst fetches those that he does not have, and
asks the same queries as on a local disk.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from fimble.errors import InputError
from fimble.files import write_whole
from telemetry.collector.receipts import RECEIPTS
from telemetry.operations.store import FOLDER, OperationsStore
from telemetry.warehouse import Kind, Warehouse

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MANIFEST = "warehouse/manifest.json"
_OPERATIONS = f"warehouse/{FOLDER}"


class ObjectFolder:
    """A folder in object storage."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> ObjectFolder:
        """Return the folder at an address such as `s3://bucket/prefix`.

        Keys, region and endpoint come from the environment (`AWS_ACCESS_KEY_ID`,
        `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`).

        Raises:
            InputError: It is no such address.
        """
        try:
            return cls(from_url(url, client_options={"allow_http": True}))
        except (BaseError, ValueError) as error:
            raise InputError(
                f"the object storage is {url!r}; allowed are addresses such as "
                f"s3://bucket/prefix: {error}"
            ) from error

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whole.

        Raises:
            OSError: The storage does not take it.
        """
        try:
            obstore.put(self._store, name, data)
        except BaseError as error:
            raise OSError(f"object storage: {error}") from error

    def get(self, name: str) -> bytes | None:
        """Return an object, or None if there is none.

        Raises:
            OSError: The storage does not answer.
        """
        try:
            return obstore.get(self._store, name).bytes().to_bytes()
        except (NotFoundError, FileNotFoundError):
            return None
        except BaseError as error:
            raise OSError(f"object storage: {error}") from error

    def names(self, folder: str) -> set[str]:
        """Return the names of the objects in a folder.

        Raises:
            OSError: The storage does not answer.
        """
        try:
            return {
                str(entry["path"])
                for entries in obstore.list(self._store, prefix=folder)
                for entry in entries
            }
        except BaseError as error:
            raise OSError(f"object storage: {error}") from error

    def delete(self, names: set[str]) -> None:
        """Delete objects; those that are gone already do not matter.

        Raises:
            OSError: The storage does not answer.
        """
        if not names:
            return
        try:
            with contextlib.suppress(NotFoundError, FileNotFoundError):
                obstore.delete(self._store, sorted(names))
        except BaseError as error:
            raise OSError(f"object storage: {error}") from error


def push(warehouse: Warehouse, objects: ObjectFolder) -> None:
    """Bring object storage to the state of a warehouse.

    Raises:
        OSError: The storage does not answer; the next call goes on.
    """
    manifest = warehouse.manifest()
    wanted = {f"warehouse/{name}" for name in manifest.named()}
    there = objects.names("warehouse")
    for name in sorted(wanted - there):
        objects.put(name, _local(warehouse, name).read_bytes())
    objects.put(MANIFEST, (warehouse.folder / "manifest.json").read_bytes())
    kept = {f"warehouse/{name}" for name in manifest.retired} | {MANIFEST}
    operations = {name for name in there if name.startswith(f"{_OPERATIONS}/")}
    objects.delete(there - wanted - kept - operations)
    # What the warehouse holds needs no segment any more.
    segments = objects.names("segments")
    objects.delete({name for name in segments if Path(name).name in manifest.segments})


def push_operations(warehouse: Warehouse, objects: ObjectFolder) -> None:
    """Bring what backends said to object storage; files that were replaced there go.

    Raises:
        OSError: The storage does not answer; the next call goes on.
    """
    here = {f"{_OPERATIONS}/{p.name}": p for p in OperationsStore(warehouse.folder).files()}
    there = objects.names(_OPERATIONS)
    for name in sorted(here.keys() - there):
        with contextlib.suppress(FileNotFoundError):  # replaced just now
            objects.put(name, here[name].read_bytes())
    objects.delete(there - here.keys())


def pull(objects: ObjectFolder, warehouse: Warehouse) -> None:
    """Bring a local copy of a warehouse to the state of object storage.

    Raises:
        InputError: There is no warehouse.
        OSError: The storage does not answer.
    """
    for _ in range(3):  # files that a merge replaces meanwhile may be gone
        data = objects.get(MANIFEST)
        if data is None:
            raise InputError(f"object storage holds no {MANIFEST}; has a collector merged there?")
        write_whole(warehouse.folder / ".manifest.next", data)
        wanted = _files_of(json.loads(data))
        missing = [name for name in sorted(wanted) if not _local(warehouse, name).exists()]
        fetched = {name: objects.get(name) for name in missing}
        for name, content in fetched.items():
            if content is not None:
                write_whole(_local(warehouse, name), content)
        if None not in fetched.values():
            (warehouse.folder / ".manifest.next").replace(warehouse.folder / "manifest.json")
            warehouse.remove_unnamed(warehouse.manifest())
            _pull_operations(objects, warehouse)
            return
    raise OSError("object storage changes faster than it can be read")


def _pull_operations(objects: ObjectFolder, warehouse: Warehouse) -> None:
    """Fetch what backends said that is not here yet, and remove what is there no more."""
    there = {Path(name).name: name for name in objects.names(_OPERATIONS)}
    folder = warehouse.folder / FOLDER
    for name in sorted(there.keys() - {path.name for path in folder.glob("*.parquet")}):
        content = objects.get(there[name])
        if content is not None:
            write_whole(folder / name, content)
    for path in folder.glob("*.parquet"):
        if path.name not in there:
            path.unlink()


def restore(objects: ObjectFolder, data_folder: Path, warehouse: Warehouse) -> None:
    """Fetch warehouse and waiting segments into an empty data folder.

    Raises:
        OSError: The storage does not answer.
    """
    if objects.get(MANIFEST) is not None:
        pull(objects, warehouse)
    receipts = objects.get(RECEIPTS)
    if receipts is not None:
        write_whole(data_folder / RECEIPTS, receipts)
    for name in sorted(objects.names("segments")):
        content = objects.get(name)
        if content is not None:
            write_whole(data_folder / "spool" / Path(name).name, content)


def _local(warehouse: Warehouse, name: str) -> Path:
    return warehouse.folder / Path(name).relative_to("warehouse")


def _files_of(table: dict[str, dict[str, dict[str, Any]]]) -> set[str]:
    fields = {kind: "name" if kind is Kind.EVENTS else kind.value for kind in Kind}
    days = table.get("days", {}).values()
    of_days = {f"warehouse/{k}/{d[f]}" for d in days for k, f in fields.items() if d.get(f)}
    blocks = table.get("blocks", {}).values()
    return of_days | {f"warehouse/{Kind.REQUESTS}/{n}" for block in blocks for n in block["names"]}
