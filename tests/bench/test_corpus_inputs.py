"""The input that the corpus pipeline is measured on: cut, grown and measured as it says."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.corpus.inputs import Input, Names, prepare
from bench.corpus.ours_build import build, recipe_of
from bench.corpus.stage_costs import run_stages
from training.corpus.recipe import read_recipe
from training.corpus.shingles import shingles

ROOT = Path(__file__).parents[2]
SOURCE = '''"""Count words 🙂."""

import collections


def count_words(lines, minimum_length=3):
    """Return how often each word occurs."""
    found_words = collections.Counter()
    for line in lines:
        for word in line.split():
            if len(word) >= minimum_length and not word.isdigit():
                found_words[word.lower()] += 1
    return found_words
'''


def rows_of(source: Input) -> list[dict[str, str]]:
    return [row for shard in source.shards for row in pq.read_table(shard).to_pylist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Source code of several projects, with what is left out between it."""
    place = tmp_path / "code"
    place.mkdir()
    (place / "count.py").write_bytes(SOURCE.encode())
    (place / "windows.py").write_bytes(b"x = 1\r\ny = 2\r\n")
    (place / "empty.py").write_bytes(b"")
    (place / "binary.py").write_bytes(b"x = \0\n")
    (place / "notes.txt").write_bytes(b"no source code\n")
    return place


def test_a_folder_becomes_rows_with_lf_and_without_what_is_no_source(
    folder: Path, tmp_path: Path
) -> None:
    source = prepare(folder, tmp_path / "out", len(SOURCE.encode()) + 12)
    rows = {row["path"]: row for row in rows_of(source)}
    assert sorted(rows) == ["code/count.py", "code/windows.py"]
    assert rows["code/windows.py"]["text"] == "x = 1\ny = 2\n"
    assert rows["code/count.py"]["text"] == SOURCE
    assert {(row["project"], row["language"], row["licence"]) for row in rows.values()} == {
        ("code", "python", "MIT")
    }
    assert source.num_files == 2
    assert source.size_bytes == len(SOURCE.encode()) + 12


def test_the_same_folder_gives_the_same_bytes_and_is_not_read_twice(
    folder: Path, tmp_path: Path
) -> None:
    one, other = (prepare(folder, tmp_path / name, 5000) for name in ("one", "other"))
    assert [path.read_bytes() for path in one.shards] == [
        path.read_bytes() for path in other.shards
    ]
    (folder / "count.py").unlink()
    assert prepare(folder, tmp_path / "one", 5000) == one


def test_too_little_input_grows_by_copies_that_parse_and_resemble_nothing(
    folder: Path, tmp_path: Path
) -> None:
    source = prepare(folder, tmp_path / "out", 20_000)
    assert 20_000 <= source.size_bytes < 20_000 + 2 * len(SOURCE.encode())
    texts = [row["text"] for row in rows_of(source) if row["path"].endswith("/count.py")]
    assert len({row["path"] for row in rows_of(source)}) == source.num_files
    assert len(texts) > 20
    assert all(len(ast.parse(text).body) == 3 for text in texts)
    found = shingles([text.encode() for text in texts], 5)
    sets = [
        set(found.hashes[start:end].tolist())
        for start, end in zip(found.offsets, found.offsets[1:], strict=False)
    ]
    alike = [
        len(one & other) / len(one | other)
        for number, one in enumerate(sets)
        for other in sets[:number]
    ]
    assert np.median(alike) < 0.5
    assert np.mean(np.array(alike) >= 0.7) < 0.1


def test_a_copy_keeps_reserved_words_and_changes_a_name_everywhere() -> None:
    names = Names(7)
    changed = names.changed("return class while import lambda async await yield")
    assert changed == "return class while import lambda async await yield"
    words = [f"some_name{number}" for number in range(300)]
    text = " ".join(words)
    again = Names(7).changed(f"{text} {text}").split()
    assert again[:300] == again[300:]
    num_changed = sum(old != new for old, new in zip(words, again, strict=False))
    assert 70 <= num_changed <= 130
    assert {new for old, new in zip(words, again, strict=False) if old != new} == {
        f"{old}_7" for old, new in zip(words, again, strict=False) if old != new
    }


