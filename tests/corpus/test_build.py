"""Whole builds of planted folders and archives: outcomes, hashes, and builds that are killed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

from fimble.errors import InputError
from tests.corpus.planted import (
    GENERATED,
    GPL,
    bytes_of,
    plant,
    python_code,
    rows,
    write_recipe,
)
from training.corpus.command import build, build_directory
from training.corpus.pipeline import alone_in
from training.corpus.tables import DROPPED, FILES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.corpus.card import Card


class Built(NamedTuple):
    """A finished build that tests only look at."""

    world: Path
    out: Path
    card: Card


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path) -> Iterator[None]:
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(compiled_rules, cache / "rules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIMBLE_CACHE_DIR", str(cache))
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    world = tmp_path_factory.mktemp("world")
    plant_world(world)
    return Built(world, world / "out", build(world / "recipe.toml", world / "out", jobs=2))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    plant_world(tmp_path)
    return tmp_path


def plant_world(tmp_path: Path) -> None:
    """Plant a recipe over two projects for training and one for validation."""
    plant(
        tmp_path / "one",
        {
            "a.py": python_code(1).replace("\n", "\r\n"),
            "b.py": python_code(1),  # the same text with other line ends
            "c.py": "# a remark\n\n" + python_code(1).replace("    ", "\t"),  # the same code
            "emoji.py": "GREETING = 'héllo 🙂'\n" + python_code(2),
            "empty.py": "",
            "nul.py": b"x = 1\0\n",
            "latin.py": b"name = 'caf\xe9'\n",
            "generated.py": GENERATED,
            "gpl.py": GPL,
            "mit_or_gpl.py": "# SPDX-License-Identifier: MIT OR GPL-2.0-only\n" + python_code(3),
            "agpl.py": "# SPDX-License-Identifier: AGPL-3.0-only\n" + python_code(4),
            "python2.py": "print 'hello'\n",
            "wide.py": "x = [" + "'word', " * 200 + "]\n",
            "huge.py": "x = 1  # long\n" * 100_000,
            "vendor/v.py": python_code(5),
            "secret/s.py": python_code(6),
            "README.md": "# hello\n",
            "header.h": "namespace a { template <class T> class B { public: B(); }; }\n",
            "web/app.min.js": "var a=1;\n",
        },
    )
    (tmp_path / "one" / "link.py").symlink_to("/etc/passwd")
    plant(
        tmp_path / "two",
        {"t.go": "package two\n\nfunc F() int { return 2 }\n", "a.py": python_code(7)},
    )
    plant(tmp_path / "held_out", {"h.py": python_code(8), "copy.py": python_code(7)})
    write_recipe(
        tmp_path,
        """
