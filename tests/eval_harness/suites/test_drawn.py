"""Suites that are drawn from code: holes, projects, what a corpus knows of them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.prompts import finish_answer
from eval_harness.suites.contamination import names_of, with_contamination
from eval_harness.suites.draw import Draw
from eval_harness.suites.holes import (
    Hole,
    block_holes,
    drawn,
    line_holes,
    lines_holes,
    node_holes,
)
from eval_harness.suites.infilling_x import holes_in, inherited
from eval_harness.suites.known_bad import known_bad_of
from eval_harness.suites.registry import open_suite
from eval_harness.suites.suite import Suite
from fimble.engine import FinishReason
from fimble.errors import InputError

PYTHON = '''"""Fish 🐟 and their names."""


def longest(names: list[str]) -> str:
    # The empty name is the shortest.
    best = ""
    for name in names:
        if len(name) > len(best) and name.isalpha():
            best = name
        else:
            continue
    return best
'''
JAVA = """class Fish {
    /** Returns what all of them weigh together, twice, and never less than zero. */
    int weight(int[] all) {
        int sum = 0;
        for (int each : all) {
            sum += each * 2;
        }
        return Math.max(sum, 0);
    }
}
"""


def whole(text: str) -> Hole:
    return Hole(0, len(text))


def texts(holes: list[Hole], text: str) -> list[str]:
    return [text[hole.start : hole.end] for hole in holes]


def test_every_line_that_says_something_is_a_hole() -> None:
    assert texts(list(line_holes(JAVA, "java", whole(JAVA))), JAVA) == [
        "class Fish {",
        "int weight(int[] all) {",
        "int sum = 0;",
        "for (int each : all) {",
        "sum += each * 2;",
        "return Math.max(sum, 0);",
    ]
    found = texts(list(line_holes(PYTHON, "python", whole(PYTHON))), PYTHON)
    assert "continue" not in found
    assert "else:" not in found
    assert not any(line.startswith("#") for line in found)
    assert "return best" in found


def test_a_region_bounds_the_holes() -> None:
    start = PYTHON.index("    best = ")
    holes = list(line_holes(PYTHON, "python", Hole(start, len(PYTHON))))
    assert texts(holes, PYTHON)[0] == 'best = ""'
    assert all(hole.start >= start for hole in node_holes(PYTHON, "python", holes[0]))


def test_runs_of_lines_start_and_end_with_lines_that_say_something() -> None:
    found = texts(list(lines_holes(JAVA, "java", whole(JAVA))), JAVA)
    assert "int sum = 0;\n        for (int each : all) {" in found
    assert all(not text.endswith("}") for text in found)
    assert all("\n" in text for text in found)


def test_expressions_are_parts_of_a_line_also_behind_an_emoji() -> None:
    found = texts(list(node_holes(PYTHON, "python", whole(PYTHON))), PYTHON)
    assert "len(name)" in found
    assert "name.isalpha()" in found
    assert "len(name) > len(best) and name.isalpha()" in found
    assert not any("\n" in text or "🐟" in text for text in found)
    in_java = texts(list(node_holes(JAVA, "java", whole(JAVA))), JAVA)
    assert "each * 2" in in_java
    assert "(sum, 0)" in in_java


def test_a_block_starts_at_the_end_of_the_line_that_opens_it() -> None:
    found = texts(list(block_holes(PYTHON, "python", whole(PYTHON))), PYTHON)
    assert "\n            best = name" in found
    assert any(text.startswith("\n        if len(name)") for text in found)
    in_java = texts(list(block_holes(JAVA, "java", whole(JAVA))), JAVA)
    assert "\n            sum += each * 2;" in in_java
    assert len(in_java) == 2


def test_broken_code_and_unknown_languages_have_lines_but_no_nodes() -> None:
    assert list(node_holes("f(a, b) + 1 ; g", "perl", Hole(0, 15))) == []
    assert list(block_holes("", "python", Hole(0, 0))) == []
    assert list(line_holes("x = foo\n\n", "perl", Hole(0, 9))) == [Hole(0, 7)]


def test_a_draw_is_the_same_everywhere_and_another_with_another_key() -> None:
    holes = [Hole(number, number + 5) for number in range(100)]
    first = drawn(holes, 10, "0/x")
    assert first == drawn(reversed(holes), 10, "0/x") == sorted(first)
    assert first != drawn(holes, 10, "1/x")
    assert drawn(holes[:3], 10, "0/x") == holes[:3]


def solution() -> Problem:
    prompt, canonical = JAVA[: JAVA.index("        int sum")], JAVA[JAVA.index("        int sum") :]
    return Problem(
        problem_id="Java/7",
        group="HumanEval/7",
        language="java",
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=prompt,
        canonical=canonical,
        tests="\nclass Main {}\n",
    )


def test_holes_in_a_solution_keep_its_program_and_its_group() -> None:
    problems = holes_in([solution()], seed=0)
    assert {problem.variant for problem in problems} == {"line", "lines", "node"}
    for problem in problems:
        assert problem.candidate(problem.canonical or "") == JAVA
        assert (problem.group, problem.tests) == ("HumanEval/7", "\nclass Main {}\n")
        assert problem.prompt.startswith(solution().prompt)
        given = finish_answer(problem, problem.canonical or "", FinishReason.END_TOKEN)
        assert given.text == problem.canonical
    assert problems == holes_in([solution()], seed=0)
    assert problems != holes_in([solution()], seed=1)


def test_what_is_known_of_a_solution_is_known_of_its_holes() -> None:
    problems = holes_in([solution()], seed=0)
    reasons = inherited({"java/Java/7": "never passes"}, problems)
    assert reasons == dict.fromkeys((problem.key for problem in problems), "never passes")
    assert inherited({"java/Java/70": "other"}, problems) == {}


def test_every_known_bad_entry_names_a_suite_and_gives_a_reason() -> None:
    import tomllib

    path = Path(__file__).parents[3] / "eval_harness" / "suites" / "known_bad.toml"
    for suite, languages in tomllib.loads(path.read_text(encoding="utf-8")).items():
        for language, reasons in languages.items():
            for problem_id, reason in reasons.items():
                problem = Problem(
                    problem_id=problem_id,
                    group="",
                    language=language,
                    kind=Kind.COMPLETE,
                    extent=Extent.BLOCK,
                    prompt="",
                )
                assert known_bad_of(suite, [problem]) == {problem.key: reason}
                assert len(reason) > 10


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with source files, and others that nobody should be asked about."""
    folder = tmp_path / "fish"
    files = {
        "src/longest.py": PYTHON.encode(),
        "src/Fish.java": JAVA.replace("\n", "\r\n").encode(),
        "vendor/other.py": PYTHON.encode(),
        ".hidden/other.py": PYTHON.encode(),
        "src/data.bin": b"\0\1\2",
        "src/latin.py": b"x = '\xff'\n" * 50,
        "src/minified.js": b"f(x);" * 1000,
        "src/long.py": b"x = 1\n" * 50_000,
        "README": b"text",
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ("git", *who, *arguments), cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def asked(source: Path | str, revision: str = "") -> Suite:
    return open_suite("repository", draw=Draw(source=str(source), revision=revision))


def test_a_folder_is_asked_for_lines_expressions_and_blocks(project: Path) -> None:
    suite = asked(project)
    assert suite.languages == ("java", "python")
    assert {p.variant for p in suite.problems} == {"line", "expression", "block"}
    files = {"src/longest.py": PYTHON, "src/Fish.java": JAVA}
    assert dict(suite.workspaces["fish"].files) == files
    for problem in suite.problems:
        assert problem.candidate(problem.canonical or "") == files[problem.path]
        assert (problem.kind, problem.tests, problem.project) == (Kind.INFILL, "", "fish")
        others = suite.workspaces[problem.project].others(problem)
        assert set(others) == set(files) - {problem.path}
    assert asked(project).digest == suite.digest
    only = open_suite("repository", draw=Draw(source=str(project)), languages=frozenset({"java"}))
    assert only.problems == tuple(p for p in suite.problems if p.language == "java")


def test_the_digest_knows_the_other_files_too(project: Path) -> None:
    before = asked(project)
    (project / "src" / "short.py").write_text("X = 1\n", encoding="utf-8")
    after = asked(project)
    assert after.problems == before.problems
    assert after.digest != before.digest


def test_a_repository_is_read_at_its_commit_and_not_from_the_disk(project: Path) -> None:
    git(project, "init", "--quiet")
    (project / ".gitattributes").write_text("*.py export-subst export-ignore text eol=crlf\n")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "first")
    first = git(project, "rev-parse", "HEAD")
    pinned = asked(project, first)
    assert pinned.source.endswith(first)
    (project / "src" / "longest.py").write_text(PYTHON.replace("best", "first"), encoding="utf-8")
    assert asked(project).digest == pinned.digest
    git(project, "commit", "--quiet", "-a", "-m", "second")
    assert asked(project).digest != pinned.digest
    assert asked(project, first).digest == pinned.digest
    assert asked(project, first[:10]).digest == pinned.digest
    by_address = asked(f"file://{project}")
    assert [p.canonical for p in by_address.problems] == [
        p.canonical for p in asked(project).problems
    ]
    with pytest.raises(InputError, match="git rev-parse failed"):
        asked(project, "no-such-branch")
    with pytest.raises(InputError, match="git fetch failed"):
        asked(f"file://{project}/missing")
    with pytest.raises(InputError, match="git rev-parse failed"):
        asked(project, "--upload-pack=x")


