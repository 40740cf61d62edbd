"""Source files of a project: from git at a commit, a folder, a package archive, or a corpus."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.suites.suite import Workspace
from fimble.errors import InputError
from fimble.languages import by_path
from fimble.text import decode_source, to_lf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FILE_BYTES = 200_000
"""Longer files are data or generated; no person completes in them."""
MAX_FILES = 20_000
_LONGEST_LINE_CHARS = 1000
_ADDRESS = re.compile(r"(?:https?|ssh|git|file)://|[\w.-]+@[\w.-]+:")
_ARCHIVES = (".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".crate", ".jar")
_NOT_WRITTEN_HERE = frozenset(
    {"node_modules", "site-packages", "third_party", "vendor", "vendored", "dist", "build"}
)
_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never")


class Tree(NamedTuple):
    """Projects, and what pins them."""

    workspaces: tuple[Workspace, ...]
    version: str
    """Commit of a git repository; else empty: the digest of the problems says what they hold."""


def read_tree(source: str, revision: str, scratch: Path) -> Tree:
    """Return the source files that a source has, in languages that we know.

    Args:
        source: Folder or address of a git repository, folder, package archive, or corpus folder.
        revision: Commit, tag or branch, for git; empty is what is checked out.
        scratch: An empty folder for what must be fetched.

    Raises:
        InputError: There is no such source, revision or file of a language we know.
    """
    place = Path(source).expanduser()
    if _ADDRESS.match(source):
        tree = _of_git(_fetched(source, revision, scratch), "FETCH_HEAD", _name_of(source))
    elif not place.exists():
        raise InputError(f"there is no repository, folder or archive {source}")
    elif _is_git(place):
        tree = _of_git(place, revision or "HEAD", place.resolve().name.removesuffix(".git"))
    elif revision:
        raise InputError(f"{source} is no git repository; a revision ({revision}) says nothing")
    elif (place / "card.json").is_file() and (place / "files").is_dir():
        tree = Tree(tuple(_of_corpus(place)), "")
    else:
        files = _of_folder(place) if place.is_dir() else _of_archive(place)
        name = place.resolve().name.partition(".")[0] or "project"
        tree = Tree((Workspace(name, dict(_sources(files))),), "")
    if not any(workspace.files for workspace in tree.workspaces):
        raise InputError(f"{source} holds no source file of a language that we know")
    return tree


def _sources(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    """Yield path and text of what people have written, in order of the paths."""
    for path, data in sorted(files):
        text = decode_source(data)
        if text is not None and text.strip() and _longest_line(text) <= _LONGEST_LINE_CHARS:
            yield path, to_lf(text)


def _longest_line(text: str) -> int:
    return max(map(len, text.split("\n")))


def _is_wanted(path: str, size_bytes: int) -> bool:
    parts = PurePosixPath(path).parts
    is_ours = not any(part in _NOT_WRITTEN_HERE or part.startswith(".") for part in parts[:-1])
    return is_ours and 0 < size_bytes <= MAX_FILE_BYTES and by_path(path) is not None


def _of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    num_files = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and f not in _NOT_WRITTEN_HERE
        )
        for name in sorted(names):
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                continue
            if _is_wanted(relative, path.stat().st_size) and num_files < MAX_FILES:
                num_files += 1
                yield relative, path.read_bytes()


def _of_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive without the one folder that holds them all.

    Raises:
        InputError: It is no archive, or a damaged one.
    """
    if not path.name.endswith(_ARCHIVES):
        raise InputError(f"{path} is no package archive; names end in {', '.join(_ARCHIVES)}")
    try:
        is_zip = zipfile.is_zipfile(path)
        files = list(_of_zip(path) if is_zip else _of_tar(path))
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"cannot read the archive {path}: {error}") from error
    tops = {name.partition("/")[0] for name, _ in files}
    if len(tops) == 1 and all("/" in name for name, _ in files):
        files = [(name.partition("/")[2], data) for name, data in files]
    yield from files


