"""Decontamination: planted problems are found, innocent code is not."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fimble.errors import InputError
from training.corpus.benchmarks import (
    MAX_FAMILIES,
    BenchmarkIndex,
    Problem,
    build_index,
    files_at,
    read_benchmarks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(os.environ.get("FIMBLE_BENCHMARKS") or "../shared/benchmarks")

PROMPT = '''def nearest_harbour(ships: list[Ship], harbours: list[Harbour]) -> Harbour:
    """Return the harbour that all ships together reach with the least distance.

    >>> nearest_harbour([Ship(1, 2)], [Harbour("Kiel", 1, 2), Harbour("Rostock", 9, 9)])
    Harbour("Kiel", 1, 2)
    """
'''
SOLUTION = """    best, shortest = None, math.inf
    for harbour in harbours:
        total = sum(ship.distance_to(harbour) for ship in ships)
        if total < shortest:
            best, shortest = harbour, total
    return best
"""
INNOCENT = """import os
import sys
from pathlib import Path


def main(arguments):
    for name in arguments:
        path = Path(name)
        print(path.stat().st_size, path)


if __name__ == "__main__":
    main(sys.argv[1:])
"""
PROBLEM = Problem(task_id="own.jsonl:Own/1", texts=(PROMPT, SOLUTION))


def as_is(piece: str) -> str:
    return piece


def reindented(piece: str) -> str:
    return re.sub(r"(?m)^", "\t\t", piece.replace("    ", "  "))


def as_comment(piece: str) -> str:
    return re.sub(r"(?m)^", "// ", piece)


def as_block_comment(piece: str) -> str:
    return "/*\n" + re.sub(r"(?m)^", " * ", piece) + " */"


def as_doctest(piece: str) -> str:
    return '"""\n' + re.sub(r"(?m)^", "    >>> ", piece) + '"""'


def as_string(piece: str) -> str:
    return f"X = {json.dumps(piece, ensure_ascii=False)}\n"


def in_capitals(piece: str) -> str:
    return piece.upper()


def with_other_line_ends(piece: str) -> str:
    return piece.replace("\r\n", "\n")


DISGUISES = (
    as_is, reindented, as_comment, as_block_comment, as_doctest, as_string, in_capitals,
    with_other_line_ends,
)  # fmt: skip


def planted(piece: str) -> bytes:
    """Return an innocent file with a piece in its middle."""
    head, tail = INNOCENT.split("\n\n\n", 1)
    return f"{head}\n\n{piece}\n\n{tail}".encode()


@pytest.fixture(scope="module")
def own() -> BenchmarkIndex:
    return build_index([PROBLEM])


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("piece", [PROMPT, SOLUTION])
def test_a_planted_piece_is_found_in_every_disguise(
    own: BenchmarkIndex, piece: str, disguise: Callable[[str], str]
) -> None:
    innocent, hit, empty = own.hits([INNOCENT.encode(), planted(disguise(piece)), b""])
    assert (innocent, empty) == (None, None)
    assert hit is not None
    assert hit.task_id == "own.jsonl:Own/1"


def test_a_hit_names_the_problem_and_the_first_words_that_both_share(own: BenchmarkIndex) -> None:
    (hit,) = own.hits(["x = '🙂'\r\n".encode() + SOLUTION.replace("\n", "\r\n").encode()])
    assert hit == ("own.jsonl:Own/1", "best shortest none math inf for harbour in harbours total")


def test_renamed_variables_escape(own: BenchmarkIndex) -> None:
    renamed = re.sub(r"\b(harbours?|best|shortest|total|ships?)\b", r"\1_", SOLUTION)
    assert own.hits([planted(renamed)]) == [None]


def test_nine_words_of_a_problem_are_no_hit_and_ten_are(own: BenchmarkIndex) -> None:
    words = "total = sum(ship.distance_to(harbour) for ship in ships) if"
    assert own.hits([words.removesuffix(" if").encode(), words.encode()]) == [
        None,
        ("own.jsonl:Own/1", "total sum ship distance_to harbour for ship in ships if"),
    ]


def test_words_do_not_run_on_from_one_text_into_the_next(own: BenchmarkIndex) -> None:
    words = SOLUTION.encode().split()
    assert own.hits([b" ".join(words[i : i + 5]) for i in range(0, len(words), 5)]) == [
        None for _ in range(0, len(words), 5)
    ]


def test_import_lines_are_no_hit_and_hide_none() -> None:
    imports = "from collections import Counter, OrderedDict, defaultdict, deque, namedtuple, abc\n"
    index = build_index([Problem(task_id="a:1", texts=(imports + PROMPT,))])
    assert index.hits([(imports * 3).encode() + INNOCENT.encode()]) == [None]
    # The same piece with an import line in its middle is still the same piece.
    top, rest = SOLUTION.split("\n", 1)
    (hit,) = build_index([PROBLEM]).hits([f"{top}\n  import math\n{rest}".encode()])
    assert hit is not None
    assert hit.words == "best shortest none math inf for harbour in harbours total"


def test_numbers_and_one_letter_names_are_no_hit() -> None:
    text = "assert f([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]) == [0, 0, 0, 0, 0]\n"
    loop = "for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) a[i][j] = b[i] * c[j] + k;\n"
    index = build_index([PROBLEM, Problem(task_id="b:2", texts=(text, loop))])
    assert index.hits([text.encode(), loop.encode()]) == [None, None]


def test_the_frame_of_a_benchmark_is_no_hit_however_often_a_problem_is_repeated() -> None:
    frame = "public static void main(String[] args) { Solution solution = new Solution(); check();"
    for families, expected in ((MAX_FAMILIES, True), (MAX_FAMILIES + 1, False)):
        problems = [
            Problem(task_id=f"x.jsonl:{variant}/{family}/L{variant}", texts=(frame,))
            for variant in ("A", "B", "C")
            for family in range(families)
        ]
        (hit,) = build_index([PROBLEM, *problems]).hits([frame.encode()])
        assert (hit is not None) == expected


def test_problems_without_a_piece_are_an_error() -> None:
    with pytest.raises(InputError, match="none of 1 benchmark problems holds 10 words in a row"):
        build_index([Problem(task_id="a:1", texts=("return a + b", ""))])


def test_an_index_that_travelled_to_another_process_gives_the_same(own: BenchmarkIndex) -> None:
    texts = [planted(PROMPT), INNOCENT.encode(), SOLUTION.encode() * 2]
    assert pickle.loads(pickle.dumps(own)).hits(texts) == own.hits(texts)  # noqa: S301 -- our own bytes


def test_hits_do_not_depend_on_the_batch(own: BenchmarkIndex) -> None:
    rng = random.Random(2)
    texts = [planted(PROMPT) if rng.random() < 0.3 else INNOCENT.encode() * 20 for _ in range(900)]
    assert own.hits(texts) == [own.hits([text])[0] for text in texts]


ROW = {
    "task_id": "Own/7",
    "url": "an address of many words is no text of the problem",
    "prompt": "one 🙂",
    "tests": [{"input": "two", "lines": ["three"]}, {"input": None, "link": "four"}],
    "level": 5,
    "empty": None,
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz", "a.parquet"])
def test_every_format_gives_the_strings_of_its_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist([ROW, ROW | {"task_id": "8"}]), path)
    else:
        lines = [json.dumps(row) for row in (ROW, ROW | {"task_id": 8})]
        text = "\r\n".join(lines) + "\n\n" if "jsonl" in name else f"[{','.join(lines)}]"
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_benchmarks([path]) == [
        Problem(task_id=f"{name}:Own/7", texts=("one 🙂", "two", "three")),
        Problem(task_id=f"{name}:8", texts=("one 🙂", "two", "three")),
    ]


def test_a_folder_is_searched_for_every_format_that_can_be_read(tmp_path: Path) -> None:
    names = ("a.json", "a.json.gz", "a.jsonl", "a.jsonl.gz", "a.parquet", "inner/a.txt")
    (tmp_path / "inner").mkdir()
    for name in (*names, "LICENSE", "a.jsonl.part"):
        (tmp_path / name).write_bytes(b"x")
    assert files_at(tmp_path) == [tmp_path / name for name in names]
    with pytest.raises(InputError, match="holds no benchmark text"):
        files_at(tmp_path / "LICENSE")


def test_a_folder_gives_all_its_benchmark_files_and_a_text_file_is_one_problem(
    tmp_path: Path,
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b.txt").write_text("some text\n")
    (tmp_path / "a.jsonl").write_text('"bare string"\n["list", "of strings"]\n')
    (tmp_path / "LICENSE").write_text("not a problem")
    assert read_benchmarks([tmp_path]) == [
        Problem(task_id="a.jsonl:0", texts=("bare string",)),
        Problem(task_id="a.jsonl:1", texts=("list", "of strings")),
        Problem(task_id="b.txt:0", texts=("some text\n",)),
    ]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b"{oops\n", "cannot read benchmark file .*a.jsonl"),
        ("a.json.gz", b"no gzip", "cannot read benchmark file .*a.json.gz"),
        ("a.json.gz", gzip.compress(b"[]", mtime=0)[:-9], "cannot read benchmark file .*a.json.gz"),
        ("a.parquet", b"PAR1", "cannot read benchmark file .*a.parquet"),
        ("a.txt", b"\xff\xfe", "cannot read benchmark file .*a.txt"),
        ("a.json", b'[{"id": "x"}, 3]', "holds no benchmark text"),
        ("a.json", b"[" * 100_000, "cannot read benchmark file .*a.json"),
    ],
)
def test_a_file_that_is_no_benchmark_is_one_clear_error(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_benchmarks([path])


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_benchmarks([tmp_path / "nowhere"])


@pytest.fixture(scope="module")
def real() -> tuple[list[Problem], BenchmarkIndex]:
    if not BENCHMARKS.is_dir():
        pytest.skip("FIMBLE_BENCHMARKS names no folder of benchmark files")
    problems = read_benchmarks([BENCHMARKS])
    return problems, build_index(problems)


@pytest.mark.slow
@pytest.mark.parametrize("disguise", DISGUISES)
def test_every_problem_that_is_evaluated_on_is_found_when_planted(
    real: tuple[list[Problem], BenchmarkIndex], disguise: Callable[[str], str]
) -> None:
    problems, index = real
    whole = [problem for problem in problems if "Infilling" not in problem.task_id]
    texts = [planted(disguise("\n".join(problem.texts))) for problem in whole]
    missed = [p.task_id for p, hit in zip(whole, index.hits(texts), strict=True) if hit is None]
    assert len(whole) >= 2000
    # What is missed is shorter than a piece, or formulas in one-letter names.
    assert len(missed) <= 0.01 * len(whole), missed


@pytest.mark.slow
@pytest.mark.parametrize("disguise", DISGUISES)
def test_nearly_every_string_of_fifteen_words_is_found_alone(
    real: tuple[list[Problem], BenchmarkIndex], disguise: Callable[[str], str]
) -> None:
    problems, index = real
    keys = {text: len(re.findall(r"\w+", text)) for p in problems for text in p.texts[:3]}
    pieces = sorted(text for text, num_words in keys.items() if num_words >= 15)
    hits = index.hits([planted(disguise(piece)) for piece in pieces])
    assert len(pieces) >= 5000
    assert sum(hit is not None for hit in hits) >= 0.95 * len(pieces)


@pytest.mark.slow
def test_our_own_source_holds_no_benchmark_text(
    real: tuple[list[Problem], BenchmarkIndex],
) -> None:
    sources = sorted(Path("training").rglob("*.py")) + sorted(Path("fimble").rglob("*.py"))
    hits = real[1].hits([path.read_bytes() for path in sources])
    assert len(sources) > 50
    assert {str(p): hit for p, hit in zip(sources, hits, strict=True) if hit} == {}
