"""Is it source code that a person wrote? Rules on a path, and rules on a text.

Each rule returns the reason to drop a file, or None. Thresholds are those of the papers named.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fimble.languages import by_path
from training.corpus import content

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLimits:
    """`[lines]`: the shape of lines and the mix of characters; shares are 0 to 1.

    Languages in `_EXCEPTIONS` have values of their own; a value that a recipe sets holds for all.

    Source: line lengths and alphanumeric share, Chen et al. 2021 (Codex), section 3.1; encoded
    data, Lozhkov et al. 2024 (StarCoder 2), arXiv:2402.19173; visible text, Li et al. 2023
    (StarCoder), arXiv:2305.06161; all others, Huang et al. 2024 (OpenCoder), arXiv:2411.04905,
    with its published filter configuration, but for `max_data_share`, which is ours.
    """

    enabled: bool = True
    max_line_chars: int = 1000
    max_mean_line_chars: float = 100
    min_alnum_share: float = 0.25
    max_digit_share: float = 0.2
    max_blank_share: float = 0.5
    """White space, of all characters."""
    max_encoded_run_chars: int = 1024
    max_encoded_share: float = 0.5
    max_hex_word_share: float = 0.4
    min_lines: int = 10
    """Shorter texts are spared all limits below, since shares of a few lines say little."""
    min_comment_share: float = 0.0
    """SantaCoder's experiments asked for 0.01 of Python, Java and JavaScript."""
    max_comment_share: float = 0.8
    """The comment at the top does not count: it mostly is a licence, which says nothing of what
    follows, and would drop short files."""
    max_repeated_line_share: float = 0.7
    max_repeated_window_share: float = 0.6
    """Runs of five lines that were there before. OpenCoder counts runs of words, which takes ten
    times as long; the limit is that for its longest runs."""
    max_long_string_share: float = 0.2
    """Lines with a string of a hundred characters or more."""
    max_data_share: float = 0.7
    """Lines that are nothing but literals; in SQL, characters in rows to insert."""
    min_visible_share: float = 0.2
    """Text that a browser shows, of an HTML file."""
    min_visible_chars: int = 100
    max_assert_share: float = 0.4
    """This and the next three: lines of Python that start so."""
    max_import_share: float = 0.3
    max_pass_share: float = 0.05
    max_print_share: float = 0.4


_DEFAULTS = LineLimits()
_EXCEPTIONS: dict[str, dict[str, Any]] = {
    # Paragraphs stand on one line; markup nests deep and repeats itself by nature.
    "html": {
        "max_line_chars": 2000,
        "max_mean_line_chars": 200,
        "max_blank_share": 0.6,
        "max_repeated_line_share": 0.8,
        "max_long_string_share": 0.5,
    },
    # Elements nest deep, and every level is indented.
    "tsx": {"max_blank_share": 0.6},
    # `#a1b2c3` and `0.25rem` are the matter itself, and rules repeat declarations.
    "css": {"max_digit_share": 0.3, "max_repeated_line_share": 0.8},
    "sql": {"max_blank_share": 0.6},
}


_TABLES_OF_THEIR_OWN = frozenset({"css", "sql"})
"""Languages whose tables are no lines of literals."""


@cache
def limits_for(language: str, limits: LineLimits) -> LineLimits:
    """Return the limits for one language: its exceptions, where `limits` has the default."""
    own = _EXCEPTIONS.get(language, {})
    kept = {name: own[name] for name in own if getattr(limits, name) == getattr(_DEFAULTS, name)}
    return dataclasses.replace(limits, **kept)


