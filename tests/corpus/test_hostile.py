"""Input that wants to break the reading: folders that bite, odd names, archives cut off."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import subprocess
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.corpus.planted_archives import LIMITS, header, members_of, outcomes, zip_with
from training.corpus import folders
from training.corpus.archives import ArchiveError, Member, read_members
from training.corpus.read import Reading, read_source
from training.corpus.source import Projects, Source, Splits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
