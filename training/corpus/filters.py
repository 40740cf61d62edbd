"""Is it source code that a person wrote? Rules on a path, and rules on a text.

Each rule returns the reason to drop a file, or None. Thresholds are those of the papers named.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from fimble.languages import by_path

MAX_LINE_CHARS = 1000
MAX_MEAN_LINE_CHARS = 100
MIN_ALNUM_SHARE = 0.25
MAX_DIGIT_SHARE = 0.2
MAX_ENCODED_RUN_CHARS = 1024
MAX_ENCODED_SHARE = 0.5

_VENDORED = frozenset({
    "vendor", "vendors", "_vendor", "_vendored", "third_party", "third-party",
    "thirdparty", "3rdparty", "3rd_party", "node_modules", "bower_components", "jspm_packages",
    "deps", "external", "externals", "extern", "godeps", "site-packages",
})  # fmt: skip
_BUNDLED = frozenset({
    "dist", "build", "out", "umd", "cjs", "esm", "es", "es5", "es6", "es2015", "es2020", "esnext",
    "fesm2015", "fesm2022", "bundles", "bundle", "min", "lib-esm", "dist-cjs", "dist-esm", "_esm",
    "_cjs", "lib.commonjs", "lib.esm", "lib-commonjs", "lib-amd", "lib-es2015",
})  # fmt: skip
_WEB = frozenset({"javascript", "typescript", "tsx"})
_MINIFIED_NAME = re.compile(r"[.-]min\.[cm]?js$|[.-](?:bundle|umd|iife|global|prod)\.[cm]?js$")
_GENERATED_NAME = re.compile(
    r"_pb2(?:_grpc)?\.pyi?$|\.pb(?:\.gw)?\.(?:go|h|cc)$|_grpc\.pb\.go$|^zz_generated|_generated\.\w+$"
    r"|\.generated\.\w+$|[._]gen\.(?:go|rs|ts|js|java|py)$|_string\.go$|^bindata\.go$|^parser\.tab\.[ch]$"
    r"|^parsetab\.py$|^lextab\.py$|_ragel\.[ch]$|\.g\.(?:ts|js|go)$|^moc_.*\.cpp$|_wrap\.(?:c|cxx|cpp)$"
)
_GENERATED_HEADER = re.compile(
    r"\bdo not edit\b|\bdon't edit\b|\bdo not modify\b|@generated\b|automatically generated"
    r"|generated automatically|auto-?generated (?:by|from|file|code|with|using|at|on)\b"
    r"|(?:file|code|class|module) (?:was|is|has been) (?:auto-?)?generated"
    r"|^\W*(?:auto-?)?generated (?:by|from|with|using)\b|produced by (?:gnu )?(?:bison|flex)",
    re.IGNORECASE | re.MULTILINE,
)
_COMMENT_LINE = re.compile(r"^\s*(?:#|//|/\*|\*|--|\"\"\"|'''|<!--)")
_COMPILED = re.compile(
    r"Object\.defineProperty\(exports, ['\"]__esModule['\"]|\b__esModule = true"
    r"|var __\w+ = \(this && this\.__\w+\)|\b_interopRequire(?:Default|Wildcard)\("
    r"|__webpack_require__|^//[#@] sourceMappingURL=",
    re.MULTILINE,
)
# Source: Lozhkov et al. 2024 (StarCoder 2), "Encoded data filter", arXiv:2402.19173.
_ENCODED = (
    re.compile(rb"[a-zA-Z0-9+/\n=]{64,}"),
    re.compile(rb"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}"),
    re.compile(rb"(?:\\u[0-9a-fA-F]{4}){8,}"),
)
_ASCII_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
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
    if folders & _VENDORED or any(name.startswith("vendored") for name in folders):
        return "vendored"
    if language.name in _WEB and folders & _BUNDLED:
        return "bundled"
    if _MINIFIED_NAME.search(pure.name):
        return "minified"
    if pure.name.endswith((".d.ts", ".d.mts", ".d.cts")):
        return "declarations_only"
    return "generated_by_name" if _GENERATED_NAME.search(pure.name) else None


def reason_by_lines(text: str) -> str | None:
    """Return why the shape of the lines or the mix of characters keeps a text out, or None.

    Source: line lengths and alphanumeric share, Chen et al. 2021 (Codex), section 3.1; share of
    digits, the rules of OpenCoder's data pipeline; encoded data, Lozhkov et al. 2024 (StarCoder 2).
    """
    lines = text.split("\n")
    if max(map(len, lines)) > MAX_LINE_CHARS:
        return "line_too_long"
    if len(text) / len(lines) > MAX_MEAN_LINE_CHARS:
        return "mean_line_too_long"
    data = text.encode()
    if len(data.translate(None, _NOT_ALNUM)) < MIN_ALNUM_SHARE * len(data):
        return "few_letters"
    if len(data.translate(None, _NOT_DIGIT)) > MAX_DIGIT_SHARE * len(data):
        return "many_digits"
    return "encoded_data" if _is_encoded(data) else None


def _is_encoded(data: bytes) -> bool:
    for pattern in _ENCODED:
        runs = [match.end() - match.start() for match in pattern.finditer(data)]
        if runs and (
            max(runs) > MAX_ENCODED_RUN_CHARS or sum(runs) > MAX_ENCODED_SHARE * len(data)
        ):
            return True
    return False


def reason_by_origin(text: str, language: str) -> str | None:
    """Return `generated` or `compiled` for a text that a program wrote, else None."""
    header = text[:4096].split("\n")[:40]
    comments = "\n".join(line for line in header if _COMMENT_LINE.match(line))
    if _GENERATED_HEADER.search(comments):
        return "generated"
    if language in _WEB and _COMPILED.search(text):
        return "compiled"
    return None
