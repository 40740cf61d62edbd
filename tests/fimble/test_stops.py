"""Where completions end, by hand and as properties."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fimble.languages import LANGUAGES, by_name
from fimble.stops import Cut, Scope, Site, StopReason, cut, finish
from tests.fimble.stop_cases import CASES, Case

PIECES = [
    *(
        "\n",
        "\n\n",
        "    ",
        "\t",
        " ",
        "x",
        "foo(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        ";",
        ",",
        '"',
        "'",
    ),
    *("`", '"""', "#", "//", "/*", "*/", "\\", "\n}", "\n    return x\n", "case 1:", "else {", "é"),
    *("\nend\n", "fi", "done", "</div>", "<div>", "<", "--", "[[", "]]", "<!--", "-->", "*)"),
    *(
        "if x\n",
        "then\n",
        "else\n",
        " do |x|",
        "🙂",
        "\u2028",
        "\f",
        "\r",
        "a = 1\n",
        "a = 1\n",
        "a, a, ",
    ),
]
CODE = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
SITES = st.builds(
    Site,
    prefix=CODE,
    suffix=CODE,
    language=st.sampled_from([*LANGUAGES, None]),
    scope=st.sampled_from(Scope),
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_belongs_at_the_cursor_is_kept_and_no_more(case: Case) -> None:
    site = Site.at(case.before, case.behind, by_name(case.language))
    assert cut(case.generated, site) == Cut(case.kept, case.reason)
    assert finish(case.generated, site, StopReason.END_TOKEN) == Cut(case.kept, case.reason)


@given(text=CODE, site=SITES)
@example(
    text="\n-h|--help)",
    site=Site(prefix="x", suffix="", language=by_name("bash"), scope=Scope.BLOCK),
)
def test_a_stream_is_cut_as_the_whole_text_is(text: str, site: Site) -> None:
    whole = cut(text, site)
    first = next(
        (so_far for n in range(len(text)) if (so_far := cut(text[:n], site)).reason), whole
    )
    assert first == whole


@given(text=CODE, site=SITES, reason=st.sampled_from(StopReason))
def test_what_is_kept_is_the_start_of_the_text(text: str, site: Site, reason: StopReason) -> None:
    so_far, finished = cut(text, site), finish(text, site, reason)
    assert text.startswith(so_far.text)
    assert text.startswith(finished.text)
    if so_far.reason is None:
        assert so_far.text.startswith(finished.text)
        assert finished.reason in {reason, StopReason.SUFFIX, StopReason.REPETITION}
    else:
        assert finished == so_far


@given(text=CODE, site=SITES)
def test_nothing_ends_with_white_space_at_the_end_of_a_line(text: str, site: Site) -> None:
    kept = cut(text, site).text
    assert kept == kept.rstrip() or site.rest.strip()


@pytest.mark.parametrize(
    ("language", "before", "behind", "scope"),
    [
        ("python", "", "", Scope.BLOCK),
        ("python", "    ", "\n", Scope.BLOCK),
        ("python", "def f(x):", "\n", Scope.BLOCK),
        ("python", "# note:", "\n", Scope.LINE),
        ("python", "x = ", "\n", Scope.LINE),
        ("python", "foo(", ")", Scope.LINE),
        ("python", "foo(", "\n", Scope.BLOCK),
        ("python", "x = 1\n", "y = 2\n", Scope.BLOCK),
        ("python", "    ", "x = 2\n", Scope.LINE),
        ("javascript", "    ", "})\n", Scope.BLOCK),
        ("javascript", "case 1:", "\n", Scope.BLOCK),
        ("javascript", "let x = {", "}", Scope.LINE),
        ("javascript", "a ? b :", "\n", Scope.LINE),
        ("go", "func f() {", "\n}\n", Scope.BLOCK),
        ("ruby", "def f(x)", "\n", Scope.BLOCK),
        ("ruby", "xs.each do |x|", "\n", Scope.BLOCK),
        ("ruby", "x = if y", "\n", Scope.BLOCK),
        ("ruby", "# if y", "\n", Scope.LINE),
        ("ruby", "return if y", "\n", Scope.LINE),
        ("ruby", "if y then z end", "\n", Scope.LINE),
        ("ruby", "define", "\n", Scope.LINE),
        ("bash", "if x; then", "\n", Scope.BLOCK),
        ("bash", "case $x in", "\n", Scope.BLOCK),
        ("bash", "  -h | --help)", "\n", Scope.BLOCK),
        ("bash", "for x in", "\n", Scope.LINE),
        ("bash", "x=$(f a)", "\n", Scope.LINE),
        ("lua", "local function f(a, b)", "\n", Scope.BLOCK),
        ("lua", "for i = 1, 2 do", "\n", Scope.BLOCK),
        ("lua", "f(function() end)", "\n", Scope.LINE),
        ("html", '<a href="b/">', "\n", Scope.BLOCK),
        ("html", "<br>", "\n", Scope.LINE),
        ("html", "<a />", "\n", Scope.LINE),
        ("html", "<p>text</p>", "\n", Scope.LINE),
        ("sql", "create table a (", "\n", Scope.BLOCK),
        ("sql", "begin", "\n", Scope.LINE),
        ("css", ".a {", "\n", Scope.BLOCK),
        ("php", "case 1:", "\n", Scope.BLOCK),
        ("kotlin", "val x = {", "\n", Scope.BLOCK),
    ],
)
def test_the_scope_follows_from_the_text_around_the_cursor(
    language: str, before: str, behind: str, scope: Scope
) -> None:
    assert Site.at(before, behind, by_name(language)).scope is scope


@pytest.mark.parametrize("language", [*LANGUAGES, None])
def test_code_of_no_known_shape_is_still_cut(language: object) -> None:
    site = Site(prefix="", suffix="", language=language, scope=Scope.LINE)
    assert cut("a\r🙂\u2028b\fc\nd", site) == Cut("a\r🙂\u2028b\fc", StopReason.LINE)


def test_an_empty_text_is_an_empty_completion() -> None:
    site = Site.at("", "", by_name("python"))
    assert cut("", site) == Cut("", None)
    assert finish("", site, StopReason.END_TOKEN) == Cut("", StopReason.END_TOKEN)
    assert finish("\n\n", site, StopReason.LENGTH) == Cut("", StopReason.LENGTH)


def test_the_token_limit_drops_the_unfinished_last_line_of_a_block() -> None:
    site = Site.at("def f():", "\n", by_name("python"))
    kept = finish("\n    a = 1\n    b = fo", site, StopReason.LENGTH)
    assert kept == Cut("\n    a = 1", StopReason.LENGTH)
    assert finish("\n    a = fo", site, StopReason.LENGTH) == Cut("\n    a = fo", StopReason.LENGTH)


def test_a_last_line_that_stands_below_is_cut_even_without_its_line_end() -> None:
    site = Site.at("def f(x):\n    ", "\n    return x\n", by_name("python"))
    kept = finish("x += 1\n    return x", site, StopReason.END_TOKEN)
    assert kept == Cut("x += 1", StopReason.SUFFIX)
    assert finish("return x", site, StopReason.END_TOKEN) == Cut("", StopReason.SUFFIX)


def test_one_equal_line_in_a_block_may_be_chance() -> None:
    site = Site.at("def f(x):\n    ", "\n    return False\n\n\ndef g():\n", by_name("python"))
    text = "if not x:\n    return False\n    x = 1\n"
    assert cut(text, site) == Cut(text.rstrip(), None)


def test_a_span_ends_by_itself_only() -> None:
    span = Site(prefix="if a:\n", suffix="z\nw\n", language=by_name("python"), scope=Scope.SPAN)
    text = "        x\n    y\n\n\nelse:\n    v\n"
    assert finish(text, span, StopReason.END_TOKEN) == Cut(text, StopReason.END_TOKEN)
    assert cut(f"{text}z\nw\n", span) == Cut(text, StopReason.SUFFIX)


def test_a_huge_document_costs_no_more_than_a_small_one() -> None:
    """A hundred cuts in documents of 40 MB end within the time limit of a test."""
    line = "x = foo(bar) # 🙂\n"
    huge = Site.at(line * 1_200_000, "\n" + line * 1_200_000, by_name("python"))
    minified = Site.at("f(a);" * 4_000_000, ")" * 4_000_000, by_name("javascript"))
    for _ in range(100):
        assert cut("y = 2\n\nz", huge) == Cut("y = 2", StopReason.BLOCK)
        assert cut("f(b))", minified) == Cut("f(b)", StopReason.SUFFIX)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("total + total + total + total + total + total + total + ", "total"),
        ("name, name, name, name, name, name, name, name, ", "name"),
        ("is_a and is_a and is_a and is_a and is_a and is_a and ", "is_a"),
        ("f(aaaa)\nf(aaaa)\nf(aaaa)\n", "f(aaaa)"),
    ],
)
def test_a_loop_leaves_no_operator_behind(text: str, kept: str) -> None:
    site = Site(prefix="x = ", suffix="\n", language=by_name("python"), scope=Scope.SPAN)
    assert cut(text, site) == Cut(kept, StopReason.REPETITION)