exclude = ["*/secret/*"]
sources = [
    { directory = "one", licence = "MIT" },
    { directory = "two", licence = "BSD-3-Clause" },
    { directory = "held_out", licence = "ISC", split = "validation" },
]
""",
    )


def test_every_planted_file_has_its_outcome(built: Built) -> None:
    _, out, card = built

    dropped = rows(out, "dropped", "path, stage, reason")
    one = [row for row in dropped if row[0] not in {"t.go", "h.py", "copy.py"}]
    # Of equal files the smallest id stays, which is a hash: any one of the three.
    copies = [row for row in one if row[0] in {"a.py", "b.py", "c.py"}]
    assert sorted(str(row[1]) for row in copies) == ["exact_duplicates", "near_duplicates"]
    assert [row for row in one if row not in copies] == [
        ("README.md", "path", "no_language"),
        ("agpl.py", "licence", "not_permissive"),
        ("empty.py", "decode", "empty"),
        ("generated.py", "origin", "generated"),
        ("gpl.py", "licence", "copyleft_notice"),
        ("huge.py", "read", "too_large"),
        ("latin.py", "decode", "not_utf8"),
        ("link.py", "read", "link"),
        ("nul.py", "decode", "nul_bytes"),
        ("python2.py", "syntax", "not_python3"),
        ("secret/s.py", "path", "excluded"),
        ("vendor/v.py", "path", "vendored"),
        ("web/app.min.js", "path", "minified"),
        ("wide.py", "lines", "line_too_long"),
    ]
    kept = rows(out, "files", "project, path, language, licence, split")
    assert ("one", "emoji.py", "python", "MIT", "train") in kept
    assert ("one", "header.h", "cpp", "MIT", "train") in kept
    assert ("one", "mit_or_gpl.py", "python", "MIT OR GPL-2.0-only", "train") in kept
    assert ("two", "t.go", "go", "BSD-3-Clause", "train") in kept
    assert ("held_out", "h.py", "python", "ISC", "validation") in kept
    assert card.kept.files == len(kept)


def test_kept_and_dropped_are_what_was_read(built: Built) -> None:
    world, out, card = built
    kept = rows(out, "files", "count(*), sum(size_bytes), count(distinct id)")[0]
    dropped = rows(out, "dropped", "count(*), sum(size_bytes), count(distinct id)")[0]
    num_planted = sum(
        1
        for name in ("one", "two", "held_out")
        for p in (world / name).rglob("*")
        if not p.is_dir()
    )
    assert kept[0] == kept[2] == card.kept.files
    assert dropped[0] == dropped[2] == card.dropped.files
    assert int(str(kept[0])) + int(str(dropped[0])) == card.read.files == num_planted
    assert int(str(kept[1])) + int(str(dropped[1])) == card.read.bytes
    for stage, following in zip(card.stages, card.stages[1:], strict=False):
        assert stage.kept == following.read
        assert stage.read.files - stage.kept.files == sum(c.files for c in stage.reasons.values())
    assert card.stages[0].read == card.read
    assert card.stages[-1].kept == card.kept
    assert sum(source.kept.files for source in card.sources) == card.kept.files
    assert json.loads((out / "card.json").read_text())["kept"]["files"] == card.kept.files


def test_texts_and_schemas_are_as_promised(built: Built) -> None:
    import pyarrow.parquet as pq

    out = built.out
    texts = dict(rows(out, "files", "path, text"))
    assert str(texts["emoji.py"]).startswith("GREETING = 'héllo 🙂'\n")
    assert not any("\r" in str(text) for text in texts.values())
    for text, sha256, size_bytes in rows(out, "files", "text, sha256, size_bytes"):
        assert hashlib.sha256(str(text).encode()).hexdigest() == sha256
        assert len(str(text).encode()) == size_bytes
    assert pq.read_schema(next((out / "files").iterdir())) == FILES
    assert pq.read_schema(next((out / "dropped").iterdir())) == DROPPED


def test_no_project_and_no_text_is_on_both_sides(built: Built) -> None:
    out = built.out
    sides = rows(out, "files", "project, split")
    assert set(sides) == {("one", "train"), ("two", "train"), ("held_out", "validation")}
    # copy.py of the held-out project is a.py of project two; one of them went.
    hashes = [row[0] for row in rows(out, "files", "sha256")]
    assert len(hashes) == len(set(hashes))
    assert ("exact_duplicates",) in rows(out, "dropped", "stage")


def test_two_builds_give_the_same_bytes_whatever_the_number_of_processes(built: Built) -> None:
    build(built.world / "recipe.toml", built.world / "second", jobs=1)
    first = bytes_of(built.out)
    assert len(first) == 8
    assert first == bytes_of(built.world / "second")


def test_a_finished_build_is_not_repeated_and_a_change_repeats_only_its_source(world: Path) -> None:
    out = world / "out"
    first = build(world / "recipe.toml", out, jobs=1)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert build(world / "recipe.toml", out, jobs=1) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == stamps

    plant(world / "two", {"new.py": python_code(9)})
    second = build(world / "recipe.toml", out, jobs=1)
    assert second.kept.files == first.kept.files + 1
    assert second.digest != first.digest
    reused = {
        path
        for path in stamps
        if path.name.startswith(("read", "annotated", "bands")) and "-two" not in str(path)
    }
    assert len(reused) == 6
    assert all(path.stat().st_mtime_ns == stamps[path] for path in reused)
    assert len(list((out / "stages").glob("*-directory-two"))) == 1


def test_a_second_build_in_the_same_folder_is_refused(world: Path) -> None:
    (world / "out" / "stages").mkdir(parents=True)
    with alone_in(world / "out" / "stages"), pytest.raises(InputError, match="another build"):
        build(world / "recipe.toml", world / "out")
    assert build(world / "recipe.toml", world / "out", jobs=1).kept.files > 0


def test_caps_keep_whole_bytes_below_the_limits(tmp_path: Path) -> None:
    for project, num_files in (("big", 60), ("small", 12)):
        plant(
            tmp_path / project,
            {f"d{n % 6}/f{n}.py": python_code(n + 100 * len(project)) for n in range(num_files)},
        )
    size = len(python_code(1))
    recipe = write_recipe(
        tmp_path,
        f"""