def test_a_description_pins_a_repository(project: Path) -> None:
    text = 'name = "ours"\nshape = "repository"\n[draw]\nsource = "fish"\nper_language = 2\n'
    (project.parent / "suite.toml").write_text(text, encoding="utf-8")
    suite = open_suite(str(project.parent / "suite.toml"))
    assert suite.name == "ours"
    assert len(suite.problems) == 2 * 2 * 3


@pytest.mark.parametrize("name", ["fish-1.0.tar.gz", "fish-1.0-py3-none-any.whl"])
def test_a_package_archive_is_read_without_its_top_folder(project: Path, name: str) -> None:
    path = project.parent / name
    entries = {
        "fish-1.0/src/longest.py": PYTHON.encode(),
        "fish-1.0/src/Fish.java": JAVA.encode(),
        "fish-1.0/README": b"",
    }
    if name.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as wheel:
            for entry, data in entries.items():
                wheel.writestr(entry, data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            link = tarfile.TarInfo("fish-1.0/src/link.py")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
            for entry, data in entries.items():
                member = tarfile.TarInfo(entry)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    suite = asked(path)
    assert {p.path for p in suite.problems} == {"src/longest.py", "src/Fish.java"}
    assert [p.canonical for p in suite.problems]
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[: len(whole_file) // 2])
    with pytest.raises(InputError, match="cannot read the archive"):
        asked(path)


def test_places_without_source_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no source file"):
        asked(tmp_path)
    (tmp_path / "x.rar").write_bytes(b"x")
    with pytest.raises(InputError, match="is no package archive"):
        asked(tmp_path / "x.rar")
    with pytest.raises(InputError, match="is no git repository; a revision"):
        asked(tmp_path, "main")


def corpus(folder: Path, *, benchmarks: list[dict[str, str]]) -> Path:
    """Write the files of a corpus, as far as the harness reads them."""
    (folder / "files").mkdir(parents=True)
    (folder / "dropped").mkdir()
    (folder / "card.json").write_text(json.dumps({"benchmarks": benchmarks}), encoding="utf-8")
    rows = [
        {"project": "seen", "path": "a.py", "split": "train", "text": PYTHON},
        {"project": "unseen", "path": "b/Fish.java", "split": "validation", "text": JAVA},
        {"project": "unseen", "path": "b/longest.py", "split": "validation", "text": PYTHON},
    ]
    import hashlib

    for row in rows:
        row["sha256"] = hashlib.sha256(row["text"].encode()).hexdigest()
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "one.parquet")
    dropped = [
        {"project": "p", "path": "x.go", "reason": "benchmark_text",
         "detail": "humaneval_go.jsonl.gz:Go/7: for i in range"},
        {"project": "q", "path": "y.go", "reason": "benchmark_text",
         "detail": "HumanEval.jsonl.gz:HumanEval/7: for i in range"},
        {"project": "q", "path": "z.go", "reason": "generated", "detail": None},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(dropped), folder / "dropped" / "one.parquet")
    return folder


def test_the_held_out_projects_of_a_corpus_are_asked_for_and_the_others_are_not(
    tmp_path: Path,
) -> None:
    suite = asked(corpus(tmp_path / "corpus", benchmarks=[]))
    assert {(p.project, p.path) for p in suite.problems} == {
        ("unseen", "b/Fish.java"),
        ("unseen", "b/longest.py"),
    }


def test_a_file_that_a_corpus_trained_on_is_marked(project: Path, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", benchmarks=[])
    suite = open_suite("repository", draw=Draw(source=str(project)), corpus=folder)
    expected = {p.key for p in suite.problems if p.path == "src/longest.py"}
    assert set(suite.contaminated) == expected
    assert set(suite.contaminated.values()) == {"in the corpus: a.py of seen"}
    assert suite.unchecked == frozenset()


def test_a_function_is_marked_in_every_language_and_every_cut(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", benchmarks=[{"name": "x", "sha256": "known"}])
    problems = (*holes_in([solution()], seed=0), solution())
    suite = Suite(
        name="x",
        digest="",
        problems=problems,
        data_of={problem.key: "known" for problem in problems[1:]} | {problems[0].key: "other"},
    )
    marked = with_contamination(suite, folder)
    assert set(marked.contaminated) == {problem.key for problem in problems}
    assert marked.contaminated[solution().key] == (
        "left out of the corpus: x.go of p and 1 more, for 'for i in range'"
    )
    assert marked.unchecked == {problems[0].key}
    with pytest.raises(InputError, match=r"is no corpus of `fimble corpus build`"):
        with_contamination(suite, tmp_path / "nothing")


def test_problems_of_the_corpus_index_go_by_the_name_of_their_function() -> None:
    assert names_of("humaneval_cpp.jsonl.gz:CPP/12") == {"CPP/12", "HumanEval/12"}
    single = "HumanEval-SingleLineInfilling.jsonl.gz:SingleLineInfilling/HumanEval/3/L0"
    assert names_of(single) == {"SingleLineInfilling/HumanEval/3/L0", "HumanEval/3"}
    assert names_of("sanitized-mbpp.json.gz:12") == {"12", "MBPP/12"}
    assert names_of("ours.jsonl:deep/7") == {"deep/7"}