_VENDORED = frozenset({
    "vendor", "vendors", "_vendor", "_vendored", "third_party", "third-party",
    "thirdparty", "3rdparty", "3rd_party", "node_modules", "bower_components", "jspm_packages",
    "deps", "external", "externals", "extern", "godeps", "site-packages", "autom4te.cache",
})  # fmt: skip
_BUNDLED = frozenset({
    "dist", "build", "out", "umd", "cjs", "esm", "es", "es5", "es6", "es2015", "es2020", "esnext",
    "fesm2015", "fesm2022", "bundles", "bundle", "min", "lib-esm", "dist-cjs", "dist-esm", "_esm",
    "_cjs", "lib.commonjs", "lib.esm", "lib-commonjs", "lib-amd", "lib-es2015",
})  # fmt: skip
_SCRIPTS = frozenset({"javascript", "typescript", "tsx"})
_WEB = _SCRIPTS | {"css", "html"}
_MINIFIED_NAME = re.compile(
    r"[.-]min\.(?:[cm]?js|css|html?)$|[.-](?:bundle|umd|iife|global|prod)\.(?:[cm]?js|css)$"
)
_VENDORED_NAME = re.compile(
    r"^(?:bootstrap|font-?awesome|jquery[.-]ui|jquery\.mobile|foundation|normalize|animate|bulma"
    r"|materialize|semantic|pure|skeleton|leaflet|codemirror)\b[\w.-]*\.css$|^ltmain\.sh$"
)
_GENERATED_NAME = re.compile(
    r"_pb2(?:_grpc)?\.pyi?$|\.pb(?:\.gw)?\.(?:go|h|cc)$|_grpc\.pb\.go$|^zz_generated|_generated\.\w+$"
    r"|\.generated\.\w+$|[._]gen\.(?:go|rs|ts|js|java|py)$|_string\.go$|^bindata\.go$|^parser\.tab\.[ch]$"
    r"|^parsetab\.py$|^lextab\.py$|_ragel\.[ch]$|\.g\.(?:ts|js|go)$|^moc_.*\.cpp$|_wrap\.(?:c|cxx|cpp)$"
    r"|\.(?:designer|g|g\.i|feature|generated)\.cs$|^temporarygeneratedfile_.*\.cs$"
    r"|^(?:assembly|globalusings)(?:info|attributes)?\.(?:g\.)?cs$|\.pb\.(?:rb|scala|kt|php)$|_pb\.(?:rb|js|ts)$"
    r"|_services_pb\.rb$|^autoload_(?:classmap|files|namespaces|psr4|real|static)\.php$"
    r"|\.tab\.(?:c|cc|cpp|h|hpp)$|^lex\.yy\.c(?:c|pp)?$"
)
_GENERATED_HEADER = re.compile(
    r"\bdo not edit\b|\bdon't edit\b|\bdo not modify\b|@generated\b|automatically generated"
    r"|generated automatically|auto-?generated (?:by|from|file|code|with|using|at|on)\b"
    r"|(?:file|code|class|module) (?:was|is|has been) (?:auto-?)?generated"
    r"|^\W*(?:auto-?)?generated (?:by|from|with|using)\b|produced by (?:gnu )?(?:bison|flex)"
    r"|<auto-?generated\b|^\W*(?:mysql|mariadb|postgresql database|phpmyadmin sql|sqlite) dump\b",
    re.IGNORECASE | re.MULTILINE,
)
_COMMENT_LINE = re.compile(r"^\s*(?:#|//|/\*|\*|--|\"\"\"|'''|<!--)")
_COMPILED_SIGNS = (
    "__esModule", "this.__", "_interopRequire", "__webpack_require__", "sourceMappingURL="
)  # fmt: skip
"""One of them is in whatever `_COMPILED` finds; to look for words is much cheaper."""
_GENERATOR_TAG = re.compile(r"<meta\s+[^>]*\bname=[\"']?generator\b", re.IGNORECASE)
_COMPILED_CSS = re.compile(r"^/\*# sourceMappingURL=", re.MULTILINE)
_COMPILED = re.compile(
    r"Object\.defineProperty\(exports, ['\"]__esModule['\"]|\b__esModule = true"
    r"|var __\w+ = \(this && this\.__\w+\)|\b_interopRequire(?:Default|Wildcard)\("
    r"|__webpack_require__|^//[#@] sourceMappingURL=",
    re.MULTILINE,
)
_ASCII_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NOT_BLANK = bytes(b for b in range(256) if b not in b" \t\n\f\v\r")
# Bytes above ASCII belong to letters of other scripts and count as alphanumeric.
_NOT_ALNUM = bytes(b for b in range(128) if b not in _ASCII_ALNUM)
_NOT_DIGIT = bytes(b for b in range(256) if b not in b"0123456789")


def reason_by_path(path: str) -> str | None:
    """Return why a file is not worth opening, or None.

    Source: the names follow GitHub Linguist's `vendor.yml` and `generated.rb`.
    """
    language = by_path(path)
    if language is None:
        return "no_language"
    pure = PurePosixPath(path.lower())
    folders = set(pure.parts[:-1])
    is_vendored = any(name in _VENDORED or name.startswith("vendored") for name in folders)
    if is_vendored or _VENDORED_NAME.search(pure.name):
        return "vendored"
    if language.name in _WEB and folders & _BUNDLED:
        return "bundled"
    if _MINIFIED_NAME.search(pure.name):
        return "minified"
    if pure.name.endswith((".d.ts", ".d.mts", ".d.cts")):
        return "declarations_only"
    return "generated_by_name" if _GENERATED_NAME.search(pure.name) else None


