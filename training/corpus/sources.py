"""Downloads of named, pinned sources, through each registry's own client and the user's set-up.

A download lands in a folder of its own in the cache, whole or not at all. Registries are whatever
pip, npm and apt are configured to use; no address stands in a recipe or in this code.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fimble.files import sha256_of
from training.corpus import git, hub
from training.corpus.clients import FetchError, run_client
from training.corpus.downloads import filled
from training.corpus.tables import short_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.corpus.source import Source

_GONE = ("404", "ETARGET", "Unable to find a source package", "Can not find version")
_UNREACHABLE = (
    "ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "ETIMEDOUT", "EAI_AGAIN",  # npm
    "Could not connect", "Unable to connect", "Temporary failure resolving", "Could not resolve",
    "Connection failed", "Connection timed out",  # apt
)  # fmt: skip
_NAME_CHARS = 150  # file systems allow 255 bytes


def expand(source: Source, *, recipe_dir: Path, cache_dir: Path) -> list[Source]:
    """Return the units of work that an entry of a recipe stands for, in the order of their keys.

    A pattern of Parquet files becomes one source a file, so that they are read side by side and
    each is bounded by itself. Every other source stays as it is, and so does a pattern that
    matches nothing: `fetch` then says so.

    Args:
        source: An entry of a recipe.
        recipe_dir: Folder that local paths are relative to.
        cache_dir: Folder of the downloads; the list of a dataset's files is kept there.

    Raises:
        FetchError: The list of a dataset's files cannot be had.
    """
    if not source.has_wildcard:
        return [source]
    if source.kind == "hub":
        return hub.expanded(source, cache_dir.resolve()) or [source]
    found = glob.glob(source.parquet, root_dir=recipe_dir, recursive=True)  # noqa: PTH207 - root_dir
    return [
        # The project's name comes from the pattern: a shard's own name says nothing.
        replace(source, parquet=Path(path).as_posix(), project=source.project_name)
        for path in sorted(found)
        if (recipe_dir / path).is_file()
    ] or [source]


def fetch(source: Source, *, recipe_dir: Path, cache_dir: Path) -> list[Path]:
    """Return the archives of a source, downloaded once and then taken from the cache.

    Args:
        source: Which source; of a pattern, one of what `expand` returns.
        recipe_dir: Folder that local paths are relative to.
        cache_dir: Folder of the downloads.

    Raises:
        FetchError: The source is gone, or its registry does not answer.
        OSError: The cache cannot be written, for example because the disk is full.
    """
    if source.kind == "directory":
        folder = (recipe_dir / source.directory).resolve()
        if not folder.is_dir():
            raise FetchError("no_such_directory")
        return [folder]
    if source.kind == "parquet":
        path = (recipe_dir / source.parquet).resolve()
        if source.has_wildcard and not path.is_file():
            raise FetchError("no_file_matches")
        if not path.is_file():
            raise FetchError("no_such_file")
        return [path]
    cache_dir = cache_dir.resolve()  # the clients run in folders of their own
    fill: dict[str, Callable[[Path], None]] = {
        "pypi": lambda folder: _from_pypi(source, folder),
        "npm": lambda folder: _from_npm(source, folder),
        "debian": lambda folder: _from_debian(source, folder, cache_dir / "apt"),
        "git": lambda folder: git.write_tree(source, folder, recipe_dir),
        "hub": lambda folder: hub.download(source, folder),
    }
    name = _cache_name(source, recipe_dir)
    return filled(cache_dir / "archives" / source.kind / name, fill[source.kind])


def _cache_name(source: Source, recipe_dir: Path) -> str:
    """Return the folder of a download; a hash tells apart what name and version do not."""
    name = quote(f"{source.name}@{source.version}", safe="@+~")
    if source.kind == "git":
        return f"{name[:_NAME_CHARS]}-{short_hash(git.address_of(source, recipe_dir))}"
    if source.kind == "hub":
        return f"{name[:_NAME_CHARS]}-{short_hash(source.files)}"
    return name


def _from_pypi(source: Source, folder: Path) -> None:
    """Download a source distribution without running its build system, as pip would."""
    from httpx2 import HTTPError, InvalidURL, TransportError
    from unearth import PackageFinder, UnpackError

    index = _pip_setting("index-url")
    finder = PackageFinder(
        index_urls=[index] if index else [], no_binary=[source.name], ignore_compatibility=True
    )
    try:
        matches = finder.find_matches(source.package, allow_yanked=True)
        links = [match.link for match in matches if not match.link.is_wheel]
        if not links:
            raise FetchError("not_in_registry")
        part = folder / links[0].filename
        with finder.session.get_stream(links[0].normalized) as response, part.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_bytes(1 << 16):
                file.write(chunk)
    except (TransportError, InvalidURL) as error:
        raise FetchError("registry_unreachable") from error
    except (HTTPError, UnpackError) as error:
        raise FetchError(f"registry_failed: {type(error).__name__}") from error
    _check_hash(part, links[0].hash_option or {})


def _check_hash(path: Path, allowed: dict[str, list[str]]) -> None:
    """Compare a file with the hash that the registry's index gives for it."""
    if "sha256" in allowed and sha256_of(path) not in allowed["sha256"]:
        raise FetchError("hash_differs_from_registry")


