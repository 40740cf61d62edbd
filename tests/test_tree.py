"""House style that no linter checks: sizes, names, where a fact lives, what docs may hold."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

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
    # fimble.events: probabilities, and the number of a key, under the names that everybody uses
    "propensity",
    "filter_propensity",
    "filter_score",
    "key_epoch",
    # fimble.show_filter: of a score
    "threshold",
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


@cache
def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def offenders(paths: Iterable[Path], faults: Callable[[Path], object]) -> dict[str, object]:
    """Return what is wrong in each file, without the files in which nothing is."""
    found = {str(path): faults(path) for path in paths}
    assert found, "a rule about no file shows nothing"
    return {path: fault for path, fault in found.items() if fault}


def test_a_file_is_short_and_says_what_it_is() -> None:
    lengths = {path: text_of(path).count("\n") for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}
    assert offenders(SOURCES, lambda path: VAGUE_NAMES & {path.stem, *path.parts[:-1]}) == {}
    assert offenders(OURS, lambda path: not ast.get_docstring(tree_of(path))) == {}


def test_a_function_fits_on_a_screen() -> None:
    def too_long(path: Path) -> dict[str, int]:
        lengths = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions_of(path)}
        return {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}

    assert offenders(SOURCES, too_long) == {}


def test_a_package_holds_a_docstring_and_nothing_else() -> None:
    packages = [path for path in OURS if path.name == "__init__.py"]
    kinds = {str(path): [type(node) for node in tree_of(path).body] for path in packages}
    assert kinds == {str(path): [ast.Expr] for path in packages}
    assert packages


def test_sentinels_are_spelled_in_one_file_only() -> None:
    """`<|reserved_0|>` and the like stand for all of them."""
    spelled = {s.strip() for f in FORMATS.values() for s in f.sentinels()} | set(SPECIAL_TOKENS)
    found = offenders(OURS, lambda path: {each for each in spelled if each in text_of(path)})
    assert set(found) == {"fimble/fim.py"}


def test_nothing_is_left_to_be_done_later() -> None:
    later = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|raise NotImpl")
    assert offenders(OURS, lambda path: later.findall(text_of(path))) == {}


def test_numbers_that_the_parts_share_carry_their_unit() -> None:
    def bare(path: Path) -> set[str]:
        return {
            f"{cls.name}.{field.target.id}"
            for cls in ast.walk(tree_of(path))
            if isinstance(cls, ast.ClassDef) and cls.decorator_list and cls.name not in OTHERS_NAMES
            for field in cls.body
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and re.match(r"(int|float)\b", ast.unparse(field.annotation))
            and not UNITS.search(field.target.id.lstrip("_"))
            and field.target.id not in UNITLESS
        }

    assert offenders([path for path in OURS if path.parts[0] == "fimble"], bare) == {}


def test_nothing_depends_on_where_the_repository_lies() -> None:
    """No absolute path to the repository, its neighbours, or anybody's home."""
    places = {str(parent) for parent in (ROOT, *ROOT.parents) if len(parent.parts) > 1}
    named = re.compile(rf"(?<![\w.~*}}/-])(?:{'|'.join(places | {'/root', '/Users'})})/")
    found = offenders([*SOURCES, *DOCS], lambda path: named.findall(text_of(path)))
    assert set(found) <= {"tests/test_tree.py"}


def test_every_migration_and_query_is_named_for_what_it_gives() -> None:
    names = [path.stem for path in (ROOT / "telemetry").rglob("*.sql")]
    assert names
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
