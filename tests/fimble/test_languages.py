"""The table of languages: consistent, and every grammar parses."""

import pytest
from tree_sitter import Parser

from fimble.languages import LANGUAGES, Language, by_lsp_id, by_name, by_path, grammar
from fimble.nesting import CODE, Scan, depths, scan

SAMPLES = {
    "python": "def f(x: int) -> int:\n    return x  # 🙂\n",
    "javascript": "const f = async (x) => ({ ...x, é: `${x}` });\r\n",
    "typescript": "type A = { b?: string };\nlet a: A = <A>{};\n",
    "tsx": "const a = <b c={1}>🙂</b>;\n",
    "java": "record A(int b) { void f() { switch (b) { case 1 -> g(); default -> {} } } }\n",
    "go": "package a\n\nfunc f[T any](x T) (T, error) { return x, nil }\n",
    "rust": "fn f<'a>(x: &'a str) -> char { let Some(c) = x.chars().next() else { '}' }; c }\n",
    "c": "#include <a.h>\nint f(void) { return (int){ 1 }; }\n",
    "cpp": "template <typename T> auto f(T &&x) -> T { return [&] { return x; }(); }\n",
    "csharp": "record A(int B) { async T<int> F() => await G(B) switch { 1 => 2, _ => 3 }; }\r\n",
    "ruby": 'def f(x, y: 1) = x&.map { _1 + y }\nputs "🙂 #{f([1])}" if true\n',
    "php": "<p>🙂</p>\n<?php\nfinal class A { public function __construct(private ?int $b) {} }\n",
    "bash": 'f() {\n  case $1 in -h|--help) echo "${x#*.} 🙂" ;; *) exit 1 ;; esac\n}\n',
    "kotlin": 'data class A(val b: Int?) {\n  fun f() = b?.let { "é $it" } ?: "🙂"\n}\n',
    "scala": "object A { def f[T](x: T): T = x match { case null => g; case y => h(y) } }\n",
    "lua": "local function f(...) --[[ a ]] for i, v in g({ ... }) do f(#v, [[🙂]]) end end\n",
    "sql": "CREATE TABLE a (b int PRIMARY KEY, c text);\nSELECT b, count(*) FROM a GROUP BY b;\n",
    "html": '<!DOCTYPE html>\n<html><body><p class="é">🙂<br></p></body></html>\n',
    "css": "@media (max-width: 10px) { .a > b:hover { margin: 0 auto; content: '🙂'; } }\n",
}


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_every_grammar_loads_and_parses(language: Language) -> None:
    parser = Parser(grammar(language.name))
    assert parser.parse(b"").root_node.end_byte == 0
    sample = SAMPLES[language.name].encode()
    tree = parser.parse(sample)
    assert tree.root_node.end_byte == len(sample)
    assert parser.parse(b"\xff\0(((" * 100).root_node.has_error
    if language.name != "rust":
        assert not tree.root_node.has_error


def test_a_language_is_found_by_its_names() -> None:
    for language in LANGUAGES:
        assert by_name(language.name) is language
        assert [by_lsp_id(lsp_id) for lsp_id in language.lsp_ids] == [language] * len(
            language.lsp_ids
        )
        assert all(by_path(f"src/a{suffix.upper()}") is language for suffix in language.suffixes)
        assert all(by_path(f"src/{name}") is language for name in language.file_names)
        assert language.blocks in {"braces", "indent", "keywords", "tags", "none"}
        assert (language.block_words is not None) == (language.blocks in {"keywords", "tags"})
    assert by_lsp_id("typescriptreact") is by_name("tsx")


@pytest.mark.parametrize(
    "path", ["", "Makefile", "a.txt", ".py", "py", "a.py/", "a.py.orig", "rakefile", "a.scss"]
)
def test_a_file_of_no_known_language_has_none(path: str) -> None:
    expected = by_name("python") if path == "a.py/" else None
    assert by_path(path) is expected
    assert by_name(path) is None
    assert by_lsp_id(path) is None


def test_no_two_languages_share_a_name_or_suffix() -> None:
    for kind in ("lsp_ids", "suffixes", "file_names"):
        every = [item for language in LANGUAGES for item in getattr(language, kind)]
        assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("python", ("#",)),
        ("c", ("//", "/*", "*")),
        ("lua", ("--", "--[[")),
        ("sql", ("--", "/*")),
        ("html", ("<!--",)),
        ("css", ("/*",)),
    ],
)
def test_a_line_of_comment_is_known_by_its_start(name: str, starts: tuple[str, ...]) -> None:
    language = by_name(name)
    assert language is not None
    assert language.comment_starts == starts
    assert all(row.comment_starts and "" not in row.comment_starts for row in LANGUAGES)


def test_an_unknown_language_has_no_grammar() -> None:
    with pytest.raises(KeyError, match="cobol"):
        grammar("cobol")


@pytest.mark.parametrize(
    ("name", "text", "stray", "unclosed", "state"),
    [
        ("python", "f(a[1], '(', \"[\")", 0, 0, CODE),
        ("python", "x = {  # (\n", 0, 1, CODE),
        ("python", '"""(\n[', 0, 0, '"""'),
        ("python", "a // (b", 0, 1, CODE),
        ("go", "`(\n` + (", 0, 1, CODE),
        ("java", "/* ( */ ) // (", 1, 0, "\n"),
        ("rust", "&'a (x, '(', b'\\'', '\\'')", 0, 0, CODE),
        ("rust", "f('a') + g('\\u{7d}', '🙂') + ('", 0, 1, CODE),
        ("rust", '"a\n(b', 0, 0, '"'),
        ("c", "'(' ) \"\\\"(", 1, 0, '"'),
        ("c", '"unclosed (\n)', 1, 0, CODE),
        ("c", '"a\\\n(" )', 1, 0, CODE),
        ("csharp", "/* ( */ f('(', \"(\") // (", 0, 0, "\n"),
        ("ruby", "f(\"#{a}(\", '[') # (", 0, 0, "\n"),
        ("bash", "echo $# ${x#y} (", 0, 1, CODE),
        ("bash", "case $1 in\n  -h | --help) f ;;\n  *)", 0, 0, CODE),
        ("bash", "x=$(\n f a)", 0, 0, CODE),
        ("bash", "# don't (\n(", 0, 1, CODE),
        ("lua", "-- (\n--[[ (\n) ]] f(#t, [[ ( ]], t[1]) // (", 0, 1, CODE),
        ("lua", "[[ \\]] (", 0, 1, CODE),
        ("lua", "--[[ (", 0, 0, "]]"),
        ("sql", "/* ( */ f('it''s (') -- (", 0, 0, "\n"),
        ("html", "<!-- don't ( --> don't (", 0, 1, CODE),
        ("html", "<!-- \n", 0, 0, "-->"),
        ("css", "/* ( */ url(//a) '('", 0, 0, CODE),
        ("", "# ( ' (", 0, 1, "'"),
    ],
)
def test_brackets_in_strings_and_comments_do_not_count(
    name: str, text: str, stray: int, unclosed: int, state: str
) -> None:
    found = scan(text, by_name(name))
    assert (*depths(found.brackets), found.state) == (stray, unclosed, state)


def test_a_scan_says_where_the_state_it_started_in_ends() -> None:
    assert scan('a" (', None, '"') == Scan(((3, "("),), 1, CODE, frozenset())
    assert scan("a\nb`)\n", by_name("go"), "`") == Scan(((4, ")"),), 3, CODE, frozenset({1}))
    assert scan("a", None, '"') == Scan((), None, '"', frozenset())
