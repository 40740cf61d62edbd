"""Repositories at a pinned revision, through the real git client."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from fimble.errors import ConfigError
from training.corpus import clients
from training.corpus import git as git_trees
from training.corpus.archives import read_members
from training.corpus.clients import FetchError
from training.corpus.limits import Limits
from training.corpus.source import Source
from training.corpus.sources import fetch

if TYPE_CHECKING:
    from pathlib import Path

CODE = b"x = '\xf0\x9f\x99\x82'\r\n# $Id$ $Format:%H$\r\n"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose attributes would change or leave out all of its files."""
    folder = tmp_path / "tiny"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "deep" / "a.py").write_bytes(CODE)
    (folder / "src" / "left_out.py").write_bytes(b"y = 1\n")
    (folder / "link.py").symlink_to("/etc/passwd")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    (folder / ".gitattributes").write_text(
        "*.py export-subst ident text eol=lf filter=run working-tree-encoding=UTF-16\n"
        "left_out.py export-ignore\ndeep export-ignore\n"
    )
    git(folder, "add", ".gitattributes")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "tag", "-a", "v1.0", "-m", "one")
    (folder / "src" / "later.py").write_bytes(b"z = 1\n")
    git(folder, "commit", "-q", "-m", "two", "--allow-empty")
    return folder


def source(address: str, revision: str) -> Source:
    return Source(git=address, revision=revision, licence="MIT")


def fetched(tmp_path: Path, address: str, revision: str) -> Path:
    [path] = fetch(source(address, revision), recipe_dir=tmp_path, cache_dir=tmp_path / "cache")
    return path


def test_the_tree_comes_as_it_was_committed(tmp_path: Path, repository: Path) -> None:
    commit = git(repository, "rev-parse", "v1.0^{commit}")
    path = fetched(tmp_path, "tiny", "v1.0")
    assert path.name == f"tiny-{commit}.tar"
    members = {m.path: (m.content, m.reason) for m in read_members(path, Limits(), lambda _: None)}
    attributes = (repository / ".gitattributes").read_bytes()
    assert members == {
        ".gitattributes": (attributes, None),
        "link.py": (None, "link"),
        "src/deep/a.py": (CODE, None),
        "src/left_out.py": (b"y = 1\n", None),
    }
    left = {p.name for p in (tmp_path / "cache").rglob("*")}
    assert left == {"archives", "git", ".lock", path.name, path.parent.name}


def test_a_repository_of_one_folder_keeps_its_folder(tmp_path: Path, repository: Path) -> None:
    git(repository, "rm", "-q", "-r", ".gitattributes", "link.py")
    git(repository, "commit", "-q", "-m", "three")
    path = fetched(tmp_path, "tiny", git(repository, "rev-parse", "HEAD"))
    names = [member.path for member in read_members(path, Limits(), lambda _: None)]
    assert names == ["src/deep/a.py", "src/left_out.py"]


def test_tags_commits_and_abbreviations_name_the_same_bytes(
    tmp_path: Path, repository: Path
) -> None:
    commit = git(repository, "rev-parse", "v1.0^{commit}")
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    contents = {
        fetched(tmp_path, address, revision).read_bytes()
        for address in ("tiny", str(repository), f"file://{bare}", "./bare.git/")
        for revision in ("v1.0", commit, commit[:9])
    }
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("address", "revision", "reason"),
    [
        ("gone", "v1.0", "no_such_repository"),
        ("file:///nowhere/at/all", "v1.0", "no_such_repository"),
        ("tiny", "v9.9", "no_such_revision"),
        ("tiny", "f" * 40, "no_such_revision"),
        ("tiny", "fffffff", "no_such_revision"),
        ("tiny", "main", "revision_is_a_branch"),
        ("http://127.0.0.1:9/tiny.git", "v1.0", "git_unreachable"),
        ("ssh://git@127.0.0.1:9/tiny.git", "v1.0", "git_unreachable"),
        ("git@127.0.0.1:tiny.git", "v1.0", "git_unreachable"),
    ],
)
def test_what_cannot_be_had_has_one_reason_and_leaves_nothing(
    tmp_path: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    revision: str,
    reason: str,
) -> None:
    assert repository.is_dir()
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -p 9")
    with pytest.raises(FetchError) as caught:
        fetched(tmp_path, address, revision)
    assert str(caught.value) == reason
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == [".lock"]


def test_without_git_the_reason_says_so(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(FetchError, match=r"^git_is_not_installed$"):
        fetched(tmp_path, "tiny", "v1.0")


class Answering(BaseHTTPRequestHandler):
    """Asks for a password, or says nothing for ever."""

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            time.sleep(30)
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_nobody_is_asked_for_a_password_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program that would answer, and would show that it was asked.
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    program.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(program))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(FetchError, match=r"^access_denied$"):
        fetched(tmp_path, f"{address}/closed.git", "v1.0")
    assert not asked.exists()
    monkeypatch.setattr(clients, "TIMEOUT_S", 2.0)
    with pytest.raises(FetchError, match=r"^git_timed_out$"):
        fetched(tmp_path, f"{address}/slow.git", "v1.0")
    server.shutdown()
    server.server_close()


