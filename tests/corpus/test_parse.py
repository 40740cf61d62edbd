"""Broken files are dropped, whole ones stay, and nothing hangs: in every language."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from fimble.languages import LANGUAGES
from tests.corpus.planted_programs import broken, languages, macro_heavy, program
from training.corpus.faults import MAX_ERROR_SHARE, fault, one_branch
from training.corpus.parse import Parser
from training.corpus.parse_child import verdict

PROGRAMS = 20
MACRO_PROGRAMS = 100
HOSTILE = {
    "nul bytes": "\0" * 100_000,
    "angles": "a<" * 250_000,
    "deep brackets": "(" * 100_000 + ")" * 100_000,
    "deep braces": "{" * 100_000,
    "quotes": "\"'`" * 60_000,
}


def fault_of(language: str, text: str) -> str | None:
    return fault(language, text, MAX_ERROR_SHARE[language])


def test_every_language_has_a_limit_and_a_planted_program() -> None:
    names = {language.name for language in LANGUAGES}
    assert set(MAX_ERROR_SHARE) == names == set(languages())
    assert all(0 <= share < 1 for share in MAX_ERROR_SHARE.values())


@pytest.mark.parametrize("language", languages())
def test_whole_programs_stay(language: str) -> None:
    reasons = Counter(fault_of(language, program(language, n)) for n in range(PROGRAMS))
    assert reasons == {None: PROGRAMS}


@pytest.mark.parametrize("language", languages())
def test_broken_programs_are_dropped(language: str) -> None:
    found = [each for n in range(PROGRAMS) for each in broken(language, n)]
    kept = Counter(each.kind for each in found if fault_of(language, each.text) is None)
    assert kept == Counter()
    assert len(found) >= 3 * PROGRAMS


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_valid_code_full_of_macros_stays(language: str) -> None:
    texts = [macro_heavy(language, n) for n in range(MACRO_PROGRAMS)]
    assert len(set(texts)) == MACRO_PROGRAMS
    assert [n for n, text in enumerate(texts) if fault_of(language, text)] == []


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_code_full_of_macros_is_dropped_where_a_brace_is_missing(language: str) -> None:
    for number in range(MACRO_PROGRAMS // 2):
        text = macro_heavy(language, number)
        end = text.rindex("}")
        assert fault_of(language, text[:end] + text[end + 1 :]) is not None


def test_the_first_branch_of_a_conditional_stands_for_all() -> None:
    text = "a\n#if X\nb\n# elif Y\nc\n#if Z\nd\n#endif\n#endif\ne\n"
    assert one_branch(text) == "a\nb\ne\n"
    assert one_branch("#if 0\na\n#else\nb\n#endif\nc") == "b\nc"
    assert one_branch("#define A \\\n  {\n#endif\n🙂\n#else\nx") == "🙂\nx"
    assert one_branch("") == ""


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("php", "Only text, <b>and no code</b>\n", "no_code"),
        ("php", "<ul><?php foreach ($a as $b): ?>\n<li><?= $b ?>\n<?php endforeach ?></ul>", None),
        ("html", "{{ only a variable }}\n", "no_code"),
        ("html", "<p>unclosed 🙂\n<br>\n", None),
        ("css", "a { color: red", "syntax_errors"),
        ("css", "", None),
        ("go", "", None),
        ("java", "class A { void f() {}", "missing_tokens"),
        ("ruby", "def f\n  1\n", "syntax_errors"),
        ("csharp", "class A {\n#if B\nvoid F() {\n#else\nint F() {\n#endif\n}\n}", None),
        ("sql", "{% macro a() %}\n{{ b }}\n{% endmacro %}\n" * 5, "syntax_errors"),
        ("sql", "SELECT a::int FROM b WHERE c ~ 'd' LIMIT 1;\n\\d b\nSELECT 1;\n" * 3, None),
        ("python", "x = `1`\n", "not_python3"),
        ("python", "try:\n    f()\nexcept A, e:\n    pass\n", "not_python3"),
        ("python", "(" * 3000, "not_python3"),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_wrong(language: str, text: str, expected: str | None) -> None:
    assert fault_of(language, text) == expected


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("type A[T] = list[T]\n", (3, 12)),
        ("def f[T](x: T) -> T:\n    return x\n", (3, 12)),
        ('a = f"{b["c"]}"\n', (3, 12)),
        ("try:\n    f()\nexcept KeyError, ValueError:\n    pass\n", (3, 14)),
    ],
)
def test_syntax_of_a_later_python_has_a_reason_of_its_own(
    text: str, since: tuple[int, int]
) -> None:
    assert fault_of("python", text) == (None if sys.version_info >= since else "newer_python")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int f(void);\n", ("c", None)),
        ("namespace a { class B : public C<int> { public: B(); }; }\n", ("cpp", None)),
        ("@interface A : B\n@property int b;\n- (void)f:(int)c;\n@end\n", ("c", "syntax_errors")),
    ],
)  # fmt: skip
def test_a_header_is_c_or_else_cpp_or_else_nothing(
    text: str, expected: tuple[str, str | None]
) -> None:
    assert verdict("c", text, MAX_ERROR_SHARE) == expected


def test_a_recipe_may_set_the_limit_of_a_language() -> None:
    text = "int add(int a, int b) { return a + b; }\n" * 100 + "@@ ??\n"
    strict = Parser(limit_s=10, max_error_share={"c": 0.0, "cpp": 0.0})
    usual = Parser(limit_s=10)
    try:
        assert strict.verdict("c", text) == ("c", "syntax_errors")
        assert strict.verdict("rust", "fn f() {}\n") == ("rust", None)
        assert usual.verdict("c", text) == ("c", None)
    finally:
        strict.close()
        usual.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", languages())
def test_hostile_texts_cost_their_time_limit_and_no_more(language: str) -> None:
    """Whatever the grammar does, an answer comes, and the next file is parsed."""
    parser = Parser(limit_s=0.3)
    try:
        for text in HOSTILE.values():
            found, reason = parser.verdict(language, text)
            assert found == language
            assert reason is None or reason.islower()
        assert parser.verdict(language, program(language, 1)) == (language, None)
    finally:
        parser.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "kind"),
    [("bash", "nul bytes"), ("csharp", "angles"), ("cpp", "angles"), ("kotlin", "angles")],
)
def test_a_grammar_that_hangs_is_ended(language: str, kind: str) -> None:
    parser = Parser(limit_s=0.3)
    try:
        assert parser.verdict(language, HOSTILE[kind]) == (language, "parse_died")
    finally:
        parser.close()
