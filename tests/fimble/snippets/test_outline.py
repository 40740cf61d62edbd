"""Outlines say what a file declares, in every language, and leave bodies out."""

from __future__ import annotations

import pytest

from fimble.languages import LANGUAGES
from fimble.snippets.outline import MAX_DECLARATION_BYTES, MAX_DECLARATIONS, outline

SOURCES = {
    "python": '@dataclass\nclass Shop(Base):\n    """What sells 😀.\n\n    More.\n    """\n\n'
    "    name: str\n\n    def sell(self, n: int) -> int:\n        return n\n\n"
    "LIMIT = 3\nif LIMIT:\n    print()\n",
    "typescript": "/** What sells.\n * More. */\nexport class Shop extends Base {\n"
    "  sell(n: number): number { return n; }\n}\n"
    "export const make = async (n: number): Promise<Shop> => { return new Shop(); };\n",
    "java": "/**\n * What sells.\n */\npublic class Shop {\n    @Override\n"
    "    public int sell(int n) { return n; }\n    enum Kind { BIG, SMALL }\n}\n",
    "go": "package shop\n\n// Shop sells.\ntype Shop struct {\n\tName string\n}\n\n"
    "// Sell sells.\nfunc (s *Shop) Sell(n int) int {\n\treturn n\n}\n",
    "rust": "/// What sells.\n#[derive(Debug)]\npub struct Shop { name: String }\n"
    "impl Shop {\n    pub fn sell(&self, n: u8) -> u8 { n }\n}\n",
    "c": "#ifndef SHOP_H\n#define SHOP_H\n#define MAX 3\n/* Sells.\n * More. */\n"
    "int sell(struct shop *s, int n);\nstatic int own(int n)\n{\n    return n;\n}\n#endif\n",
    "cpp": "namespace shop {\ntemplate <typename T> class Shop : public Base {\n public:\n"
    "  int sell(int n) const { return n; }\n};\n}\n",
    "ruby": "module Store\n  # What sells.\n  class Shop < Base\n"
    "    def sell(n)\n      n\n    end\n  end\nend\n",
    "css": ".shop { color: red }\n",
}
EXPECTED = {
    "python": [
        ("Shop", 'class Shop(Base):\n    """What sells 😀."""', None),
        ("name", "    name: str", 0),
        ("sell", "    def sell(self, n: int) -> int:", 0),
        ("LIMIT", "LIMIT = 3", None),
    ],
    "typescript": [
        ("Shop", "/** What sells. */\nexport class Shop extends Base", None),
        ("sell", "  sell(n: number): number", 0),
        ("make", "export const make = async (n: number): Promise<Shop> =>", None),
    ],
    "java": [
        ("Shop", "/** What sells. */\npublic class Shop", None),
        ("sell", "    @Override\n    public int sell(int n)", 0),
        ("Kind", "    enum Kind { BIG, SMALL }", 0),
    ],
    "go": [
        ("Shop", "// Shop sells.\ntype Shop struct {\n\tName string\n}", None),
        ("Sell", "// Sell sells.\nfunc (s *Shop) Sell(n int) int", None),
    ],
    "rust": [
        ("Shop", "/// What sells.\npub struct Shop { name: String }", None),
        ("Shop", "impl Shop", None),
        ("sell", "    pub fn sell(&self, n: u8) -> u8", 1),
    ],
    "c": [
        ("MAX", "#define MAX 3", None),
        ("sell", "/* Sells. */\nint sell(struct shop *s, int n);", None),
        ("own", "static int own(int n)", None),
    ],
    "cpp": [
        ("Shop", "template <typename T> class Shop : public Base", None),
        ("sell", "  int sell(int n) const", 0),
    ],
    "ruby": [
        ("Store", "module Store", None),
        ("Shop", "  class Shop < Base", 0),
        ("sell", "    def sell(n)", 1),
    ],
    "css": [("shop", ".shop { color: red }", None)],
}


@pytest.mark.parametrize("language", sorted(SOURCES))
def test_an_outline_has_signatures_and_first_words(language: str) -> None:
    assert [tuple(each) for each in outline(SOURCES[language], language)] == EXPECTED[language]


@pytest.mark.parametrize("language", sorted(row.name for row in LANGUAGES))
@pytest.mark.parametrize("text", ["", "\n", "😀", "((((", "class", "\0\ud800", "}{" * 400])
def test_what_is_no_program_has_an_outline_too(language: str, text: str) -> None:
    found = outline(text, language)
    assert all(each.parent is None or each.parent < place for place, each in enumerate(found))


def test_an_outline_is_bounded_whatever_a_file_holds() -> None:
    found = outline("".join(f"def f{n}(): pass\n" for n in range(900)), "python")
    assert [each.name for each in found] == [f"f{n}" for n in range(MAX_DECLARATIONS)]
    (long,) = outline(f"VALUES = '{'x' * 9000}'\n", "python")
    assert len(long.text) == MAX_DECLARATION_BYTES


@pytest.mark.parametrize(
    ("language", "opens"),
    [
        ("cpp", "namespace a {\n"),
        ("c", "#if A\n"),
        ("java", "class A {\n"),
        ("python", "class A:\n"),
    ],
)
def test_an_outline_of_what_is_nested_without_end_ends(language: str, opens: str) -> None:
    lines = [f"{' ' * n}{opens}" if language == "python" else opens for n in range(900)]
    assert len(outline("".join(lines), language)) < MAX_DECLARATIONS


def test_a_language_that_we_do_not_know_is_outlined_by_its_lines() -> None:
    text = "# comment\nstart here\n  inner\n}\nsecond one\n"
    assert [each.text for each in outline(text, "prolog")] == ["start here", "second one"]
