"""Rows of Parquet files as source files: known layouts, licences and projects by row, bombs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fimble.errors import ConfigError
from training.corpus.archives import ArchiveError, Member
from training.corpus.limits import Limits
from training.corpus.parquet_pages import pages_of
from training.corpus.parquet_rows import PAGE_BYTES, read_rows
from training.corpus.read import Reading, read_source
from training.corpus.source import Columns, Source, Split, Splits
from training.corpus.sources import FetchError, expand, fetch

if TYPE_CHECKING:
    from pathlib import Path

PATHS = ["a.py", "b.py"]
PROJECTS = ["o/one", "o/two"]
NAMES, LIMITS = Columns(), Limits()


def written(folder: Path, columns: dict[str, object], **options: object) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def rows_of(
    path: Path, columns: Columns | None = None, limits: Limits | None = None
) -> list[Member]:
    return list(read_rows(path, columns or Columns(), limits or Limits(), lambda _: None))


@pytest.mark.parametrize(
    ("names", "licences", "expected"),
    [
        (
            ("content", "max_stars_repo_path", "max_stars_repo_name", "max_stars_repo_licenses"),
            [["MIT"], ["MIT", "GPL-2.0-only"]],
            ["MIT", "GPL-2.0-only AND MIT"],
        ),
        (("content", "max_stars_repo_path", "max_stars_repo_name", ""), None, [None, None]),
        (
            ("content", "path", "repo_name", "detected_licenses"),
            [["MIT OR GPL-2.0-only", "ISC"], []],
            ["ISC AND (MIT OR GPL-2.0-only)", None],
        ),
        (
            ("text", "path", "repo_name", "detected_licenses"),
            [["MIT", "MIT", ""], None],
            ["MIT", None],
        ),
        (("text", "path", "project", "licence"), ["MIT OR ISC", ""], ["MIT OR ISC", None]),
    ],
    ids=["stack v1", "starcoderdata", "stack v2", "stack v2 text", "ours"],
)
def test_known_layouts_are_found_by_their_names(
    tmp_path: Path,
    names: tuple[str, str, str, str],
    licences: list[object] | None,
    expected: list[str | None],
) -> None:
    texts = ["x = '🙂'\r\n", ""]
    columns = dict(zip(names, (texts, PATHS, PROJECTS, licences), strict=True))
    columns.pop("", None)
    found = rows_of(written(tmp_path, {"hexsha": ["0", "1"], "lang": ["Python"] * 2, **columns}))
    assert found == [
        Member("a.py", 12, texts[0].encode(), None, "o/one", expected[0]),
        Member("b.py", 0, b"", None, "o/two", expected[1]),
    ]


def test_columns_of_the_recipe_go_before_the_known_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"content": ["no"], "code": [b"yes"], "path": ["a.py"], "owner": ["o"], "spdx": ["MIT"]},
    )
    columns = Columns(text="code", project="owner", licence="spdx")
    assert rows_of(path, columns) == [Member("a.py", 3, b"yes", None, "o", "MIT")]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)  # fmt: skip
def test_every_type_of_string_will_do(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["x = '🙂'\n", None, "y\n"]).cast(kind)
    found = rows_of(written(tmp_path, {"content": column, "path": pa.array(["a", "b", "c"])}))
    assert [(m.content, m.reason) for m in found] == [
        ("x = '🙂'\n".encode(), None),
        (None, "no_text"),
        (b"y\n", None),
    ]


def test_rows_without_a_name_and_rows_with_a_bad_one_have_reasons(tmp_path: Path) -> None:
    names = [None, "", "../up.py", "/root.py", "a\0b.py", "x.py", "x.py", "C:\\w.py", "d" * 5000]
    num_rows = len(names)
    path = written(
        tmp_path, {"content": ["x"] * num_rows, "path": names, "project": ["p"] * num_rows}
    )
    found = rows_of(path)
    assert [m.reason for m in found] == [
        *("no_path", "no_path", "unsafe_path", "unsafe_path", "unsafe_path", None),
        *("duplicate_path", "unsafe_path", "path_too_long"),
    ]
    assert [m.content for m in found if m.content is not None] == [b"x"]
    assert len(found[-1].path) == 4096


def test_text_that_is_no_utf8_and_text_that_is_too_long_are_told_apart(tmp_path: Path) -> None:
    texts = pa.array([b"caf\xe9", b"x" * 1001, b"x" * 1000])
    path = written(tmp_path, {"content": texts, "path": ["a", "b", "c"]})
    found = rows_of(path, limits=Limits(file_bytes=1000))
    assert [(m.content, m.reason) for m in found] == [
        (b"caf\xe9", None),
        (None, "too_large"),
        (b"x" * 1000, None),
    ]


@pytest.mark.parametrize(
    ("columns", "asked", "reason"),
    [
        ({"path": ["a"]}, Columns(), "no_text_column"),
        ({"content": ["a"]}, Columns(), "no_path_column"),
        ({"code": ["a"]}, Columns(text="code"), "no_path_column"),
        ({"content": [1], "path": ["a"]}, Columns(), "wrong_column_type: content is int64"),
        ({"content": [["a"]], "path": ["a"]}, Columns(), "wrong_column_type: content is list"),
        ({"content": ["a"], "path": [{"a": 1}]}, Columns(), "wrong_column_type: path is struct"),
        ({"text": ["a"], "path": ["a"], "licence": [1.5]}, Columns(), "wrong_column_type: licence"),
        ({"content": ["a"], "path": ["a"]}, Columns(licence="spdx"), "no_such_column: spdx"),
    ],
)
def test_a_table_of_something_else_says_what_is_missing(
    tmp_path: Path, columns: dict[str, object], asked: Columns, reason: str
) -> None:
    with pytest.raises(ArchiveError) as caught:
        rows_of(written(tmp_path, columns), asked)
    assert str(caught.value).startswith(reason)


def test_a_damaged_file_says_so_wherever_it_is_damaged(tmp_path: Path) -> None:
    whole = written(tmp_path, {"content": [f"x = {n}\n" * 50 for n in range(400)],
                               "path": [f"{n}.py" for n in range(400)]}).read_bytes()  # fmt: skip
    cut = tmp_path / "cut.parquet"
    for num_bytes in [0, 1, 4, 8, 100, *range(500, len(whole), len(whole) // 20), len(whole) - 1]:
        cut.write_bytes(whole[:num_bytes])
        with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
            rows_of(cut)
    for offset in range(0, len(whole), len(whole) // 200):
        changed = bytearray(whole)
        changed[offset] ^= 0xFF
        cut.write_bytes(changed)
        try:
            found = rows_of(cut)
        except ArchiveError:
            continue
        assert len(found) <= 400
    cut.write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    with pytest.raises(ArchiveError, match=r"^damaged_archive$"):
        rows_of(cut)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "snappy"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_a_page_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, compression: str, *, use_dictionary: bool
) -> None:
    path = written(
        tmp_path,
        {
            "content": pa.array([b"\0" * (PAGE_BYTES + 16_000_000)], pa.large_binary()),
            "path": ["a.py"],
        },
        compression=compression,
        use_dictionary=use_dictionary,
    )
    assert path.stat().st_size < PAGE_BYTES // 10
    with pytest.raises(ArchiveError, match=r"^archive_too_large$"):
        rows_of(path)


def test_pages_are_counted_whatever_their_version(tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        path = written(
            tmp_path,
            {"content": [f"{n}" * 100 for n in range(5000)]},
            data_page_version=version,
            data_page_size=10_000,
            use_dictionary=False,
            write_statistics=True,
        )
        with pq.ParquetFile(path) as file:
            chunk = file.metadata.row_group(0).column(0)
        pages = pages_of(path, chunk)
        assert pages.num_values == 5000
        assert 10_000 <= pages.largest_bytes < 1_000_000 < chunk.total_uncompressed_size


def test_more_rows_than_a_file_can_hold_are_a_bomb(tmp_path: Path) -> None:
    num_rows = 500_000
    path = written(tmp_path, {"content": ["x"] * num_rows, "path": ["a.py"] * num_rows})
    assert path.stat().st_size < 10_000
    with pytest.raises(ArchiveError, match=r"^archive_too_large$"):
        rows_of(path)


def test_a_pattern_becomes_one_source_a_file(tmp_path: Path) -> None:
    for name in ("shards/2.parquet", "shards/1.parquet", "shards/deep/3.parquet", "other.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"content": ["x"], "path": ["a.py"]}), path)
    (tmp_path / "shards" / "folder.parquet").mkdir()
    places = {"recipe_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    one = Source(parquet="shards/*.parquet", licence="MIT")
    units = expand(one, **places)
    assert [unit.key for unit in units] == ["parquet:shards/1.parquet", "parquet:shards/2.parquet"]
    assert {unit.project_name for unit in units} == {"shards"}
    assert fetch(units[1], **places) == [tmp_path / "shards" / "2.parquet"]
    assert len(expand(Source(parquet="**/*.parquet", project="p"), **places)) == 4
    absolute = Source(parquet=f"{tmp_path}/shards/*.parquet")
    assert [unit.parquet for unit in expand(absolute, **places)] == [
        f"{tmp_path}/shards/{n}.parquet" for n in (1, 2)
    ]
    for pattern, reason in (("gone/*.parquet", "no_file_matches"), ("g/1.parquet", "no_such_file")):
        [unit] = expand(Source(parquet=pattern), **places)
        with pytest.raises(FetchError, match=rf"^{reason}$"):
            fetch(unit, **places)


def test_the_split_and_the_identity_of_a_row_go_by_its_project(tmp_path: Path) -> None:
    rows = written(
        tmp_path,
        {
            "content": ["x"] * 4,
            "max_stars_repo_path": ["a.py", "a.py", "a.py", "a.py"],
            "max_stars_repo_name": ["o/held", "o/other", None, "x/flask"],
            "max_stars_repo_licenses": [["MIT"], None, ["NOASSERTION"], ["BSD-3-Clause"]],
        },
    )
    source = Source(parquet="all/*.parquet", licence="ISC")
    reading = Reading(
        source=source,
        splits=Splits(validation=frozenset({"o/held"})),
        exclude=(),
        limits=Limits(),
        archives=(rows,),
        keep_out=frozenset({"flask"}),
    )
    read_source(reading, tmp_path / "read.parquet")
    found = pq.read_table(tmp_path / "read.parquet").to_pylist()
    assert [(r["project"], r["split"], r["licence"], r["stage"], r["reason"]) for r in found] == [
        ("o/held", "validation", "MIT", None, None),
        ("o/other", "train", "ISC", None, None),
        ("all", "train", "NOASSERTION", None, None),
        ("x/flask", "train", "BSD-3-Clause", "path", "kept_out"),
    ]
    assert len({r["id"] for r in found}) == 4
    assert len({r["folder_rank"] for r in found}) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"parquet": "*.parquet"}, "add project"),
        ({"parquet": "a/*.parquet", "split": Split.TRAIN}, "many projects"),
        ({"parquet": "a/*.parquet", "revision": "v1"}, "revision goes with git or hub"),
        ({"directory": "a", "columns": Columns(text="x")}, "columns goes with parquet or hub"),
        ({"pypi": "a==1", "licence": "MIT", "projects": "top_folders"}, "goes with directory"),
        ({"pypi": "a==1"}, "missing key licence"),
        ({"git": "a", "revision": "v1"}, "missing key licence"),
        ({"hub": "o/n", "revision": "main", "files": "*.parquet"}, "needs a commit"),
        ({"hub": "name", "revision": "0" * 40, "files": "*.parquet"}, "write owner/name"),
        ({"hub": "o/n", "revision": "0" * 40}, "pattern of .parquet files"),
    ],
)
def test_keys_that_say_nothing_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Source(**keys)  # pyrefly: ignore[bad-argument-type] - that is what is tested


def test_rows_come_in_one_order_however_the_file_is_cut(tmp_path: Path) -> None:
    columns = {
        "content": [f"x = {n}" for n in range(3000)],
        "path": [f"{n}.py" for n in range(3000)],
    }
    found = [rows_of(written(tmp_path, columns, row_group_size=n)) for n in (3000, 700, 64)]
    assert all(one == other for one, other in pairwise(found))
    assert [m.path for m in found[0]] == columns["path"]