sources = [{{ directory = "big", licence = "MIT" }}, {{ directory = "small", licence = "MIT" }}]
[caps]
project_bytes = {size * 30}
language_bytes = {size * 35}
""",
    )
    card = build(recipe, tmp_path / "out", jobs=1)
    reasons = card.stages[-1].reasons
    assert card.stages[-1].stage == "balance"
    assert set(reasons) == {"over_project_cap", "over_language_cap"}
    assert size * 30 < card.kept.bytes <= size * 35
    assert reasons["over_project_cap"].bytes >= size * 25


def test_one_folder_needs_no_recipe(world: Path) -> None:
    card = build_directory(world / "two", world / "out", licence="MIT", jobs=1)
    assert [source.source for source in card.sources] == ["directory:two"]
    assert card.languages == {
        "go": {"train": card.languages["go"]["train"]},
        "python": {"train": card.languages["python"]["train"]},
    }
    assert card.kept.files == 2


def test_ones_own_code_has_projects_by_folder_and_no_licence_filter(tmp_path: Path) -> None:
    for name in ("billing", "search", "web"):
        plant(
            tmp_path / "code" / name,
            {"src/a.py": python_code(len(name)), "gpl.py": GPL + python_code(60 + len(name))},
        )
    plant(tmp_path / "code", {"setup.py": python_code(40), ".cache/x.py": python_code(41)})
    card = build_directory(tmp_path / "code", tmp_path / "out", jobs=1)
    sides = dict(rows(tmp_path / "out", "files", "project, split"))
    assert set(sides) == {"billing", "search", "web", "code", ".cache"}
    assert sorted(sides.values()) == ["train"] * 4 + ["validation"]
    assert ("web/gpl.py", "NOASSERTION") in rows(tmp_path / "out", "files", "path, licence")
    assert card.projects == {"train": 4, "validation": 1}
    assert card.dropped.files == 0


def test_hostile_archives_are_skipped_and_nothing_leaves_the_output(
    tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_CACHE_DIR", str(warm_cache))
    # What a registry served is in the cache; the cache is where archives come from.
    place = tmp_path / "cache" / "archives" / "pypi"
    for name, content in (("bomb", bytes(5_000_000)), ("climber", b"x = 1\n")):
        (place / f"{name}@1").mkdir(parents=True)
        with tarfile.open(place / f"{name}@1" / f"{name}-1.tar.gz", "w:gz") as archive:
            for path, data in (
                (f"{name}-1/../../../evil.py", content),
                (f"{name}-1/good.py", python_code(len(name)).encode()),
            ):
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    (place / "broken@1").mkdir()
    (place / "broken@1" / "broken-1.tar.gz").write_bytes(b"\x1f\x8b broken")
    recipe = write_recipe(
        tmp_path,
        """
sources = [
    { pypi = "bomb==1", licence = "MIT" },
    { pypi = "climber==1", licence = "MIT" },
    { pypi = "broken==1", licence = "MIT" },
]
[limits]
archive_bytes = 1000000
""",
    )
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    card = build(recipe, tmp_path / "out", jobs=1)
    assert {each.source: each.skipped for each in card.sources} == {
        "pypi:bomb==1": "archive_too_large",
        "pypi:broken==1": "damaged_archive",
        "pypi:climber==1": "",
    }
    assert rows(tmp_path / "out", "files", "path") == [("good.py",)]
    assert rows(tmp_path / "out", "dropped", "stage, reason") == [("read", "unsafe_path")]
    after = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    ours = (tmp_path / "out", tmp_path / "cache" / "rules")  # the scanner keeps compiled rules
    assert all(any(path.is_relative_to(folder) for folder in ours) for path in after)
    assert not list(tmp_path.rglob("evil.py"))


def test_nothing_left_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, 'sources = [{ directory = "gone", licence = "MIT" }]')
    with pytest.raises(InputError, match=r"directory:gone \(no_such_directory\)"):
        build(recipe, tmp_path / "out")
    (tmp_path / "gone").mkdir()
    with pytest.raises(InputError, match="hold no file"):
        build(recipe, tmp_path / "out")
    plant(tmp_path / "gone", {"a.py": GENERATED})
    with pytest.raises(InputError, match="no file remains of 1 in 1 sources"):
        build(recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "card.json").exists()


@pytest.mark.e2e
@pytest.mark.slow
def test_a_build_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        plant(
            tmp_path / name,
            {f"p{n % 9}/m{n}.py": python_code(ord(name) * 1000 + n, 40) for n in range(50)},
        )
    recipe = write_recipe(
        tmp_path,
        "sources = ["
        + ", ".join(f'{{ directory = "{name}", licence = "MIT" }}' for name in ("a", "b", "c"))
        + "]",
    )
    build(recipe, tmp_path / "whole", jobs=2)
    out = tmp_path / "killed"
    markers = ("read.parquet", "annotated-*.parquet", "edges", "clusters.parquet", "decisions")
    for marker in random.SystemRandom().sample(markers, 3):
        process = start_build(recipe, out)
        children: list[psutil.Process] = []
        while process.poll() is None and not list((out / "stages").rglob(marker)):
            children = psutil.Process(process.pid).children(recursive=True) or children
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "a killed build leaves no process behind"
    finished = start_build(recipe, out)
    assert finished.wait(timeout=120) == 0
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    assert not list(out.rglob("*.part"))


def start_build(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the real command on a recipe."""
    command = [sys.executable, "-m", "fimble", "corpus", "build", str(recipe), "--out", str(out)]
    return subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL)
