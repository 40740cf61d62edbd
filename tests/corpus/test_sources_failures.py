"""Downloads that fail: registries that do not answer, full disks, processes that are killed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from training.corpus.clients import FetchError
from training.corpus.downloads import filled
from training.corpus.source import Source
from training.corpus.sources import fetch

if TYPE_CHECKING:
    from pathlib import Path

CLOSED = "http://127.0.0.1:9"
UNTIL_KILLED = """
import pathlib, sys, time
from training.corpus.downloads import filled
def fill(folder):
    (folder / "half").write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(600)
filled(pathlib.Path(sys.argv[1]), fill)
"""


@pytest.mark.parametrize("kind", ["pypi", "npm", "debian"])
def test_a_registry_that_cannot_be_reached_is_one_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    client = {"pypi": "python3", "npm": "npm", "debian": "apt-get"}[kind]
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"{CLOSED}/simple/")
    monkeypatch.setenv("npm_config_registry", CLOSED)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    (tmp_path / "parts").mkdir()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {CLOSED}/debian stable main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\n'
        f'Dir::Etc::sourceparts "{tmp_path}/parts";\nAcquire::Retries "0";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    package = {"pypi": "tiny==1.0", "npm": "tiny@1.0.0", "debian": "tiny=1.0-1"}[kind]
    source = Source(**{kind: package, "licence": "MIT"})  # pyrefly: ignore[bad-argument-type]
    with pytest.raises(FetchError) as caught:
        fetch(source, recipe_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert str(caught.value) == "registry_unreachable"
    left = [path for path in (tmp_path / "cache" / "archives").rglob("*") if path.is_file()]
    assert [path.name for path in left] == [".lock"]


def test_what_a_killed_download_left_goes_away_but_not_what_is_in_use(tmp_path: Path) -> None:
    place = tmp_path / "pypi" / "tiny@1"
    command = [sys.executable, "-c", UNTIL_KILLED, str(place)]
    downloads = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for download in downloads:
        assert download.stdout is not None
        assert download.stdout.readline() == b"begun\n"
    assert len(list(place.parent.glob(".part-*"))) == 2
    downloads[0].send_signal(signal.SIGKILL)
    downloads[0].wait()
    other = filled(place.with_name("other@1"), lambda folder: (folder / "a").touch())
    assert [path.name for path in other] == ["a"]
    assert len(list(place.parent.glob(".part-*"))) == 1
    downloads[1].send_signal(signal.SIGKILL)
    downloads[1].wait()
    assert filled(place, lambda folder: (folder / "b").touch()) == [place / "b"]
    assert sorted(path.name for path in place.parent.iterdir()) == [".lock", "other@1", "tiny@1"]
    for download in downloads:
        assert download.stdout is not None
        download.stdout.close()


def test_a_download_that_brings_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"^empty_download$"):
        filled(tmp_path / "pypi" / "tiny@1", lambda _: None)
    assert [path.name for path in (tmp_path / "pypi").iterdir()] == [".lock"]


def build(folder: Path, *, limit_bytes: int | None) -> subprocess.CompletedProcess[str]:
    """Run a whole build whose files may grow so large only, as on a disk that is full."""

    def limit() -> None:
        if limit_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with an error
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "fimble", "corpus", "build", str(folder / "recipe.toml")]
    return subprocess.run(
        [*command, "--out", str(folder / "out"), "--jobs", "1"],
        env={**os.environ, "FIMBLE_CACHE_DIR": str(folder / "cache")},
        capture_output=True, text=True, check=False, timeout=170, preexec_fn=limit,
    )  # fmt: skip


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.usefixtures("warm_cache")
def test_a_full_disk_is_one_message_and_the_next_build_goes_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(40):
            # What cannot be packed well, so that the table grows beyond the limit.
            numbers = "".join(f"    {letters(number, n)},\n" for n in range(300))
            text = f"def numbers_{name}_{number}() -> list[str]:\n    return [\n{numbers}    ]\n"
            (tmp_path / name / f"{number}.py").write_text(text)
    (tmp_path / "recipe.toml").write_text(
        'name = "full"\n[lines]\nenabled = false\n[[sources]]\ndirectory = "one"\nlicence = "MIT"\n'
        '[[sources]]\ndirectory = "two"\nlicence = "MIT"\n'
    )
    full = build(tmp_path, limit_bytes=20_000)
    assert full.returncode in {1, 2}
    assert "Traceback" not in full.stderr
    assert full.stderr.count("\n") <= 2
    assert not (tmp_path / "out" / "card.json").exists()
    whole = build(tmp_path, limit_bytes=None)
    assert whole.returncode == 0, whole.stderr
    assert not list((tmp_path / "out").rglob("*.part"))


def letters(number: int, index: int) -> str:
    """Return letters that look drawn and are the same in every run."""
    value = pow(7, 1 + number * 1000 + index, (1 << 127) - 1)
    return f'"{value:x}"'