def _pip_setting(name: str) -> str | None:
    """Return a setting of pip on this machine, so that a company's own index is used."""
    command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return os.environ.get("PIP_INDEX_URL") or found.stdout.strip() or None


def _from_npm(source: Source, folder: Path) -> None:
    if shutil.which("npm") is None:
        raise FetchError("npm_is_not_installed")
    _run(["npm", "pack", "--loglevel=error", "--ignore-scripts", source.package], folder)


def _from_debian(source: Source, folder: Path, state: Path) -> None:
    """Download upstream's tarballs with apt's own mirrors and keys, but lists of our own."""
    if shutil.which("apt-get") is None:
        raise FetchError("apt_is_not_installed")
    options = _apt_options(state)
    # Only upstream's tarball: the packaging is not the project's code, and is at times missing.
    flags = ["--download-only", "--tar-only", "--only-source", "-qq"]
    try:
        _run(["apt-get", *options, "source", *flags, source.package], folder)
    except FetchError:
        # One of several tarballs may be gone from a mirror; upstream's main one is worth having.
        for path in folder.iterdir():
            if ".orig" not in path.name or path.name.endswith((".asc", ".FAILED")):
                path.unlink()
        if not any(".orig.tar." in path.name for path in folder.iterdir()):
            raise


def _apt_options(state: Path) -> list[str]:
    """Return options that make apt read source lists derived from the system's own.

    The system's configuration is only read. The index is downloaded once per cache.
    """
    lists = state / "lists"
    options = [
        "-o", f"Dir::Etc::sourcelist={state / 'sources.list'}",
        "-o", f"Dir::Etc::sourceparts={state / 'sources.d'}",
        "-o", f"Dir::State::lists={lists}",
        "-o", f"Dir::Cache={state / 'cache'}",
        "-o", "APT::Sandbox::User=root",
        # Else an index that could not be had would count as one without packages, for ever.
        "-o", "APT::Update::Error-Mode=any",
    ]  # fmt: skip
    for folder in (lists / "partial", state / "cache/archives/partial", state / "sources.d"):
        folder.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        # Sources are fetched side by side, and apt refuses two updates at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (state / "ready").is_file():
            _write_source_lists(state)
            _run(["apt-get", *options, "-qq", "update"], state)
            (state / "ready").touch()
    return options


def _write_source_lists(state: Path) -> None:
    """Write the system's package lists with `deb-src` in place of `deb`."""
    main, parts = _apt_setting("Dir::Etc::sourcelist/f"), _apt_setting("Dir::Etc::sourceparts/d")
    lines: list[str] = []
    for path in [main, *sorted(parts.glob("*.list"))]:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            lines += [f"deb-src{ln[3:]}" for ln in text.splitlines() if ln.startswith("deb ")]
    (state / "sources.list").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for path in sorted(parts.glob("*.sources")):
        text = path.read_text(encoding="utf-8")
        changed = [
            "Types: deb-src" if ln.lower().startswith("types:") else ln for ln in text.splitlines()
        ]
        (state / "sources.d" / path.name).write_text("\n".join(changed) + "\n", encoding="utf-8")


def _apt_setting(name: str) -> Path:
    """Return a path of apt's configuration on this machine."""
    command = ["apt-config", "shell", "VALUE", name]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(shlex.split(found.stdout)[0].removeprefix("VALUE="))


def _run(command: list[str], folder: Path) -> None:
    """Run a registry's client in `folder`.

    Raises:
        FetchError: It fails or takes too long.
    """
    done = run_client(command, folder)
    if done.returncode == 0:
        return
    if any(word in done.stderr for word in _UNREACHABLE):
        raise FetchError("registry_unreachable")
    gone = any(word in done.stderr for word in _GONE)
    raise FetchError("not_in_registry" if gone else f"registry_failed: exit {done.returncode}")
