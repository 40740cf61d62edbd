"""Input that wants to break the reading: bombs in bounded memory, folders that bite, odd names."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from training.corpus import folders
from training.corpus.archives import ArchiveError, Member, read_members
from training.corpus.limits import Limits
from training.corpus.read import Reading, read_source
from training.corpus.source import Projects, Source, Splits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMITS = Limits()
MOST_MEMORY_BYTES = 700_000_000
GIGABYTE = 1_000_000_000


def members_of(archive: Path, limits: Limits = LIMITS) -> list[Member]:
    return list(read_members(archive, limits, lambda _: None))


def outcomes(archive: Path, limits: Limits = LIMITS) -> list[tuple[str, str | None]]:
    return [(member.path, member.reason) for member in members_of(archive, limits)]


# --- Bombs, read in a process of their own whose memory is measured ---

READ = """
import json, pathlib, re, sys
from training.corpus.archives import ArchiveError
from training.corpus.limits import Limits
from training.corpus.read import Reading, read_source
from training.corpus.source import Source, Splits
kind, path, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
names = {"directory": "x"} if kind == "archive" else {"parquet": "x/y.parquet"}
reading = Reading(
    source=Source(**names), splits=Splits(), exclude=(), limits=Limits(), archives=(path,)
)
try:
    read_source(reading, out)
    reason = None
except ArchiveError as error:
    reason = str(error)
