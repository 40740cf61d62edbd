"""House style that no linter checks: sizes, names, where a fact lives, what docs may hold."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fimble.fim import FORMATS, SPECIAL_TOKENS

ROOT = Path(__file__).parents[1]
PACKAGES = ("fimble", "training", "lsp_server", "eval_harness", "telemetry")
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in (*PACKAGES, "bench", "tests")
    for path in (ROOT / folder).rglob("*.py")
)
OURS = [path for path in SOURCES if path.parts[0] in PACKAGES]
DOCS = [path.relative_to(ROOT) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])]
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "tools"}
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60

UNITS = re.compile(
    r"(^num_\w+|^(seq|v|line|column|character|seed|bucket|number|port|start|end|index)"
    r"|_(ms|s|days|bytes|tokens|chars|lines|columns|rate|share|version|id|logprob|count|size))$"
)
UNITLESS = {
    # fimble.engine: words of TGI's API
    "temperature",
    "logprob",
    # fimble.events: a probability, and the number of a key, under the names that everybody uses
    "propensity",
    "key_epoch",
    # fimble.experiments: shares of the units, sizes and levels under their names in statistics
    "weight",
    "minimal_effect",
    "max_worse",
    "alpha",
    "power",
    "layer_start",
    "layer_end",
    # fimble.settings: counts of things that the name says
    "threads",
    "max_files",
}
OTHERS_NAMES = {"Architecture"}  # the fields of a Llama `config.json`


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    assert text_of(path).count("\n") <= MAX_FILE_LINES
    assert not VAGUE_NAMES & {path.stem, *path.parts[:-1]}
    if path.parts[0] in PACKAGES:
        assert ast.get_docstring(ast.parse(text_of(path)))


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    lengths = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions_of(path)}
    assert {n: length for n, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize(
    "path", [path for path in OURS if path.name == "__init__.py"], ids=lambda p: str(p.parent)
)
def test_a_package_holds_a_docstring_and_nothing_else(path: Path) -> None:
    body = ast.parse(text_of(path)).body
    assert [type(node) for node in body] == [ast.Expr]


@pytest.mark.parametrize("path", OURS, ids=str)
def test_sentinels_are_spelled_in_one_file_only(path: Path) -> None:
    """`<|reserved_0|>` and the like stand for all of them."""
    spelled = {s.strip() for f in FORMATS.values() for s in f.sentinels()} | set(SPECIAL_TOKENS)
    found = {sentinel for sentinel in spelled if sentinel in text_of(path)}
    assert path == Path("fimble/fim.py") or found == set()


@pytest.mark.parametrize("path", OURS, ids=str)
def test_nothing_is_left_to_be_done_later(path: Path) -> None:
    assert re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b|raise NotImpl", text_of(path)) == []


@pytest.mark.parametrize("path", [p for p in OURS if p.parts[0] == "fimble"], ids=str)
def test_numbers_that_the_parts_share_carry_their_unit(path: Path) -> None:
    bare = {
        f"{cls.name}.{field.target.id}"
        for cls in ast.walk(ast.parse(text_of(path)))
        if isinstance(cls, ast.ClassDef) and cls.decorator_list and cls.name not in OTHERS_NAMES
        for field in cls.body
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and re.match(r"(int|float)\b", ast.unparse(field.annotation))
        and not UNITS.search(field.target.id.lstrip("_"))
        and field.target.id not in UNITLESS
    }
    assert bare == set()


@pytest.mark.parametrize("path", [*SOURCES, *DOCS], ids=str)
def test_nothing_depends_on_where_the_repository_lies(path: Path) -> None:
    """No absolute path to the repository, its neighbours, or anybody's home."""
    places = {str(parent) for parent in (ROOT, *ROOT.parents) if len(parent.parts) > 1}
    places |= {"/root", "/Users"}
    named = [place for place in places if re.search(rf"(?<![\w.~*}}/-]){place}/", text_of(path))]
    assert named == [] or path == Path("tests/test_tree.py")


def test_every_migration_and_query_is_named_for_what_it_gives() -> None:
    names = [path.stem for path in (ROOT / "telemetry").rglob("*.sql")]
    assert names
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
