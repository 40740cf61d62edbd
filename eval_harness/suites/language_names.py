"""Names of languages that problems may be in: ours, others', and those we only run."""

from __future__ import annotations

from fimble.languages import LANGUAGES

ONLY_RUN = ("d", "julia", "perl", "r", "racket", "swift")
"""Languages that benchmarks ask for, but that the rest of the loop has no row for."""

KNOWN = frozenset({*(language.name for language in LANGUAGES), *ONLY_RUN})

_OTHERS_NAMES = {
    "c++": "cpp",
    "c#": "csharp",
    "c_sharp": "csharp",
    "cs": "csharp",
    "golang": "go",
    "go_test.go": "go",
    "jl": "julia",
    "js": "javascript",
    "kt": "kotlin",
    "pl": "perl",
    "py": "python",
    "python3": "python",
    "rb": "ruby",
    "rkt": "racket",
    "rs": "rust",
    "sh": "bash",
    "ts": "typescript",
}


def our_name(name: str) -> str | None:
    """Return our name of what a benchmark calls `name`, or None where we do not know it."""
    lower = name.strip().lower()
    ours = _OTHERS_NAMES.get(lower, lower)
    return ours if ours in KNOWN else None
