"""Downloads through the real clients, from registries of our own on this machine."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from training.corpus.clients import FetchError
from training.corpus.source import Source
from training.corpus.sources import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def packed(*files: tuple[str, bytes], mode: str = "w:gz") -> bytes:
    """Return a tar with these files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


SDIST = packed(("tiny-1.0/tiny.py", b"x = 1\n"), ("tiny-1.0/PKG-INFO", b"Name: tiny\n"))
NPM = packed(
    ("package/package.json", b'{"name": "@our/tiny", "version": "1.0.0"}'),
    ("package/index.js", b"exports.x = 1;\n"),
)
DEBIAN = packed(("tiny-1.0/tiny.c", b"int x = 1;\n"))


class Registry:
    """A web server that answers paths from a dictionary, and counts what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                page = registry.pages.get(self.path)
                self.send_response(404 if page is None else 200)
                body = b"" if page is None else page
                kind = "text/html" if self.path.startswith("/simple") else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    """A registry that serves one PyPI and one npm package, and that the clients are set to."""
    registry = Registry()
    sha256 = hashlib.sha256(SDIST).hexdigest()
    links = (
        f'<a href="/files/tiny-1.0.tar.gz#sha256={sha256}">tiny-1.0.tar.gz</a>'
        '<a href="/files/tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>'
        f'<a href="/files/tiny-2.0.tar.gz#sha256={"0" * 64}">tiny-2.0.tar.gz</a>'
        '<a href="/files/tiny-3.0-py3-none-any.whl">tiny-3.0-py3-none-any.whl</a>'
    )
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(NPM).digest()).decode()
    dist = {"tarball": f"{registry.url}/tiny.tgz", "integrity": integrity}
    version = {"name": "@our/tiny", "version": "1.0.0", "dist": dist}
    document = {
        "name": "@our/tiny",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
    }
    registry.pages |= {
        "/simple/tiny/": f"<html><body>{links}</body></html>".encode(),
        "/files/tiny-1.0.tar.gz": SDIST,
        "/files/tiny-2.0.tar.gz": SDIST,
        "/@our%2ftiny": json.dumps(document).encode(),
        "/tiny.tgz": NPM,
    }
    monkeypatch.setenv("PIP_INDEX_URL", f"{registry.url}/simple/")
    monkeypatch.setenv("npm_config_registry", registry.url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    yield registry
    registry.close()


def fetched(tmp_path: Path, source: Source) -> list[tuple[str, bytes]]:
    paths = fetch(source, recipe_dir=tmp_path, cache_dir=tmp_path / "cache")
    return [(path.name, path.read_bytes()) for path in paths]


def test_a_source_distribution_is_downloaded_once(tmp_path: Path, registry: Registry) -> None:
    source = Source(pypi="tiny==1.0", licence="MIT")
    assert fetched(tmp_path, source) == [("tiny-1.0.tar.gz", SDIST)]
    registry.asked.clear()
    assert fetched(tmp_path, source) == [("tiny-1.0.tar.gz", SDIST)]
    assert registry.asked == []


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("gone==1.0", "not_in_registry"),
        ("tiny==9.9", "not_in_registry"),
        ("tiny==3.0", "not_in_registry"),
        ("tiny==2.0", "hash_differs_from_registry"),
    ],
)
def test_a_package_that_cannot_be_had_says_why_and_leaves_nothing(
    tmp_path: Path, registry: Registry, package: str, reason: str
) -> None:
    assert registry.url
    with pytest.raises(FetchError, match=reason):
        fetched(tmp_path, Source(pypi=package, licence="MIT"))
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.name for path in left] == [".lock"]


def test_a_registry_that_fails_is_a_reason(tmp_path: Path, registry: Registry) -> None:
    del registry.pages["/files/tiny-1.0.tar.gz"]
    with pytest.raises(FetchError, match="registry_failed"):
        fetched(tmp_path, Source(pypi="tiny==1.0", licence="MIT"))


@pytest.mark.toolchain
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_packages_come_through_npm(tmp_path: Path, registry: Registry) -> None:
    source = Source(npm="@our/tiny@1.0.0", licence="MIT")
    assert fetched(tmp_path, source) == [("our-tiny-1.0.0.tgz", NPM)]
    for package in ("@our/tiny@2.0.0", "@our/gone@1.0.0"):
        with pytest.raises(FetchError, match="not_in_registry"):
            fetched(tmp_path, Source(npm=package, licence="MIT"))
    assert registry.asked


@pytest.mark.toolchain
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")
def test_debian_sources_come_through_apt_without_touching_its_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "mirror"
    archive.mkdir()
    (archive / "tiny_1.0.orig.tar.gz").write_bytes(DEBIAN)
    entry = f"""Package: tiny
Binary: tiny
Version: 1.0-1
Maintainer: Nobody <nobody@example.org>
Architecture: any
Format: 3.0 (quilt)
Directory: .
Files:
 {hashlib.md5(DEBIAN, usedforsecurity=False).hexdigest()} {len(DEBIAN)} tiny_1.0.orig.tar.gz
Checksums-Sha256:
 {hashlib.sha256(DEBIAN).hexdigest()} {len(DEBIAN)} tiny_1.0.orig.tar.gz

"""
    (archive / "Sources.gz").write_bytes(gzip.compress(entry.encode()))
    system = tmp_path / "etc"
    (system / "parts").mkdir(parents=True)
    (system / "sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{system}/sources.list";\nDir::Etc::sourceparts "{system}/parts";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))

    assert fetched(tmp_path, Source(debian="tiny=1.0-1", licence="MIT")) == [
        ("tiny_1.0.orig.tar.gz", DEBIAN)
    ]
    for package in ("gone=1.0-1", "tiny=9.9-1"):
        with pytest.raises(FetchError, match="not_in_registry"):
            fetched(tmp_path, Source(debian=package, licence="MIT"))
    assert (system / "sources.list").read_text() == f"deb [trusted=yes] file:{archive} ./\n"
    assert sorted(path.name for path in system.rglob("*")) == ["parts", "sources.list"]


def test_a_folder_is_its_own_archive(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    source = Source(directory="code", licence="MIT")
    assert fetch(source, recipe_dir=tmp_path, cache_dir=tmp_path / "c") == [tmp_path / "code"]
    with pytest.raises(FetchError, match="no_such_directory"):
        fetched(tmp_path, Source(directory="gone", licence="MIT"))
