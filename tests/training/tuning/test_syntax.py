"""Functions, calls and comments, found alike in languages of every family."""

import re

import pytest

from training.tuning.syntax import SourceTree

SOURCES = {
    "python": (
        'def area(w):\n    """Area 🟦 of it."""\n    side = w\n    return side * w\n',
        "Area 🟦 of it.",
    ),
    "javascript": (
        "/** Adds one. */\nfunction area(w) {\n  const x = w;\n  return x + 1;\n}\n",
        "Adds one.",
    ),
    "go": (
        "package a\n\n// area is big.\n// Very.\nfunc area(w int) int {\n\tx := w\n\treturn x\n}\n",
        "Very.",
    ),
    "java": (
        "class A {\n  /** Doc é. */\n  int area(int w) {\n    int x = w;\n    return x;\n  }\n}\n",
        "Doc é.",
    ),
    "rust": ("/// Doc.\nfn area(w: i32) -> i32 {\n    let x = w;\n    x\n}\n", "/// Doc."),
    "c": ("/* Doc. */\nint area(int w) {\n  int x = w;\n  return x;\n}\n", "Doc."),
    "cpp": ("// Doc.\nint Shape::area(int w) {\n  int x = w;\n  return x;\n}\n", "Doc."),
    "csharp": (
        "class A {\n  /// Doc.\n  int area(int w) {\n    int x = w;\n    return x;\n  }\n}\n",
        "Doc.",
    ),
    "ruby": ("# Doc.\ndef area(w)\n  x = w\n  x\nend\n", "# Doc."),
    "lua": ("-- Doc.\nfunction area(w)\n  local x = w\n  return x\nend\n", "-- Doc."),
    "php": ("<?php\n/** Doc. */\nfunction area($w) {\n  $x = $w;\n  return $x;\n}\n", "Doc."),
    "kotlin": ("/** Doc. */\nfun area(w: Int): Int {\n    val x = w\n    return x\n}\n", "Doc."),
    "scala": ("/** Doc. */\ndef area(w: Int): Int = {\n  val x = w\n  x\n}\n", "Doc."),
    "typescript": (
        "/** Doc. */\nfunction area(w: number) {\n  const x = w;\n  return x;\n}\n",
        "Doc.",
    ),
    "tsx": ("/** Doc. */\nfunction area(w: any) {\n  const x = w;\n  return <A/>;\n}\n", "Doc."),
    "bash": ("# Doc.\narea() {\n  x=1\n  echo $x\n}\n", "# Doc."),
}


@pytest.mark.parametrize("language", sorted(SOURCES))
def test_a_function_is_found_with_its_name_its_documentation_and_its_whole_body(
    language: str,
) -> None:
    text, doc = SOURCES[language]
    tree = SourceTree(text, language)
    [function] = tree.functions()
    body = text[function.body_start : function.body_end]
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if re.search(r"\b(?:x|side) ?:?= ?[w$1]", line))
    expected = "\n" + "\n".join(lines[first : first + 2])
    assert (tree.is_sound, function.name, doc in function.doc) == (True, "area", True)
    assert body == expected


def test_a_body_on_the_line_of_its_signature_is_no_hole() -> None:
    assert list(SourceTree("function f(a) { return a; }\n", "javascript").functions()) == []
    assert list(SourceTree("def f(a): return a\n", "python").functions()) == []


def test_an_empty_text_holds_nothing() -> None:
    tree = SourceTree("", "python")
    assert [list(tree.functions()), list(tree.calls()), list(tree.remarks())] == [[], [], []]


def test_calls_with_arguments_on_one_line_are_found_and_others_are_not() -> None:
    text = 'x = a.paint("🟦", w)\ny = g()\nz = h(\n  1\n)\nprint x\n'
    text = text.removesuffix("print x\n")
    calls = list(SourceTree(text, "python").calls())
    assert [(call.name, text[call.start : call.end]) for call in calls] == [("paint", '"🟦", w')]


@pytest.mark.parametrize(
    ("language", "text", "name"),
    [
        ("java", "class A { void f() { shape.resize(a, 2); } }", "resize"),
        ("go", "package a\nfunc f() { shape.resize(a, 2) }\n", "resize"),
        ("csharp", "class A { void F() { shape.resize(a, 2); } }", "resize"),
        ("ruby", "shape.resize(a, 2)\n", "resize"),
        ("lua", "shape:resize(a, 2)\n", "resize"),
        ("php", "<?php $shape->resize(a, 2);", "resize"),
        ("kotlin", "fun f() { shape.resize(a, 2) }\n", "resize"),
        ("rust", "fn f() { shape.resize(a, 2); }\n", "resize"),
        ("cpp", "void f() { shape->resize(a, 2); }\n", "resize"),
    ],
)
def test_a_call_is_found_in_every_family_of_languages(language: str, text: str, name: str) -> None:
    calls = list(SourceTree(text, language).calls())
    assert [(call.name, text[call.start : call.end]) for call in calls] == [(name, "a, 2")]


def test_a_comment_goes_with_the_code_below_it_up_to_a_blank_line_or_the_next_comment() -> None:
    text = (
        "# licence at the top of it\nimport a\n\ndef f():\n    # count what there is\n"
        "    # and more\n    n = 0\n    for x in y:\n        n += 1\n    # then say so\n"
        "    print(n)\n\n    return n\n"
    )
    remarks = list(SourceTree(text, "python").remarks())
    assert [(each.text, text[each.code_start : each.code_end]) for each in remarks] == [
        (
            "# count what there is\n    # and more",
            "\n    n = 0\n    for x in y:\n        n += 1",
        ),
        ("# then say so", "\n    print(n)"),
    ]


def test_a_comment_at_the_end_of_a_block_says_nothing_of_what_follows_the_block() -> None:
    text = "if (a) {\n  b();\n  // nothing more to do\n}\nc();\n"
    assert list(SourceTree(text, "javascript").remarks()) == []
