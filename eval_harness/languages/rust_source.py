"""Rust programs as benchmarks have them, made into one with a `main` that runs its tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from eval_harness.problem import Style

if TYPE_CHECKING:
    from eval_harness.problem import Problem

CRATES = ("rand", "regex", "md5")
"""Crates that we offer."""
_IMPORT = re.compile(rf"^[ \t]*use\s+({'|'.join(CRATES)})\b[^;]*;", re.MULTILINE)
_USES = {
    "rand": re.compile(r"\b(?:rand|Rng|random|gen\w*|thread_rng|shuffle|choose\w*|sample\w*)\b"),
    "regex": re.compile(r"\b(?:regex|Regex\w*)\b"),
    "md5": re.compile(r"\bmd5\b"),
}
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TEST = re.compile(r"#\[test\]\s*(?:#\[\w+(?:\([^)]*\))?\]\s*)*(?:pub\s+)?fn\s+(\w+)\s*\(")
_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:pub\s+)?mod\s+(\w+)\s*\{")
_MAIN = re.compile(r"^([ \t]*)(?:pub\s+)?fn\s+main\s*\(", re.MULTILINE)
_MACRO = re.compile(r"\bmacro_rules!\s*(\w+)")
_PROGRAM_MAIN = "fimble_program"


class RustProgram(NamedTuple):
    """A program in the shape that the judge compiles."""

    text: str
    crates: tuple[str, ...]
    """Which of `CRATES` it uses."""
    has_tests: bool


def rust_program(problem: Problem, answer: str) -> RustProgram:
    """Return the program that an answer makes.

    Functions under `#[test]` are called one after the other; a program of its own keeps its `main`
    under another name.
    """
    candidate = problem.candidate(answer)
    tests = problem.test_code
    bare = _COMMENT.sub("", tests)
    names = _TEST.findall(bare)
    text, crates = _without_idle_imports(f"{candidate}\n{_TEST_MARK.sub(_as_public, tests)}")
    has_main = _MAIN.search(_COMMENT.sub("", text)) is not None
    text = _MAIN.sub(rf"\1pub fn {_PROGRAM_MAIN}(", text)
    if names:
        module = _MODULE.search(bare)
        path = f"{module[1]}::" if module else ""
        calls = "".join(f"{path}{name}(); " for name in names)
    elif has_main:
        calls = f"if !::fimble_judge::is_well({_PROGRAM_MAIN}()) {{ ::std::process::exit(1) }} "
    else:
        return RustProgram(text, crates, has_tests=False)
    if problem.style == Style.STDIO:
        return RustProgram(f"{text}\nfn main() {{ {calls} }}\n", crates, has_tests=True)
    main = (
        f"fn main() {{ let nonce = ::fimble_judge::begin(); {calls}::fimble_judge::end(nonce); }}"
    )
    return RustProgram(f"{text}\n{main}\n", crates, has_tests=True)


def replaced_macros(problem: Problem, answer: str) -> tuple[str, ...]:
    """Return names of macros that an answer defines and the tests call: `assert_eq`, for one."""
    called = set(re.findall(r"\b(\w+)!", problem.test_code))
    return tuple(name for name in _MACRO.findall(answer) if name in called)


# Between the mark and the function there may be comments and other attributes.
_TEST_MARK = re.compile(
    r"#\[cfg\(test\)\]"
    r"|#\[test\]((?:\s|//[^\n]*\n|/\*.*?\*/|#\[\w+(?:\([^)]*\))?\])*)(?:pub\s+)?(?=fn\b)",
    re.DOTALL,
)


def _as_public(mark: re.Match[str]) -> str:
    return "" if mark[1] is None else f"{mark[1]}pub "


def _without_idle_imports(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the text without imports of crates that nothing uses, and the crates it does use."""
    rest = _COMMENT.sub("", _IMPORT.sub("", text))
    used = tuple(name for name in CRATES if _USES[name].search(rest))
    return _IMPORT.sub(lambda found: found[0] if found[1] in used else "", text), used
