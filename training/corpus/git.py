"""Trees of git repositories at a pinned revision, as a tar that holds exactly what was committed.

The repository is cloned bare and as shallow as the server allows; nothing is checked out, no hook
runs, no filter, no submodule, no large-file pointer is followed, and git asks no question.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from training.corpus.clients import FetchError, run_client

if TYPE_CHECKING:
    from training.corpus.source import Source

TREE_BYTES = 8_000_000_000
"""Largest tree that is taken; larger ones are bombs, or need a recipe of their own."""
TREE_FILES = 1_000_000
_FULL = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT = re.compile(r"[0-9a-f]{7,63}")
_WANTED = "refs/fimble/wanted"
# An archive must be the tree: nothing left out, nothing expanded, no line end changed, no filter.
_ATTRIBUTES = "* -export-ignore -export-subst -text -ident -filter -working-tree-encoding !eol\n"
_SETTINGS = (
    "core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "core.autocrlf=false", "gc.auto=0",
    "http.lowSpeedLimit=1000", "http.lowSpeedTime=60", "tar.umask=0022",
)  # fmt: skip
_OF_A_REPOSITORY = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE",
    "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
_REASONS = (
    ("repository_of_another_user", ("dubious ownership",)),
    ("access_denied", ("Authentication failed", "could not read Username", "could not read Passw",
                       "error: 401", "error: 403", "Permission denied")),
    ("no_such_repository", ("not found", "does not appear to be a git repository",
                            "does not exist", "error: 404", "not a git repository")),
    ("git_unreachable", ("Could not resolve", "unable to access", "Connection refused",
                         "unable to connect", "onnection timed out", "onnection reset",
                         "Could not read from remote", "early EOF", "hung up")),
)  # fmt: skip


def address_of(source: Source, recipe_dir: Path) -> str:
    """Return a URL as it is, and a path as an absolute one."""
    # What git takes for a remote host: a scheme, or a colon before the first slash.
    if "://" in source.git or ":" in source.git.partition("/")[0]:
        return source.git
    return str((recipe_dir / Path(source.git).expanduser()).resolve())


def write_tree(source: Source, folder: Path, recipe_dir: Path) -> None:
    """Write `NAME-COMMIT.tar` into a folder; the clone lies beside the folder.

    Raises:
        FetchError: git is not installed, the repository or revision is not there, or git fails.
    """
    if shutil.which("git") is None:
        raise FetchError("git_is_not_installed")
    address = address_of(source, recipe_dir)
    refs = _refs(address, source.revision, folder)
    bare = folder.with_name("bare.git")
    sha256 = len(source.revision) == 64 or any(len(commit) == 64 for commit in refs.values())
    kind = "sha256" if sha256 else "sha1"
    _git(["init", "--bare", "--quiet", "--template=", f"--object-format={kind}", str(bare)], folder)
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
    wanted = _fetch(address, source.revision, refs, bare)
    found = _try_git(["rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}"], bare)
    commit = found.stdout.strip()
    if found.returncode != 0 or not commit:
        raise FetchError("no_such_revision")
    _refuse_huge(commit, bare)
    tar = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', source.name)}-{commit}.tar"
    # A folder that all files share, since the reading cuts one off.
    _git(["archive", "--format=tar", "--prefix=tree/", f"--output={tar}", commit], bare)


def _refs(address: str, revision: str, folder: Path) -> dict[str, str]:
    """Return commits of HEAD and of the tag and branch of a revision, by their full names."""
    names = ["HEAD", f"refs/tags/{revision}", f"refs/heads/{revision}"]
    listed = _git(["ls-remote", "--", address, *names], folder)
    found = (line.split("\t") for line in listed.splitlines() if "\t" in line)
    return {name: commit for commit, name in found}


def _fetch(address: str, revision: str, refs: dict[str, str], bare: Path) -> str:
    """Fetch what holds a revision, and return the name to look it up by."""
    shallow = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", address]
    if _FULL.fullmatch(revision):
        # Servers may refuse commits that no name points to.
        if _try_git([*shallow, f"{revision}:{_WANTED}"], bare).returncode == 0:
            return _WANTED
    elif f"refs/tags/{revision}" in refs:
        _git([*shallow, f"refs/tags/{revision}:{_WANTED}"], bare)
        return _WANTED
    elif f"refs/heads/{revision}" in refs:
        raise FetchError("revision_is_a_branch")
    elif not _SHORT.fullmatch(revision):
        raise FetchError("no_such_revision")
    everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    _git(["fetch", "--quiet", "--", address, *everything], bare)
    return revision


def _refuse_huge(commit: str, bare: Path) -> None:
    """Refuse trees that are small in the repository and endless as a list of files.

    Source: https://kate.io/blog/git-bomb/
    """
    command = ["git", "ls-tree", "-r", "-l", "-z", commit]
    num_files = num_bytes = 0
    with subprocess.Popen(command, cwd=bare, env=_environment(), stdout=subprocess.PIPE) as listing:
        assert listing.stdout is not None, "it is piped"
        rest = b""
        while block := listing.stdout.read(1 << 16):
            *entries, rest = (rest + block).split(b"\0")
            # Mode, type, object and size before the tab; what is no file has a dash for a size.
            sizes = [entry.partition(b"\t")[0].split()[-1] for entry in entries]
            num_files += len(sizes)
            num_bytes += sum(int(size) for size in sizes if size.isdigit())
            if num_files > TREE_FILES or num_bytes > TREE_BYTES:
                listing.kill()
                raise FetchError("repository_too_large")


def _git(arguments: list[str], folder: Path) -> str:
    """Return what git prints.

    Raises:
        FetchError: It fails, with the reason.
    """
    done = _try_git(arguments, folder)
    if done.returncode == 0:
        return done.stdout
    for reason, words in _REASONS:
        if any(word in done.stderr for word in words):
            raise FetchError(reason)
    raise FetchError(f"git_failed: exit {done.returncode}")


def _try_git(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["git", *(part for setting in _SETTINGS for part in ("-c", setting)), *arguments]
    return run_client(command, folder, environment=_environment(), who="git")


@cache
def _ssh() -> str:
    """Return the user's own way to call ssh."""
    if program := os.environ.get("GIT_SSH"):
        return shlex.quote(program)
    asked = ["git", "config", "--get", "core.sshCommand"]
    return run_client(asked, Path.cwd(), who="git").stdout.strip() or "ssh"


def _environment() -> dict[str, str]:
    """Return variables that keep git from asking, and from using the repository it is called in."""
    ssh = os.environ.get("GIT_SSH_COMMAND") or _ssh()
    return {
        **{name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY},
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_ASKPASS": "true",  # the program that answers with nothing
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=30",
        "GIT_TERMINAL_PROMPT": "0",
    }