def run_measured(code: str) -> str:
    """Return what a script prints that measures commands; it adopts orphans, so it runs apart."""
    script = f"import sys; from bench.corpus.measure import measured, CommandFailedError\n{code}"
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_processes_that_a_command_leaves_behind_are_counted(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass"
    leave = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}])"
    code = f"""
from pathlib import Path
usage = measured([sys.executable, "-c", {leave!r}], log=Path({str(tmp_path / "log")!r}))
print(usage.cpu_s)
"""
    assert 0.6 <= float(run_measured(code)) < 3


def test_peak_memory_is_that_of_all_processes_and_of_each_role(tmp_path: Path) -> None:
    hold = "import time; block = b'x' * 60_000_000; time.sleep(1.5)"
    parent = f"""
import subprocess, sys, time
block = b"x" * 90_000_000
subprocess.run([sys.executable, "-c", {hold!r}])
"""
    code = f"""
import json
from pathlib import Path
usage = measured([sys.executable, "-c", {parent!r}], log=Path({str(tmp_path / "log")!r}))
print(json.dumps([usage.peak_bytes, usage.role_bytes]))
"""
    peak_bytes, roles = json.loads(run_measured(code))
    assert 150_000_000 <= peak_bytes < 250_000_000
    assert 90_000_000 <= roles["parent"] < 130_000_000
    assert 60_000_000 <= roles["child"] < 100_000_000


def test_a_command_that_fails_is_an_error_with_the_end_of_its_output(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
try:
    measured([sys.executable, "-c", "raise SystemExit('no input 🙂')"],
             log=Path({str(tmp_path / "log")!r}))
except CommandFailedError as error:
    print(str(error).endswith("gave 1:\\nno input 🙂\\n"))
"""
    assert run_measured(code) == "True\n"


@pytest.mark.slow
def test_our_build_counts_files_after_each_step(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "count.py").write_text(SOURCE, "utf-8")
    (code / "copy.py").write_text(SOURCE, "utf-8")
    (code / "near.py").write_text(f"{SOURCE}\n\nprint(count_words([]))\n", "utf-8")
    (code / "generated.py").write_text(f"# Generated by a tool; do not edit.\n{SOURCE}", "utf-8")
    (code / "other.js").write_text(
        "export function sum(values) {\n  return values.reduce((a, b) => a + b, 0);\n}\n", "utf-8"
    )
    size_bytes = sum(path.stat().st_size for path in code.iterdir())
    source = prepare(code, tmp_path / "input", size_bytes)
    counts = build(source.folder, tmp_path / "out", jobs=1, is_full=False)
    assert counts == {"read": 5, "after_rules": 4, "after_exact": 3, "kept": 2}


@pytest.mark.slow
def test_every_stage_is_timed_on_the_text_that_reaches_it(folder: Path, tmp_path: Path) -> None:
    generated = f"# Generated by a tool; do not edit.\n{SOURCE}"
    (folder / "generated.py").write_text(generated, "utf-8")
    sizes = [len(text.encode()) for text in (SOURCE, generated, "x = 1\ny = 2\n")]
    source = prepare(folder, tmp_path / "input", sum(sizes))
    recipe_path = source.folder / "recipe.toml"
    recipe_path.write_text(recipe_of(source.shards, off=("caps",)), "utf-8")
    recipe = read_recipe(recipe_path)
    costs = run_stages(source, recipe.rules(()), recipe, tmp_path / "stages")
    assert [stage for stage in costs if not stage.startswith(("query", "  "))] == [
        *("read", "load", "decode", "licence", "lines", "origin", "syntax", "redaction", "hash"),
        *("sign", "save", "verify", "write"),
    ]
    assert costs["origin"].size_bytes == sum(sizes)
    assert costs["syntax"].size_bytes == sum(sizes) - sizes[1]
    assert all(cost.cpu_s >= 0 for cost in costs.values())
    assert costs["syntax"].cpu_s > 0
