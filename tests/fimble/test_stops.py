"""Where completions end, by hand and as properties."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.blocks import MAX_BLOCK_LINES
from fimble.languages import LANGUAGES, by_name
from fimble.stops import Cut, Scope, Site, StopReason, cut, finish

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


class Case(NamedTuple):
    """A generation that runs on after what belongs at the site."""

    language: str
    before: str
    behind: str
    generated: str
    kept: str
    reason: StopReason


BLOCK, LINE, SUFFIX, REPETITION = (
    StopReason.BLOCK,
    StopReason.LINE,
    StopReason.SUFFIX,
    StopReason.REPETITION,
)
CASES = {
    "a line ends at its end": Case("python", "x = ", "\ny = 2\n", "1\ny = 2\n", "1", LINE),
    "python: a body ends where its indentation does": Case(
        "python",
        "def f(x):",
        "\n",
        "\n    if x:\n\n        return 1\n    return 2\n\n\ndef g():\n",
        "\n    if x:\n\n        return 1\n    return 2",
        BLOCK,
    ),
    "python: a line to the left within a docstring is no end": Case(
        "python",
        "def f():",
        "\n",
        '\n    """Doc\nleft\n"""\n    return 1\nx = 2\n',
        '\n    """Doc\nleft\n"""\n    return 1',
        BLOCK,
    ),
    "python: brackets of the signature are closed before the body comes": Case(
        "python",
        "def f(",
        "\n",
        "\n    a,\n    b,\n):\n    return a + b\n\n\ndef g():\n",
        "\n    a,\n    b,\n):\n    return a + b",
        BLOCK,
    ),
    "python: arguments may stand left of the block": Case(
        "python",
        "class A:\n    def f(self):\n        ",
        "\n",
        "x = foo(\n    1,\n)\n        return x\n    def g(self):\n",
        "x = foo(\n    1,\n)\n        return x",
        BLOCK,
    ),
    "python: paragraphs at the top level are separate": Case(
        "python", "", "\n", "import os\nimport re\n\nX = 1\n", "import os\nimport re", BLOCK
    ),
    "javascript: the closing brace belongs to the block": Case(
        "javascript",
        "if (x) {",
        "\n",
        "\n  a();\n} else {\n  b();\n}\nc();\n",
        "\n  a();\n} else {\n  b();\n}",
        BLOCK,
    ),
    "javascript: unless it stands below already": Case(
        "javascript", "if (x) {", "\n}\nc();\n", "\n  a();\n}\nc();\n", "\n  a();", SUFFIX
    ),
    "javascript: a body whose brace is missing gets it": Case(
        "javascript",
        "function f() {\n    ",
        "\n\nfunction g() {\n}\n",
        "return 1;\n}\n\nfunction h() {\n",
        "return 1;\n}",
        BLOCK,
    ),
    "javascript: a body whose brace is there does not": Case(
        "javascript", "function f() {\n    ", "\n}\n", "return 1;\n}\n", "return 1;", BLOCK
    ),
    "javascript: two brackets of one line are both closed": Case(
        "javascript",
        "foo(function() {",
        "\n",
        "\n  a();\n  b();\n});\nbar();\n",
        "\n  a();\n  b();\n});",
        BLOCK,
    ),
    "javascript: braces in a template do not count": Case(
        "javascript",
        "function f() {",
        "\n",
        "\n  return `}\n}`;\n}\nbar();\n",
        "\n  return `}\n}`;\n}",
        BLOCK,
    ),
    "go: labels stand as far left as their switch": Case(
        "go",
        "\tswitch x {",
        "\n",
        "\n\tcase 1:\n\t\tfoo()\n\tdefault:\n\t\tbar()\n\t}\n\tbaz()\n",
        "\n\tcase 1:\n\t\tfoo()\n\tdefault:\n\t\tbar()\n\t}",
        BLOCK,
    ),
    "go: the next label ends the body of a label": Case(
        "go", "\tcase 1:", "\n\t}\n", "\n\t\tfoo()\n\tcase 2:\n\t\tbar()\n", "\n\t\tfoo()", BLOCK
    ),
    "rust: a brace as a character and a lifetime do not count": Case(
        "rust",
        "fn f<'a>(x: &'a str) -> char {",
        "\n",
        "\n    if x == \"}\" { return '}'; }\n    '{'\n}\nfn g() {\n",
        "\n    if x == \"}\" { return '}'; }\n    '{'\n}",
        BLOCK,
    ),
    "java: an annotation at the same depth goes on": Case(
        "java",
        "class A {\n    ",
        "\n}\n",
        "@Override\n    public int f() {\n        return 1;\n    }\n}\n",
        "@Override\n    public int f() {\n        return 1;\n    }",
        BLOCK,
    ),
    "c: the preprocessor stands at the left": Case(
        "c",
        "int f() {",
        "\n}\n",
        "\n    int x;\n#ifdef A\n    x = 1;\n#endif\n    return x;\n}\n",
        "\n    int x;\n#ifdef A\n    x = 1;\n#endif\n    return x;",
        SUFFIX,
    ),
    "c: an apostrophe in a comment quotes nothing": Case(
        "c", "f(", ");\n", "a /* don't */)", "a /* don't */", SUFFIX
    ),
    "ruby: the word that ends the block belongs to it": Case(
        "ruby",
        "  def f(x)",
        "\n",
        "\n    if x\n      1\n    else\n      2\n    end\n  end\n\n  def g\n",
        "\n    if x\n      1\n    else\n      2\n    end\n  end",
        BLOCK,
    ),
    "ruby: unless it stands below already": Case(
        "ruby", "def f", "\nend\n", "\n  1\nend\nend\n", "\n  1", SUFFIX
    ),
    "ruby: a body whose end is missing gets it": Case(
        "ruby", "def f\n  ", "\n\ndef g\nend\n", "1\nend\n\ndef h\n", "1\nend", BLOCK
    ),
    "ruby: a body whose end is there does not": Case(
        "ruby", "def f\n  ", "\nend\n", "endless(1)\nend\n", "endless(1)", SUFFIX
    ),
    "ruby: other words at the left are the next statement": Case(
        "ruby", "  if x", "\n", "\n    f\n  endless\n", "\n    f", BLOCK
    ),
    "ruby: a branch at the left goes on": Case(
        "ruby",
        "case x",
        "\n",
        "\nwhen 1\n  f\nelse\n  g do |y|\n    y\n  end\nend\nz\n",
        "\nwhen 1\n  f\nelse\n  g do |y|\n    y\n  end\nend",
        BLOCK,
    ),
    "ruby: a call on the end of a block belongs to it": Case(
        "ruby", "xs.map do |x|", "\n", "\n  x\nend.join\ny\n", "\n  x\nend.join", BLOCK
    ),
    "bash: a loop ends with its word": Case(
        "bash",
        "for x in *; do",
        "\n",
        '\n  case $x in\n    -a|-b) f ;;\n    *) echo "${x#y}" ;;\n  esac\ndone\necho\n',
        '\n  case $x in\n    -a|-b) f ;;\n    *) echo "${x#y}" ;;\n  esac\ndone',
        BLOCK,
    ),
    "bash: a function ends with its brace, patterns of a case or not": Case(
        "bash",
        "f() {",
        "\n",
        "\n  case $1 in\n    x) g ;;\n  esac\n}\nf\n",
        "\n  case $1 in\n    x) g ;;\n  esac\n}",
        BLOCK,
    ),
    "bash: fi stands below already": Case(
        "bash", "if x; then\n  ", "\nfi\n", "y\nfi\nz\n", "y", SUFFIX
    ),
    "lua: the end that closes a bracket, too": Case(
        "lua",
        "foo(function(x)",
        "\n",
        "\n  return #x\nend)\nbar()\n",
        "\n  return #x\nend)",
        BLOCK,
    ),
    "lua: until closes repeat": Case(
        "lua", "repeat", "\n", "\n  f()\nuntil x\ng()\n", "\n  f()\nuntil x", BLOCK
    ),
    "html: the closing tag belongs to the block": Case(
        "html",
        '  <ul class="a">',
        "\n",
        "\n    <li>don't</li>\n    <li>b</li>\n  </ul>\n  <p>\n",
        "\n    <li>don't</li>\n    <li>b</li>\n  </ul>",
        BLOCK,
    ),
    "html: unless it stands below already": Case(
        "html", "<ul>\n  ", "\n</ul>\n", "<li>a</li>\n</ul>\n", "<li>a</li>", BLOCK
    ),
    "css: a rule ends with its brace": Case(
        "css",
        ".a {",
        "\n",
        "\n  background: url(//x);\n}\n\n.b {\n",
        "\n  background: url(//x);\n}",
        BLOCK,
    ),
    "sql: brackets and indentation delimit": Case(
        "sql",
        "create table a (",
        "\n",
        "\n  b int -- it's\n);\nselect 1;\n",
        "\n  b int -- it's\n);",
        BLOCK,
    ),
    "csharp: the preprocessor stands at the left": Case(
        "csharp",
        "  void F() {",
        "\n}\n",
        "\n    G();\n#if DEBUG\n    H();\n#endif\n  }\n}\n",
        "\n    G();\n#if DEBUG\n    H();\n#endif\n  }",
        BLOCK,
    ),
    "a closing bracket behind the cursor is not repeated": Case(
        "python", "foo(", ")", "bar(a))", "bar(a)", SUFFIX
    ),
    "of two open brackets the one behind the cursor is not repeated": Case(
        "python", "foo(bar(", ")\n", "a)) + 1", "a)", SUFFIX
    ),
    "a bracket opened on a line above is not repeated": Case(
        "python", "foo(\n    a, ", ")\n", "b)\n", "b", SUFFIX
    ),
    "a quote behind the cursor is not repeated": Case(
        "python", 'print("', '")\n', 'a \\" (b")\n', 'a \\" (b', SUFFIX
    ),
    "arguments behind the cursor are not repeated": Case(
        "python", "foo(", ", b)\n", "a, b)\n", "a", SUFFIX
    ),
    "words behind the cursor are not repeated, and the blank before them stays": Case(
        "python", "if ", "x > 0:\n", "y and x > 0:\n    pass", "y and ", SUFFIX
    ),
    "a semicolon behind the cursor is not repeated": Case(
        "java", "int x = ", ";\n", "5;\n", "5", SUFFIX
    ),
    "a statement before a brace on its own line keeps line end and indentation": Case(
        "javascript", "f(function() {\n    ", "})\n", "    a();\n    })\n", "    a();\n    ", SUFFIX
    ),
    "lines that stand below are not repeated": Case(
        "python",
        "def f(x):\n    ",
        "\n    y = 1\n    return x\n",
        "x += 1\n    y = 1\n    return x\n    z",
        "x += 1",
        SUFFIX,
    ),
    "whole lines before a line keep their line end": Case(
        "python", "x = 1\n", "z = 3\nw = 4\n", "y = 2\nz = 3\nw = 4\n", "y = 2\n", SUFFIX
    ),
    "equal lines are kept once": Case(
        "python", "", "", "x.append(1)\nx.append(1)\nx.append(1)\nx", "x.append(1)", REPETITION
    ),
    "equal groups of lines are kept once": Case(
        "python", "", "", "a\nb\na\nb\na\nb\n", "a\nb", REPETITION
    ),
    "a loop within a line is kept once": Case(
        "python", "x = ", "", "self.self.self.self.self.self.self.", "self.", REPETITION
    ),
    "a block has at most so many lines": Case(
        "python",
        "def f():",
        "",
        "".join(f"\n    x{n} = {n}" for n in range(20)),
        "".join(f"\n    x{n} = {n}" for n in range(MAX_BLOCK_LINES - 1)),
        BLOCK,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_belongs_at_the_cursor_is_kept_and_no_more(case: Case) -> None:
    site = Site.at(case.before, case.behind, by_name(case.language))
    assert cut(case.generated, site) == Cut(case.kept, case.reason)
    assert finish(case.generated, site, StopReason.END_TOKEN) == Cut(case.kept, case.reason)


@given(text=CODE, site=SITES)
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