def _of_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist()[:MAX_FILES]:
            if not item.is_dir() and _is_wanted(item.filename, item.file_size):
                # What it says of its size may be a lie.
                with archive.open(item) as file:
                    yield item.filename, file.read(MAX_FILE_BYTES)


def _of_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for number, item in enumerate(archive):
            if number >= MAX_FILES:
                return
            name = PurePosixPath(item.name).as_posix()
            if item.isreg() and _is_wanted(name, item.size) and (file := archive.extractfile(item)):
                yield name, file.read()


def _of_corpus(folder: Path) -> Iterator[Workspace]:
    """Yield the projects of a corpus' validation split: no model has seen them."""
    import pyarrow.parquet as pq

    projects: dict[str, dict[str, str]] = defaultdict(dict)
    columns = ["project", "path", "split", "text"]
    for source in sorted((folder / "files").glob("*.parquet")):
        for batch in pq.ParquetFile(source).iter_batches(512, columns=columns):
            for row in batch.to_pylist():
                if row["split"] == "validation" and row["text"] and by_path(row["path"]):
                    projects[row["project"]][row["path"]] = to_lf(row["text"])
    if not projects:
        raise InputError(f"the corpus {folder} has no file of the validation split")
    for name, files in sorted(projects.items()):
        yield Workspace(name, dict(sorted(files.items())))


def _is_git(place: Path) -> bool:
    return (place / ".git").exists() or (
        (place / "HEAD").is_file() and (place / "objects").is_dir()
    )


def _name_of(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2].removesuffix(".git") or "project"


def _fetched(address: str, revision: str, scratch: Path) -> Path:
    """Return a bare repository with one commit of an address: `FETCH_HEAD`."""
    bare = scratch / "repository.git"
    _git("init", "--quiet", "--bare", str(bare))
    _git("fetch", "--quiet", "--depth=1", "--no-tags", "--", address, revision or "HEAD", at=bare)
    return bare


def _of_git(repository: Path, revision: str, name: str) -> Tree:
    """Return the tree of a commit as it was committed: no filter runs, nothing is checked out."""
    commit = _git(
        "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}", at=repository
    )
    version = commit.decode().strip()
    listed = _git("ls-tree", "-r", "-l", "-z", "--full-tree", version, at=repository)
    wanted: list[tuple[str, str]] = []
    for entry in listed.split(b"\0"):
        about, _, path_bytes = entry.partition(b"\t")
        mode, kind, blob, size = (*about.split(), b"", b"", b"", b"")[:4]
        path = path_bytes.decode("utf-8", "replace")
        if kind == b"blob" and mode != b"120000" and _is_wanted(path, int(size)):
            wanted.append((path, blob.decode()))
    files = zip(
        (path for path, _ in wanted[:MAX_FILES]),
        _blobs(repository, [blob for _, blob in wanted[:MAX_FILES]]),
        strict=True,
    )
    return Tree((Workspace(name, dict(_sources(files))),), version)


def _blobs(repository: Path, names: list[str]) -> Iterator[bytes]:
    """Yield the content of blobs, in order."""
    asked = "".join(f"{name}\n" for name in names).encode()
    answer = _git("cat-file", "--batch", at=repository, stdin=asked)
    start = 0
    for _ in names:
        head_end = answer.index(b"\n", start)
        size = int(answer[start:head_end].rpartition(b" ")[2])
        yield answer[head_end + 1 : head_end + 1 + size]
        start = head_end + 1 + size + 1


def _git(*arguments: str, at: Path | None = None, stdin: bytes = b"") -> bytes:
    """Return what git prints.

    Raises:
        InputError: There is no git, or it failed.
    """
    place = ("-C", str(at)) if at else ()
    # Variables that a hook or an outer git sets would lead to another repository.
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            (*_GIT, *place, *arguments), input=stdin, capture_output=True, check=True, env=env
        )
    except FileNotFoundError as error:
        raise InputError("git is not installed; give a folder or an archive instead") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise InputError(f"git {arguments[0]} failed: {said}") from error
    return done.stdout
