"""A corpus of a few small projects, for tests of tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = '''\
"""Shapes. 🟦"""


def area_of(width, height):
    """Return how much it covers."""
    product = width * height
    return product


def outline(width, height):
    half = width + height
    return 2 * half


def report(sizes):
    # add up all of the areas
    total = 0
    for width, height in sizes:
        total += area_of(width, height)

    return total
'''
TESTS = """\
from shapes import outline


def test_outline():
    expected = 10
    assert outline(2, 3) == expected
"""


def write_corpus(
    folder: Path, files: dict[tuple[str, str], str], *, held_out: str = "other"
) -> Path:
    """Write a corpus of texts by project and path; one project is held out."""
    rows = [
        {
            "project": project,
            "path": path,
            "language": "python",
            "split": "validation" if project == held_out else "train",
            "text": text,
        }
        for (project, path), text in files.items()
    ]
    (folder / "files").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "part-0000.parquet")
    return folder


def shapes_corpus(folder: Path) -> Path:
    """Write the corpus of shapes: a project to train on, and a held-out one."""
    files = {
        ("shapes", "shapes.py"): SHAPES,
        ("shapes", "tests/test_shapes.py"): TESTS,
        ("shapes", "broken.py"): "def area_of(:\n    # what a file that is\n    x = (\n",
        ("shapes", "style.py"): "",
        ("other", "lines.py"): SHAPES.replace("area_of", "length_of").replace("width", "left"),
    }
    return write_corpus(folder, files)
