"""What one file says about another: which copy stays, and what the caps leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.corpus.engine import LocalEngine
from training.corpus.headers import without_header
from training.corpus.pipeline import Annotation
from training.corpus.recipe import Caps, NearDuplicateRules, Recipe
from training.corpus.relations import decide
from training.corpus.source import Source
from training.corpus.stages import hash_texts, sign
from training.corpus.tables import ANNOTATED, as_id, as_int64, short_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_CAPS = Caps(enabled=False)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    with LocalEngine(jobs=1, spill_dir=tmp_path_factory.mktemp("spill")) as running:
        yield running


def body(number: int, num_functions: int = 20) -> str:
    return "".join(
        f"def run_{number}_{n}(first_{n}, second_{number}):\n"
        f"    return first_{n} ** {n} + {number}\n"
        for n in range(num_functions)
    )


def row(path: str, text: str, *, project: str = "p", split: str = "train") -> dict[str, object]:
    return {
        "id": short_hash(project, path), "source": f"directory:{project}", "project": project,
        "version": "", "path": path, "language": "python", "licence": "MIT", "split": split,
        "size_bytes": len(text.encode()), "folder_rank": short_hash(path), "text": text,
    }  # fmt: skip


def decided(
    rows: list[dict[str, object]], folder: Path, engine: LocalEngine, **recipe: object
) -> dict[str, tuple[str, str, str | None]]:
    """Return stage, reason and the path of the copy that is kept, by project and path."""
    table, bands = sign(hash_texts(pa.Table.from_pylist(rows, schema=ANNOTATED)))
    pq.write_table(table, folder / "annotated.parquet")
    pq.write_table(bands, folder / "bands.parquet")
    annotation = Annotation(
        key="directory:p", rows=folder / "read.parquet", row_group=0,
        annotated=folder / "annotated.parquet", bands=folder / "bands.parquet",
    )  # fmt: skip
    settings = {"caps": NO_CAPS, "sources": (Source(directory="p"),), "name": "x", **recipe}
    found = decide(Recipe(**settings), [annotation], folder / "answers", engine)  # pyrefly: ignore
    names = {str(each["id"]): f"{each['project']}/{each['path']}" for each in rows}
    return {
        names[each["id"]]: (each["stage"], each["reason"], names.get(each["detail"]))
        for each in pq.read_table(found.decisions).to_pylist()
    }


def test_the_longest_copy_in_training_stays(tmp_path: Path, engine: LocalEngine) -> None:
    rows = [
        row("short.py", body(1)),
        row("long.py", body(1) + "def one_more(value):\n    return value\n"),
        row("held_out.py", body(1) + "x = 1\n" * 30, project="q", split="validation"),
        row("other.py", body(2)),
    ]
    assert decided(rows, tmp_path, engine) == {
        "p/short.py": ("near_duplicates", "similar_text", "p/long.py"),
        "q/held_out.py": ("near_duplicates", "similar_text", "p/long.py"),
    }


def test_of_equal_texts_the_one_in_training_stays(tmp_path: Path, engine: LocalEngine) -> None:
    rows = [row(f"{n}.py", "x = 1\n", project=f"v{n}", split="validation") for n in range(5)]
    rows.append(row("t.py", "x = 1\n"))
    found = decided(rows, tmp_path, engine)
    assert found == {f"v{n}/{n}.py": ("exact_duplicates", "same_text", "p/t.py") for n in range(5)}


def test_near_duplicates_can_be_switched_off_and_have_a_threshold(
    tmp_path: Path, engine: LocalEngine
) -> None:
    rows = [row("a.py", body(1)), row("b.py", body(1).replace("first_7", "primary"))]
    for name, rules, num_dropped in (
        ("off", NearDuplicateRules(enabled=False), 0),
        ("strict", NearDuplicateRules(threshold=1.0), 0),
        ("default", NearDuplicateRules(), 1),
    ):
        folder = tmp_path / name
        folder.mkdir()
        assert len(decided(rows, folder, engine, near_duplicates=rules)) == num_dropped, name


def test_files_that_share_only_a_licence_header_are_kept(
    tmp_path: Path, engine: LocalEngine
) -> None:
    header = "".join(f"# Licensed under terms {n} that nobody reads aloud\n" for n in range(40))
    rows = [row(f"{n}.py", header + body(n, 2)) for n in range(6)]
    assert decided(rows, tmp_path, engine) == {}


def test_a_text_of_a_few_words_has_no_near_duplicate(tmp_path: Path, engine: LocalEngine) -> None:
    rows = [row(f"{n}.py", f"from a import b  # {'!' * n}\n") for n in range(5)]
    assert decided(rows, tmp_path, engine) == {}


def test_caps_come_after_duplicates_and_leave_validation_alone(
    tmp_path: Path, engine: LocalEngine
) -> None:
    size = len(body(10).encode())
    rows = [row(f"f{n}/a.py", body(10 + n)) for n in range(6)]
    rows += [row(f"copy{n}/a.py", body(10 + n)) for n in range(6)]
    rows += [row(f"v{n}.py", body(50 + n), project="q", split="validation") for n in range(4)]
    caps = Caps(project_bytes=size * 5 + 50, language_bytes=size * 3 + 50)
    found = decided(rows, tmp_path, engine, caps=caps)
    stages = sorted(stage for stage, _, _ in found.values())
    assert stages == ["balance"] * 3 + ["exact_duplicates"] * 6
    reasons = sorted(reason for _, reason, _ in found.values())
    assert reasons[:3] == ["over_language_cap", "over_language_cap", "over_project_cap"]
    assert not any(name.startswith("q/") for name in found)


def test_ids_and_numbers_are_one_to_one_and_of_one_order() -> None:
    ids = [*sorted(short_hash(str(n)) for n in range(100)), "ffffffffffffffff"]
    numbers = [as_int64(each) for each in ids]
    assert numbers == sorted(numbers)
    assert [as_id(number) for number in numbers] == ids
    assert as_int64("0" * 16) == -(2**63)
    assert as_int64("f" * 16) == 2**63 - 1


@pytest.mark.parametrize(
    ("language", "text", "code"),
    [
        ("c", "/* a\n b */\n// x\n\n#include <a>\n", "#include <a>\n"),
        ("c", "/* never ends", "/* never ends"),
        ("c", "int x; // kept\n", "int x; // kept\n"),
        ("php", "<?php\n/** hi */\n# x\n#[Attribute]\nclass A {}", "#[Attribute]\nclass A {}"),
        ("python", "#!/usr/bin/env python\n# ©🙂\n\nx = 1", "x = 1"),
        ("python", '"""Kept."""\n', '"""Kept."""\n'),
        ("html", "<!-- a\n-->\n<html>", "<html>"),
        ("lua", "--[[ a\n]]\n-- b\nx = 1", "x = 1"),
        ("ruby", "# a\n=begin\nx\n=end\nputs 1", "puts 1"),
        ("sql", "-- a\n/* b */ select 1", "select 1"),
        ("css", "/* a */ b {}", "b {}"),
        ("javascript", "#!/usr/bin/env node\n'use strict'", "'use strict'"),
        ("bash", "", ""),
    ],
)
def test_the_comment_at_the_top_is_cut(language: str, text: str, code: str) -> None:
    assert without_header(text, language) == code


def test_an_endless_header_is_cut_in_linear_time() -> None:
    assert without_header("/* x" * 250_000, "c") == "/* x" * 250_000
    assert without_header("// x\n" * 200_000 + "y", "c") == "y"
    assert without_header(" \n" * 500_000, "python") == ""
