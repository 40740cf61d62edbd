"""What `pip install .` gives: complete, with licences, in an environment that has nothing else."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from docs.site.blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PARTS = ("fimble", "training", "lsp_server", "eval_harness", "telemetry")
LINE = 'const fs = require("fs");\n\nfunction read(path) {\n    const text = fs.\n}\n'


def tracked(*folders: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", *folders]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name]


def test_the_changelog_begins_with_this_version_or_what_is_not_released() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [each.split(" ")[0] for each in headings if each != "Unreleased"]
    here = PROJECT["project"]["version"]
    assert headings[0] == "Unreleased" or released[0] == here
    assert not released or released[0] == here, "a released version is the newest in the changelog"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each) for each in headings[1:])
    assert version("fimble") == here


def test_every_folder_with_code_is_a_package_of_the_wheel() -> None:
    folders = {".".join(path.parts[:-1]) for path in tracked(*PARTS) if path.suffix == ".py"}
    with_code = {name for name in folders if "notebooks" not in name}
    assert with_code <= set(PROJECT["tool"]["setuptools"]["packages"])
    assert len(with_code) > 20


def bare(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of this one is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"HOME": str(folder), "FIMBLE_STATE_DIR": str(folder / "state")}


def run(*command: object, folder: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=folder, env=bare(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.documentation
def test_the_wheel_of_the_source_archive_completes_code_in_a_bare_environment(
    tmp_path: Path,
) -> None:
    """Archive from a clean copy, wheel from the archive, environment from the wheel."""
    copy = tmp_path / "copy"
    run("git", "clone", "--quiet", ROOT, copy, folder=tmp_path)
    run(sys.executable, "-m", "venv", tmp_path / "env", folder=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "setuptools>=77", folder=tmp_path)
    make = "from setuptools import build_meta; print(build_meta.build_sdist('..'))"
    archive = tmp_path / run(python, "-c", make, folder=copy).splitlines()[-1]
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "sdist", filter="data")
    [source] = (tmp_path / "sdist").iterdir()
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source, folder=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    check_content(wheel)
    constraints = ROOT / "constraints.txt"
    run(*pip, "install", "--quiet", "--constraint", constraints, wheel, folder=tmp_path)

    fimble = tmp_path / "env" / "bin" / "fimble"
    assert run(fimble, "--version", folder=tmp_path) == f"fimble {version('fimble')}\n"
    (tmp_path / "lines.js").write_text(LINE)
    answer = json.loads(run(fimble, "complete", "lines.js:4:21", "--json", folder=tmp_path))
    assert answer["text"].startswith("readFile")
    facts = json.loads(run(fimble, "doctor", "--json", folder=tmp_path))
    assert facts["works"] is True
    asked = subprocess.run(
        [fimble, "export", "m", "--format", "hf", "--out", "x"],
        env=bare(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 2
    assert "pip install 'fimble[train]'" in asked.stderr


def check_content(wheel: Path) -> None:
    """Compare the wheel with what git tracks: no file is missing, no test comes along."""
    with ZipFile(wheel) as opened:
        names = set(opened.namelist())
    wanted = {path.as_posix() for path in tracked(*PARTS)}
    wanted |= {str(p).replace("models/", "fimble_models/", 1) for p in tracked("models")}
    assert wanted - names == set()
    ours = {name for name in names if ".dist-info/" not in name}
    assert ours - wanted == set()
    info = f"fimble-{version('fimble')}.dist-info/licenses"
    assert {f"{info}/LICENSE", f"{info}/THIRD_PARTY.md"} <= names
