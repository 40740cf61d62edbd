"""The site is built without a warning, and its pages ask no other machine for anything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.site.blocks import ROOT

JOBS = (
    *("start.md", "editors.md", "train.md", "tuning.md", "evaluation.md", "telemetry.md"),
    *("experiments.md", "serving.md", "security-and-privacy.md", "architecture.md"),
)
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src=["'](?:https?:)?//"""
    r"""|<link[^>]+rel=["'](?:stylesheet|preconnect|icon)["'][^>]+href=["'](?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?https?:|url\(["']?https?:"""
)


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", out]
    return subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.documentation
def test_every_page_is_built_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    html = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")}
    styles = [path.read_text() for path in (tmp_path / "site").rglob("*.css")]
    assert [str(path) for path, text in html.items() if FETCHED.search(text)] == []
    assert [found for text in styles for found in FETCHED.findall(text)] == []
    sources = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(tmp_path / "site").with_suffix(".md") for path in html}
    assert sources - built == set()


@pytest.mark.documentation
@pytest.mark.parametrize("link", ["nothing.md", "start.md#nowhere"])
def test_a_link_to_nothing_ends_the_build(tmp_path: Path, link: str) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write(f"\n[there]({link})\n")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert link.partition("#")[2] in done.stderr


def test_the_index_of_decisions_has_each() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "index.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("0*.md"))
    assert len({name[:4] for name in listed}) == len(listed), "two decisions have one number"


def test_the_first_page_leads_to_every_job() -> None:
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [page for page in JOBS if f"({page})" not in first] == []
    assert FETCHED.search('<script src="https://x/y.js">')
    assert not FETCHED.search('<a href="https://duckdb.org">')