def reason_by_lines(text: str, language: str = "", limits: LineLimits = _DEFAULTS) -> str | None:
    """Return why the shape of the lines or what they are made of keeps a text out, or None.

    Args:
        text: The file.
        language: Our name of its language; one without rules of its own gets the common ones.
        limits: See there.
    """
    limits = limits_for(language, limits)
    lines = text.split("\n")
    data = text.encode()
    reason = _reason_by_shape(text, lines, limits) or _reason_by_bytes(data, limits)
    if reason is not None:
        return reason
    if language != "html" and "<?xml " in text[:100]:
        return "xml"
    full_lines = [line for line in lines if line and not line.isspace()]
    if len(full_lines) < limits.min_lines:
        return None
    reasons = (
        _reason_by_repeats(full_lines, limits),
        _reason_by_content(text, data, language, limits, len(full_lines)),
        _reason_by_language(text, language, limits, len(full_lines)),
    )
    return next(filter(None, reasons), None)


def _reason_by_shape(text: str, lines: list[str], limits: LineLimits) -> str | None:
    if max(map(len, lines)) > limits.max_line_chars:
        return "line_too_long"
    if len(text) / len(lines) > limits.max_mean_line_chars:
        return "mean_line_too_long"
    return None


def _reason_by_bytes(data: bytes, limits: LineLimits) -> str | None:
    if len(data.translate(None, _NOT_BLANK)) > limits.max_blank_share * len(data):
        return "mostly_blank"
    if len(data.translate(None, _NOT_ALNUM)) < limits.min_alnum_share * len(data):
        return "few_letters"
    if len(data.translate(None, _NOT_DIGIT)) > limits.max_digit_share * len(data):
        return "many_digits"
    if content.may_hold_hex_words(data, limits.max_hex_word_share) and (
        content.hex_word_share(data) > limits.max_hex_word_share
    ):
        return "hex_words"
    return "encoded_data" if _is_encoded(data, limits) else None


def _is_encoded(data: bytes, limits: LineLimits) -> bool:
    return any(
        max(runs) > limits.max_encoded_run_chars or sum(runs) > limits.max_encoded_share * len(data)
        for runs in content.encoded_runs(data)
    )


def _reason_by_repeats(full_lines: list[str], limits: LineLimits) -> str | None:
    if content.repeated_line_share(full_lines) > limits.max_repeated_line_share:
        return "repeated_lines"
    if content.repeated_window_share(full_lines) > limits.max_repeated_window_share:
        return "repeated_blocks"
    if content.long_string_share(full_lines) > limits.max_long_string_share:
        return "long_strings"
    return None


def _reason_by_content(
    text: str, data: bytes, language: str, limits: LineLimits, num_lines: int
) -> str | None:
    comments = content.comment_share(text, language)
    if comments > limits.max_comment_share:
        return "mostly_comments"
    if comments < limits.min_comment_share:
        return "few_comments"
    digits = len(data.translate(None, _NOT_DIGIT)) / len(data)
    may_be_table = language in _TABLES_OF_THEIR_OWN or (
        language != "html" and content.may_be_table(data, limits.max_data_share, num_lines, digits)
    )
    if may_be_table and (content.data_share(text, language, num_lines) > limits.max_data_share):
        return "data_only"
    return None


def _reason_by_language(text: str, language: str, limits: LineLimits, num_lines: int) -> str | None:
    if language == "html":
        num_chars, share = content.visible_text(text)
        is_little = num_chars < limits.min_visible_chars or share < limits.min_visible_share
        return "little_visible_text" if is_little else None
    if language == "python":
        return next(_python_reasons(content.python_shares(text, num_lines), limits), None)
    return None


def _python_reasons(shares: content.PythonShares, limits: LineLimits) -> Iterator[str]:
    if shares.asserts > limits.max_assert_share:
        yield "many_asserts"
    if shares.imports > limits.max_import_share:
        yield "many_imports"
    if shares.passes > limits.max_pass_share:
        yield "many_passes"
    if shares.prints > limits.max_print_share:
        yield "many_prints"


def reason_by_origin(text: str, language: str) -> str | None:
    """Return `generated` or `compiled` for a text that a program wrote, else None."""
    header = text[:4096].split("\n")[:40]
    comments = "\n".join(line for line in header if _COMMENT_LINE.match(line))
    if _GENERATED_HEADER.search(comments):
        return "generated"
    if language == "html" and _GENERATOR_TAG.search(text, 0, 4096):
        return "generated"
    may_be_compiled = language in _SCRIPTS and any(sign in text for sign in _COMPILED_SIGNS)
    if may_be_compiled and _COMPILED.search(text):
        return "compiled"
    return "compiled" if language == "css" and _COMPILED_CSS.search(text) else None
