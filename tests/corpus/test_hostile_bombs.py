"""Bombs, read in a process of their own whose memory is measured."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from tests.corpus.planted_archives import LIMITS, header, members_of, outcomes, zip_with
from training.corpus.archives import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_MEMORY_BYTES = 700_000_000
GIGABYTE = 1_000_000_000


READ = """
import json, pathlib, re, sys
from training.corpus.archives import ArchiveError
from training.corpus.limits import Limits
from training.corpus.read import Reading, read_source
from training.corpus.source import Source, Splits
kind, archive_members, *paths = sys.argv[1:]
names = {"directory": "x"} if kind == "archive" else {"parquet": "x/y.parquet"}
reasons = []
for path in map(pathlib.Path, paths):
    reading = Reading(
        source=Source(**names), splits=Splits(), exclude=(), archives=(path,),
        limits=Limits(archive_members=int(archive_members)),
    )
    out = path.with_name(path.name + ".read")
    try:
        read_source(reading, out)
        reasons.append(None)
    except ArchiveError as error:
        reasons.append(str(error))
    assert out.exists() == (reasons[-1] is None)
# What `resource` gives counts what the parent held when it forked.
status = pathlib.Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
print(json.dumps([reasons, peak]))
"""


def read_in_a_process(
    *paths: Path, kind: str = "archive", archive_members: int = LIMITS.archive_members
) -> list[str | None]:
    """Return why each file cannot be read, or None; fail where they took much memory."""
    command = [sys.executable, "-c", READ, kind, str(archive_members), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    reasons, peak_bytes = json.loads(done.stdout)
    assert peak_bytes < MOST_MEMORY_BYTES
    return reasons


class Deflated:
    """A stream of one byte, many times, packed as it is made: it never lies unpacked anywhere."""

    def __init__(self, packer: object) -> None:
        self._packer = packer

    def of(self, start: bytes, num_zeros: int) -> bytes:
        block = bytes(1 << 24)
        parts = [self._packer.compress(start)]  # pyrefly: ignore
        while num_zeros > 0:
            parts.append(self._packer.compress(block[:num_zeros]))  # pyrefly: ignore
            num_zeros -= len(block)
        return b"".join([*parts, self._packer.flush()])  # pyrefly: ignore


PACKERS: dict[str, Callable[[], object]] = {
    "tar.gz": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
    "tar.bz2": lambda: bz2.BZ2Compressor(9),
    "tar.xz": lambda: lzma.LZMACompressor(preset=0),
}


TAR_BOMBS = {
    "file": (tarfile.REGTYPE, 10 * GIGABYTE, "archive_too_large"),
    "large file": (tarfile.REGTYPE, GIGABYTE // 8, None),  # one file far over the limit of a file
    "attributes": (tarfile.XHDTYPE, GIGABYTE // 8, "archive_too_large"),
    "name": (tarfile.GNUTYPE_LONGNAME, GIGABYTE // 8, "archive_too_large"),
}
"""What the header of a huge member says: its kind and its size; and why it cannot be read."""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACKERS)
def test_a_tar_that_unpacks_to_much_is_read_in_little_memory(tmp_path: Path, suffix: str) -> None:
    paths = {name: tmp_path / f"{name}.{suffix}" for name in TAR_BOMBS}
    num_zeros = GIGABYTE // 8 + 10240
    for name, (kind, claimed_bytes, _) in TAR_BOMBS.items():
        start = header("good.py", 0) + header("bomb.py", claimed_bytes, kind)
        paths[name].write_bytes(Deflated(PACKERS[suffix]()).of(start, num_zeros))
        assert paths[name].stat().st_size < num_zeros / 200
    found = dict(zip(paths, read_in_a_process(*paths.values()), strict=True))
    assert found == {name: reason for name, (_, _, reason) in TAR_BOMBS.items()}


def test_an_xz_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29, "preset": 0}]
    path = tmp_path / "a.tar.xz"
    with lzma.open(path, "wb", filters=filters) as file:
        file.write(header("a.py", 0) + bytes(10240))
    with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
        members_of(path)


def test_a_zip_that_claims_less_than_it_unpacks_to_is_damaged(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", {"a.py": bytes(100_000_000)})
    data = path.read_bytes().replace(struct.pack("<L", 100_000_000), struct.pack("<L", 10))
    path.write_bytes(data)
    assert read_in_a_process(path) == ["damaged_archive"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_in_one_go_are_not_unpacked(tmp_path: Path, method: int) -> None:
    path = zip_with(tmp_path / "a.zip", {"a.py": bytes(900_000)}, method)
    assert outcomes(path) == [("a.py", "unknown_compression")]


def test_entries_that_share_their_data_count_each(tmp_path: Path) -> None:
    """A directory that names one member a thousand times, as in a zip bomb without nesting."""
    path = zip_with(tmp_path / "a.zip", {"a.py": bytes(900_000)})
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry, end = data[start : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    entries = b"".join(entry.replace(b"a.py", b"%04d" % n) for n in range(5000))
    counts = struct.pack("<HHLL", 5000, 5000, len(entries), start)
    path.write_bytes(data[:start] + entries + end[:8] + counts + end[20:])
    assert path.stat().st_size < 300_000
    with pytest.raises(ArchiveError):
        members_of(path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_one_member_too_many_stops_the_reading(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"many.{suffix}"
    num_members = 20_001
    if suffix == "zip":
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[20] * 2, *[0] * 7, 6, *[0] * 6)
        entries = b"".join(entry + b"%06d" % n for n in range(num_members))
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, len(entries), 0, 0)
        path.write_bytes(entries + end)
    else:
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(header("a.py", 0) * num_members)
    assert read_in_a_process(path, archive_members=num_members - 1) == ["archive_too_large"]


def test_headers_that_never_end_are_a_bomb_too(tmp_path: Path) -> None:
    """A map of holes with many entries, as sparse files have it."""
    record = b"1000000 GNU.sparse.map=" + b"0,1," * 200_000 + b"\n"
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        padding = bytes(-len(record) % 512)
        file.write(header("x", len(record), tarfile.XHDTYPE) + record + padding + header("a.py", 0))
    with pytest.raises(ArchiveError, match=r"^archive_too_large$"):
        members_of(path)


def test_a_file_of_one_huge_line_and_a_huge_source_file_are_not_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "line.js").write_bytes(b"a" * 100_000_000)
    (folder / "lines.c").write_bytes(b"int x;\n" * 14_000_000)
    (folder / "good.py").write_bytes(b"x = 1\n")
    assert read_in_a_process(folder) == [None]
    assert outcomes(folder) == [
        ("good.py", None),
        ("line.js", "too_large"),
        ("lines.c", "too_large"),
    ]


# --- Parquet ---


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dictionary", "long rows", "many pages"])
def test_a_parquet_bomb_is_read_in_little_memory(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "bomb.parquet"
    texts = {
        # One text of 20 MB that thousands of rows point to.
        "dictionary": pa.DictionaryArray.from_arrays(
            pa.array([0] * 4000, pa.int32()), pa.array(["x" * 20_000_000])
        ),
        "long rows": pa.array(["x" * 60_000_000] * 5, pa.large_string()),
        "many pages": pa.array([f"{n}" * 200_000 for n in range(1500)], pa.large_string()),
    }[kind]
    names = pa.array([f"{n}.py" for n in range(len(texts))])
    pq.write_table(pa.table({"content": texts, "path": names}), path, compression="zstd")
    assert path.stat().st_size < 10_000_000
    [reason] = read_in_a_process(path, kind="parquet")
    assert reason in {None, "archive_too_large"}