# What `resource` gives counts what the parent held when it forked.
status = pathlib.Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
print(json.dumps([reason, peak]))
"""


def read_in_a_process(path: Path, kind: str = "archive") -> str | None:
    """Return why a file cannot be read, or None; fail where that took much memory."""
    out = path.with_name("read.parquet")
    done = subprocess.run(
        [sys.executable, "-c", READ, kind, str(path), str(out)],
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reason, peak_bytes = json.loads(done.stdout)
    assert peak_bytes < MOST_MEMORY_BYTES
    assert out.exists() == (reason is None)
    return reason


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


def header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size_bytes, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(
    ("kind", "claimed_bytes", "reason"),
    [
        (tarfile.REGTYPE, 10 * GIGABYTE, "archive_too_large"),
        (tarfile.REGTYPE, GIGABYTE // 4, None),  # one file far over the limit of a file
        (tarfile.XHDTYPE, GIGABYTE // 4, "archive_too_large"),
        (tarfile.GNUTYPE_LONGNAME, GIGABYTE // 4, "archive_too_large"),
    ],
    ids=["file", "large file", "attributes", "name"],
)
def test_a_tar_that_unpacks_to_much_is_read_in_little_memory(
    tmp_path: Path, suffix: str, kind: bytes, claimed_bytes: int, reason: str | None
) -> None:
    path = tmp_path / f"bomb.{suffix}"
    num_zeros = GIGABYTE // 4 + 10240
    start = header("good.py", 0) + header("bomb.py", claimed_bytes, kind)
    path.write_bytes(Deflated(PACKERS[suffix]()).of(start, num_zeros))
    assert path.stat().st_size < num_zeros / 200
    assert read_in_a_process(path) == reason


def test_an_xz_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29, "preset": 0}]
    path = tmp_path / "a.tar.xz"
    with lzma.open(path, "wb", filters=filters) as file:
        file.write(header("a.py", 0) + bytes(10240))
    with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
        members_of(path)


def zip_with(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def test_a_zip_that_claims_less_than_it_unpacks_to_is_damaged(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", {"a.py": bytes(100_000_000)})
    data = path.read_bytes().replace(struct.pack("<L", 100_000_000), struct.pack("<L", 10))
    path.write_bytes(data)
    assert read_in_a_process(path) == "damaged_archive"


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
    num_members = LIMITS.archive_members + 1
    if suffix == "zip":
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[20] * 2, *[0] * 7, 6, *[0] * 6)
        entries = b"".join(entry + b"%06d" % n for n in range(num_members))
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, len(entries), 0, 0)
        path.write_bytes(entries + end)
    else:
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(header("a.py", 0) * num_members)
    assert read_in_a_process(path) == "archive_too_large"


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
    assert read_in_a_process(folder) is None
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
    assert read_in_a_process(path, "parquet") in {None, "archive_too_large"}


# --- Folders ---


def test_what_is_no_plain_file_is_never_opened(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "sub").mkdir(parents=True)
    os.mkfifo(folder / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.py"))
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "self.py").symlink_to("self.py")
    (folder / "gone.py").symlink_to("/nowhere")
    assert outcomes(folder) == [
        ("gone.py", "link"),
        ("pipe.py", "special_file"),
        ("socket.py", "special_file"),
        ("sub/self.py", "link"),
        ("sub/up", "link"),
    ]
    assert folders.digest(folder).size_bytes == 0


def test_files_that_change_while_they_are_read_have_a_reason_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    for name in ("a.py", "gone.py", "link.py", "pipe.py", "sub/b.py", "swapped/c.py", "z.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x\n")
    found: dict[str, tuple[bytes | None, str | None]] = {}
    for member in read_members(tmp_path, LIMITS, change_behind(tmp_path)):
        found[member.path] = (member.content, member.reason)
    assert found == {
        "a.py": (b"longer than before\n", None),
        "gone.py": (None, "vanished"),
        "link.py": (None, "unreadable"),
        "pipe.py": (None, "special_file"),
        "z.py": (b"x\n", None),
        "sub": (None, "vanished"),
        "swapped": (None, "vanished"),
    }


def change_behind(folder: Path) -> Callable[[str], str | None]:
    """Return a judge of paths that changes each file after the look and before the opening."""

    def judge(path: str) -> str | None:
        if path == "a.py":
            (folder / path).write_bytes(b"longer than before\n")
        elif path != "z.py":
            (folder / path).unlink()
        if path == "link.py":
            (folder / path).symlink_to("/etc/passwd")
        if path == "pipe.py":
            os.mkfifo(folder / path)
            (folder / "sub" / "b.py").unlink()
            (folder / "sub").rmdir()
            (folder / "swapped").rename(folder.with_name(f"{folder.name}-away"))
            (folder / "swapped").write_bytes(b"a file now\n")
        return None

    return judge


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_files_and_folders_without_permission_have_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "closed").mkdir(parents=True)
    (folder / "closed" / "a.py").write_bytes(b"x\n")
    (folder / "closed").chmod(0)
    (folder / "secret.py").write_bytes(b"x\n")
    (folder / "secret.py").chmod(0)
    (folder / "z.py").write_bytes(b"x\n")
    # Root reads everything, so a child looks as nobody does.
    for parent in (tmp_path, *tmp_path.parents):
        parent.chmod(parent.stat().st_mode | 0o755) if parent.owner() == "root" else None
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setuid(65534)
        found = [*outcomes(folder), folders.digest(folder).size_bytes]
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(reader, 10_000)) == [
        ["secret.py", "unreadable"],
        ["z.py", None],
        ["closed", "unreadable"],
        4,
    ]
    os.close(reader)
    os.close(writer)


def test_a_folder_too_deep_for_its_path_has_a_reason(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        name = "d" * 200
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.py", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    [(path, reason)] = outcomes(tmp_path)
    assert (len(path), reason) == (4096, "path_too_long")
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 200))], check=True)


def test_names_that_are_odd_are_still_names(tmp_path: Path) -> None:
    names = [b"a\nb.py", "\N{GRINNING FACE}.py".encode(), b"caf\xe9.py", b"CASE.py", b"case.py"]
    folder = tmp_path / "code"
    folder.mkdir()
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"x\n")
    tar = tmp_path / "odd.tar"
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            archive.addfile(info, io.BytesIO())
    expected = {"a\nb.py", "\N{GRINNING FACE}.py", "caf\ufffd.py", "CASE.py", "case.py"}
    for archive in (folder, tar):
        found = outcomes(archive)
        assert {path for path, _ in found} == expected
        assert {reason for _, reason in found} == {None}


def test_a_path_of_four_thousand_characters_is_cut_and_one_of_less_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "long.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("é" * 3000 + ".py", "é" * 3000 + ".go", "d/" * 2000 + "a.py"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert outcomes(path) == [
        ("é" * 2048, "path_too_long"),
        ("é" * 2048, "path_too_long"),
        ("d/" * 2000 + "a.py", None),
    ]


# --- Rows of what was read ---


def read_rows_of(tmp_path: Path, archive: Path, **keys: object) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    reading = Reading(
        source=Source(directory="code", **keys),  # pyrefly: ignore[bad-argument-type] - keys of a recipe
        splits=Splits(validation=frozenset({"two"})),
        exclude=(),
        limits=LIMITS,
        archives=(archive,),
    )
    read_source(reading, tmp_path / "read.parquet")
    return pq.read_table(tmp_path / "read.parquet").to_pylist()


def test_each_member_has_an_id_of_its_own_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "twice.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("../e.py", "../e.py", "x.py", "x.py", "l" * 5000, "l" * 5001, "s.py", "s.py"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE if name == "s.py" else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO())
    rows = read_rows_of(tmp_path, path)
    assert len({row["id"] for row in rows}) == len(rows) == 8
    assert [row["reason"] for row in rows] == [
        *("unsafe_path", "unsafe_path", None, "duplicate_path"),
        *("path_too_long", "path_too_long", "link", "duplicate_path"),
    ]


def test_an_empty_folder_and_an_empty_package_give_no_rows(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    assert read_rows_of(tmp_path, tmp_path / "code") == []
    tarfile.open(tmp_path / "empty.tgz", "w:gz").close()
    assert read_rows_of(tmp_path, tmp_path / "empty.tgz") == []
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    assert read_rows_of(tmp_path, tmp_path / "empty.zip") == []


def test_each_top_folder_is_a_project(tmp_path: Path) -> None:
    for name in ("one/a.py", "two/deep/b.py", "c.py"):
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_bytes(b"x\n")
    rows = read_rows_of(tmp_path, tmp_path / "code", projects=Projects.TOP_FOLDERS)
    assert [(row["path"], row["project"], row["split"], row["licence"]) for row in rows] == [
        ("c.py", "code", "train", "NOASSERTION"),
        ("one/a.py", "one", "train", "NOASSERTION"),
        ("two/deep/b.py", "two", "validation", "NOASSERTION"),
    ]


# --- Archives that are cut or are something else ---


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz", "tar", "zip"])
def test_an_archive_that_is_cut_anywhere_says_so(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    files = {f"{n}.py": os.urandom(3000) for n in range(40)}
    if suffix == "zip":
        zip_with(whole, files)
    else:
        mode = f"w:{suffix.partition('.')[2]}"
        with tarfile.open(whole, mode) as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    for num_bytes in [0, 1, 5, 100, *range(601, len(data) - 20_000, 9_778)]:
        cut.write_bytes(data[:num_bytes])
        with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
            members_of(cut)


def test_a_suffix_that_lies_is_found_out(tmp_path: Path) -> None:
    files = {"a.py": b"x = 1\n"}
    path = zip_with(tmp_path / "a.zip", files).rename(tmp_path / "a.tar.gz")
    with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
        members_of(path)
    with tarfile.open(tmp_path / "b.zip", "w:gz"):
        pass
    with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
        members_of(tmp_path / "b.zip")
    with tarfile.open(tmp_path / "c.tar.xz", "w:bz2") as archive:
        archive.addfile(tarfile.TarInfo("a.py"), io.BytesIO())
    assert outcomes(tmp_path / "c.tar.xz") == [("a.py", None)]  # how it is packed is looked at


def test_what_follows_the_end_of_a_compressed_tar_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    tar = header("a.py", 6) + b"x = 1\n".ljust(512, b"\0") + bytes(1024)
    halves = gzip.compress(tar[:700]) + gzip.compress(tar[700:])
    for rest in (b"", bytes(512), b"garbage after the end", b"\x1f"):
        path.write_bytes(halves + rest)
        assert members_of(path) == [Member("a.py", 6, b"x = 1\n", None)]