def test_the_user_s_hooks_and_the_repository_s_programs_do_not_run(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    names = ("post-checkout", "reference-transaction", "post-merge", "pre-receive", "update")
    for folder in (hooks, repository / ".git" / "hooks"):
        for name in names:
            (folder / name).write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
            (folder / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[init]\ntemplateDir = {tmp_path}/template\n[core]\nhooksPath = {hooks}\n"
        f'fsmonitor = {hooks}/update\n[filter "run"]\nsmudge = {hooks}/update\nrequired = true\n'
        '[protocol "ext"]\nallow = always\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook that starts a build
    path = fetched(tmp_path, "tiny", "v1.0")
    members = {m.path: m.content for m in read_members(path, Limits(), lambda _: None)}
    assert members["src/deep/a.py"] == CODE
    assert not ran.exists()


def test_a_tree_that_is_endless_is_refused_before_it_is_written(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of ten levels holds the one below ten times: ten thousand million files."""
    entry = f"100644 blob {git(repository, 'rev-parse', 'v1.0:src/left_out.py')}\tf.py"
    kind = "040000 tree"
    tree = make_tree(repository, entry)
    for _ in range(10):
        tree = make_tree(repository, "\n".join(f"{kind} {tree}\td{n}" for n in range(10)))
    git(repository, "tag", "bomb", git(repository, "commit-tree", "-m", "bomb", tree))
    monkeypatch.setattr(git_trees, "TREE_FILES", 20_000)
    with pytest.raises(FetchError, match=r"^repository_too_large$"):
        fetched(tmp_path, "tiny", "bomb")


def make_tree(repository: Path, entries: str) -> str:
    done = subprocess.run(
        ["git", "mktree"], cwd=repository, input=entries, text=True, check=True, capture_output=True
    )
    return done.stdout.strip()


def test_a_submodule_and_a_large_file_pointer_are_not_followed(
    tmp_path: Path, repository: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (repository / "big.py").write_bytes(pointer)
    (repository / ".gitattributes").write_text("*.py filter=lfs diff=lfs merge=lfs -text\n")
    git(repository, "add", "big.py", ".gitattributes")
    git(repository, "commit", "-q", "-m", "module")
    path = fetched(tmp_path, "tiny", git(repository, "rev-parse", "HEAD"))
    members = {m.path: m.content for m in read_members(path, Limits(), lambda _: None)}
    assert members["big.py"] == pointer
    assert not [name for name in members if name.startswith("module")]


@pytest.mark.parametrize(
    "address",
    [
        "https://me:secret-word@example.org/x.git",
        "https://secret-word@example.org/x.git",
        "https://example.org/x.git?access_token=secret-word",
        "ssh://git:secret-word@example.org/x.git",
        "ext::sh -c touch% secret-word",
        "--upload-pack=secret-word",
        "gopher://secret-word/x.git",
    ],
)
def test_an_address_that_holds_a_secret_or_a_command_is_refused_and_not_repeated(
    address: str,
) -> None:
    with pytest.raises(ConfigError) as caught:
        source(address, "v1.0")
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("revision", ["", "-v1", "a..b", "v1^{tree}", "HEAD@{1}", "a b", "*"])
def test_a_revision_is_a_tag_or_a_commit(revision: str) -> None:
    with pytest.raises(ConfigError, match="git needs a tag or a commit"):
        source("tiny", revision)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/owner/tiny.git", "tiny"),
        ("git@example.org:owner/tiny", "tiny"),
        ("ssh://git@example.org:22/tiny.git/", "tiny"),
        ("../tiny/.git", "tiny"),
    ],
)
def test_a_repository_has_the_name_of_its_folder(address: str, name: str) -> None:
    found = source(address, "v1.0")
    assert (found.name, found.version, found.key) == (name, "v1.0", f"git:{address}@v1.0")


@pytest.mark.e2e
@pytest.mark.usefixtures("warm_cache")
def test_a_repository_goes_through_a_whole_build(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "recipe.toml").write_text(
        'name = "one"\nsources = [{ git = "tiny", revision = "v1.0", licence = "MIT" }]\n'
    )
    command = [sys.executable, "-m", "fimble", "corpus", "build", str(tmp_path / "recipe.toml")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out"), "--jobs", "1"],
        env={**os.environ, "FIMBLE_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "out" / "card.json").read_text()
    assert f'"name": "tiny-{git(repository, "rev-parse", "v1.0^{commit}")}.tar"' in card
