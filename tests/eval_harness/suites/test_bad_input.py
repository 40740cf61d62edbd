"""Whatever is wrong with a user's files is one clear message, with the place."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from eval_harness.suites.draw import Draw
from eval_harness.suites.records import read_records
from eval_harness.suites.registry import open_suite
from fimble.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

RECORD = {
    "task_id": "HumanEval/0",
    "prompt": 'def f(x):\n    """Add 🐟."""\n',
    "entry_point": "f",
    "canonical_solution": "    return x\n",
    "test": "def check(candidate):\n    assert candidate(1) == 1\n",
}


def described(folder: Path, file: str = "data.jsonl", more: str = "") -> str:
    text = f'name = "mine"\nshape = "humaneval"\n\n[[data]]\nfile = "{file}"\n{more}'
    (folder / "suite.toml").write_text(text, encoding="utf-8")
    return str(folder / "suite.toml")


def refused(name: str, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        open_suite(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_file_says_which_and_where_it_comes_from(tmp_path: Path) -> None:
    assert str(tmp_path / "data.jsonl") in refused(described(tmp_path))
    message = refused("humaneval", benchmarks=tmp_path)
    assert str(tmp_path / "humaneval" / "HumanEval.jsonl.gz") in message
    assert "github.com/openai/human-eval" in message


def test_a_folder_of_benchmarks_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "no") in refused("humaneval", benchmarks=tmp_path / "no")


def test_without_any_folder_the_message_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fimble.toml").write_text("", encoding="utf-8")
    monkeypatch.setenv("FIMBLE_CONFIG", str(tmp_path / "fimble.toml"))
    monkeypatch.delenv("FIMBLE_BENCHMARKS", raising=False)
    assert "FIMBLE_BENCHMARKS" in refused("humaneval")
    config = f'[eval]\nbenchmarks = "{(tmp_path / "there").as_posix()}"\n'
    (tmp_path / "fimble.toml").write_text(config, encoding="utf-8")
    assert "there" in refused("humaneval")
    monkeypatch.setenv("FIMBLE_BENCHMARKS", str(tmp_path / "first"))
    assert "first" in refused("humaneval")


def test_another_file_than_the_described_one_names_both_hashes_and_a_way_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "humaneval" / "HumanEval.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(RECORD), encoding="utf-8")
    message = refused("humaneval", benchmarks=tmp_path)
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    assert str(path) in message
    assert got in message
    assert "wanted is " in message
    assert "docs/benchmarks.md" in message


def test_a_file_may_be_packed_anew_or_unpacked(tmp_path: Path) -> None:
    data = json.dumps(RECORD).encode()
    more = f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
    (tmp_path / "data.jsonl.gz").write_bytes(gzip.compress(data, mtime=1))
    packed = open_suite(described(tmp_path, "data.jsonl.gz", more))
    assert open_suite(described(tmp_path, "data.jsonl", more)).digest == packed.digest
    (tmp_path / "data.jsonl.gz").unlink()
    (tmp_path / "data.jsonl").write_bytes(data)
    assert open_suite(described(tmp_path, "data.jsonl.gz", more)).digest == packed.digest


def test_a_torn_gzip_file_is_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(RECORD).encode() * 50)
    (tmp_path / "data.jsonl.gz").write_bytes(whole[:-20])
    assert "cut short or damaged" in refused(described(tmp_path, "data.jsonl.gz"))
    (tmp_path / "data.jsonl.gz").write_bytes(b"no gzip at all")
    assert "cut short or damaged" in refused(described(tmp_path, "data.jsonl.gz"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no record"),
        (b"\n\r\n \n", "holds no record"),
        (b'{"task_id": "x"}\n{"task', "data.jsonl:1: the record has no field 'entry_point'"),
        (b"[1, 2]\n", "data.jsonl:1: the record is '[1, 2]'; it must be a table"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (json.dumps(RECORD).encode() + b"\n{oops}\n", "data.jsonl:2: this is not JSON"),
        (json.dumps(RECORD | {"prompt": 7}).encode(), "'prompt' is '7' (int); it must be a text"),
        (json.dumps(RECORD | {"prompt": None}).encode(), "has no field 'prompt'; it has "),
        (b"[" * 100_000, "data.jsonl:1: this is not JSON"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "data.jsonl").write_bytes(content)
    assert expected in refused(described(tmp_path))


def test_two_problems_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(f"{json.dumps(RECORD)}\n" * 2, encoding="utf-8")
    assert "data.jsonl:2: there are two problems 'python/HumanEval/0'" in refused(
        described(tmp_path)
    )


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    rows = f"{json.dumps(RECORD)}\n".encode()
    (tmp_path / "data.jsonl").write_bytes(rows)
    plain = open_suite(described(tmp_path))
    dos = RECORD | {key: value.replace("\n", "\r\n") for key, value in RECORD.items()}
    (tmp_path / "data.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(dos).encode() + b"\r\n")
    assert open_suite(described(tmp_path)).problems == plain.problems
    assert "🐟" in plain.problems[0].prompt


def test_only_a_line_feed_ends_a_record(tmp_path: Path) -> None:
    record = RECORD | {"prompt": "a\u2028b\x85c"}
    row = json.dumps(record, ensure_ascii=False)
    (tmp_path / "data.jsonl").write_text(row, encoding="utf-8")
    assert [r.text("prompt") for r in read_records(tmp_path / "data.jsonl")] == ["a\u2028b\x85c"]


def test_json_lists_and_parquet_files_are_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "data.json").write_text(json.dumps([RECORD]), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist([RECORD]), tmp_path / "data.parquet")
    first = open_suite(described(tmp_path, "data.json"))
    assert open_suite(described(tmp_path, "data.parquet")).problems == first.problems
    (tmp_path / "data.parquet").write_bytes(b"PAR1 not really")
    assert "as Parquet" in refused(described(tmp_path, "data.parquet"))
    (tmp_path / "data.csv").write_bytes(b"a,b\n")
    assert "names end in .jsonl" in refused(described(tmp_path, "data.csv"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = ", "is not valid TOML"),
        ('name = "x"\nshape = "humaneval"\n', "at least one [[data]]"),
        ('name = "x"\nshap = "humaneval"\n', "unknown key shap"),
        ('name = "x"\nshape = "nope"\n[[data]]\nfile = "data.jsonl"\n', "shape is 'nope'"),
        (
            'name = "x"\nshape = "humaneval"\n[[data]]\nfile = "d"\nlanguage = "pyhton"\n',
            "language is 'pyhton'; allowed are ",
        ),
        (
            'name = "x"\nshape = "humaneval"\n[[data]]\nfile = "d"\nsha256 = "12"\n',
            "must be 64 hexadecimal digits",
        ),
        ('name = "x"\nshape = "template"\n[[data]]\nfile = "d"\n', "[template] belongs to"),
        ('name = "x"\nshape = "repository"\n', "[draw] belongs to"),
        ('name = "x"\nshape = "repository"\n[draw]\nper_language = 0\n', "must be 1 or more"),
    ],
)
def test_a_description_that_does_not_fit_says_what_is_wrong(
    tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps(RECORD), encoding="utf-8")
    (tmp_path / "suite.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError if "nope" not in text else InputError) as caught:
        open_suite(str(tmp_path / "suite.toml"))
    assert expected in str(caught.value)


def test_a_language_that_a_suite_lacks_says_which_it_has(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps(RECORD), encoding="utf-8")
    message = refused(described(tmp_path), languages=frozenset({"cobol", "python"}))
    assert "no problem in cobol" in message
    assert "python" in message


def test_an_unknown_suite_names_those_there_are() -> None:
    message = refused("humanevil")
    assert "humaneval-x" in message
    assert "infilling-x" in message


@pytest.mark.parametrize("source", ["", "/no/such/place"])
def test_a_repository_suite_needs_a_place(source: str) -> None:
    assert "suite 'repository' needs a source" in refused("repository") or source
    if source:
        message = refused("repository", draw=Draw(source=source))
        assert "there is no repository, folder or archive /no/such/place" in message
