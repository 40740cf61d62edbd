"""Archives are hostile: what is not a plain file with a sane path has a reason and no content."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from training.corpus.archives import ArchiveError, Member, read_members
from training.corpus.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(file_bytes=1000, archive_bytes=1_000_000, archive_members=100)


def members_of(archive: Path, limits: Limits = LIMITS) -> list[Member]:
    return list(read_members(archive, limits, lambda _: None))


def tar_with(path: Path, entries: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar", "w"), ("tgz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")]
)
def test_a_tar_gives_its_files_without_the_shared_top_folder(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    path = tar_with(
        tmp_path / f"a.{suffix}", {"a-1.0/x.py": "x = '🙂'\r\n".encode(), "a-1.0/b.py": b""}, mode
    )
    assert members_of(path) == [
        Member("x.py", 12, "x = '🙂'\r\n".encode(), None),
        Member("b.py", 0, b"", None),
    ]


def test_a_zip_gives_its_files_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top/b.py", "b = 1\n")
        archive.writestr("top/a.py", "")
    assert members_of(path) == [Member("b.py", 6, b"b = 1\n", None), Member("a.py", 0, b"", None)]


def test_nothing_is_stripped_when_files_lie_beside_the_folder(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "a.tgz", {"src/a.py": b"1", "setup.py": b"2"})
    assert [member.path for member in members_of(path)] == ["src/a.py", "setup.py"]


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/evil.py", "a/../../evil.py", "..\\evil.py", "C:\\evil.py"]
)
def test_a_path_that_climbs_out_is_never_read(tmp_path: Path, name: str) -> None:
    box = tmp_path / "box"
    box.mkdir()
    tar = tar_with(box / "a.tgz", {name: b"x = 1\n", "good.py": b"y = 1\n"})
    with zipfile.ZipFile(box / "a.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x = 1\n")
    assert [(m.content, m.reason) for m in members_of(tar)] == [
        (None, "unsafe_path"),
        (b"y = 1\n", None),
    ]
    assert [(m.content, m.reason) for m in members_of(box / "a.zip")] == [(None, "unsafe_path")]
    assert {path.name for path in tmp_path.rglob("*")} == {"box", "a.tgz", "a.zip"}


def test_links_and_devices_are_never_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in [
            ("s.py", tarfile.SYMTYPE),
            ("h.py", tarfile.LNKTYPE),
            ("d.py", tarfile.CHRTYPE),
            ("f.py", tarfile.FIFOTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert [(m.path, m.content, m.reason) for m in members_of(path)] == [
        ("s.py", None, "link"),
        ("h.py", None, "link"),
        ("d.py", None, "special_file"),
        ("f.py", None, "special_file"),
    ]
    link = zipfile.ZipInfo("l.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert members_of(tmp_path / "a.zip") == [Member("l.py", 0, None, "link")]


def test_a_folder_s_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_bytes(b"a\n")
    (folder / "sub" / "b.py").write_bytes(b"b\n")
    (folder / "out.py").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.py")
    assert members_of(folder) == [
        Member("a.py", 2, b"a\n", None),
        Member("loop", 0, None, "link"),
        Member("out.py", 0, None, "link"),
        Member("pipe.py", 0, None, "special_file"),
        Member("sub/b.py", 2, b"b\n", None),
    ]


def test_of_two_members_with_one_name_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("x.py")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert members_of(path) == [
        Member("x.py", 5, b"first", None),
        Member("x.py", 6, None, "duplicate_path"),
    ]


def test_a_file_over_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "a.tgz", {"big.py": b"x" * 1001, "fits.py": b"x" * 1000})
    assert [(m.path, m.reason) for m in members_of(path)] == [
        ("big.py", "too_large"),
        ("fits.py", None),
    ]


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.xz"])
def test_a_bomb_stops_at_the_limit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb.{suffix}"
    zeros = bytes(5_000_000)
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros.py", zeros)
    else:
        tar_with(path, {"zeros.py": zeros}, f"w:{suffix.removeprefix('tar.')}")
    assert path.stat().st_size < 20_000
    with pytest.raises(ArchiveError, match="archive_too_large"):
        members_of(path)


def test_too_many_members_stop_the_reading(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "a.tgz", {f"{n}.py": b"" for n in range(101)})
    with pytest.raises(ArchiveError, match="archive_too_large"):
        members_of(path)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.xz", "tar"])
def test_a_damaged_archive_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"this is no archive" * 100)
    with pytest.raises(ArchiveError, match="damaged_archive"):
        members_of(path)


def test_a_cut_off_archive_says_so(tmp_path: Path) -> None:
    whole = tar_with(tmp_path / "a.tgz", {f"{n}.py": os.urandom(900) for n in range(50)})
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole.read_bytes()[:20_000])
    with pytest.raises(ArchiveError, match="damaged_archive"):
        members_of(cut)


def test_an_unknown_kind_of_archive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.rar"
    path.write_bytes(b"Rar!")
    with pytest.raises(ArchiveError, match="unknown_archive_kind"):
        members_of(path)


def test_a_name_that_is_no_unicode_is_still_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        info = tarfile.TarInfo("caf\xe9.py")
        archive.addfile(info, io.BytesIO())
    assert members_of(path) == [Member("caf\ufffd.py", 0, b"", None)]


def test_an_encrypted_member_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.py", "x = 1\n")
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    assert members_of(path) == [Member("x.py", 6, None, "encrypted")]
