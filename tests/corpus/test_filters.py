"""Rules on one path or one text: a planted file for each reason, and a neighbour that stays."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING

import pytest

from fimble.config import read_toml
from fimble.languages import LANGUAGES
from training.corpus.content import visible_text
from training.corpus.filters import (
    LineLimits,
    limits_for,
    reason_by_lines,
    reason_by_origin,
    reason_by_path,
)

if TYPE_CHECKING:
    from pathlib import Path

CODE = "def area(width: float, height: float) -> float:\n    return width * height\n"


def code(count: int) -> str:
    """Return as many functions as asked for, no two lines of them equal."""
    return "".join(
        f"def area_{chr(97 + n % 26)}{n}(width):\n    return width * height_{chr(97 + n % 26)}{n}\n"
        for n in range(count)
    )


def repeat(template: str, count: int) -> str:
    """Return a text so many times, with another number in place of `@` each time."""
    return "".join(template.replace("@", str(number)) for number in range(count))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("README.md", "no_language"),
        ("Makefile", "no_language"),
        ("src/main.py", None),
        ("SRC/MAIN.PY", None),
        ("app/vendor/lib.go", "vendored"),
        ("Third_Party/zlib/inflate.c", "vendored"),
        ("pip/_vendor/requests/api.py", "vendored"),
        ("web/node_modules/x/index.js", "vendored"),
        ("deps/v8/src/api.cc", "vendored"),
        ("vendored-meson/meson/compile.py", "vendored"),
        ("vendor.go", None),
        ("dist/app.js", "bundled"),
        ("lib/esm/index.ts", "bundled"),
        ("cmd/build/main.go", None),
        ("jquery.min.js", "minified"),
        ("app.umd.js", "minified"),
        ("admin.js", None),
        ("types/index.d.ts", "declarations_only"),
        ("index.ts", None),
        ("api/user_pb2.py", "generated_by_name"),
        ("api/user.pb.go", "generated_by_name"),
        ("pkg/apis/zz_generated.deepcopy.go", "generated_by_name"),
        ("gen/ops_generated.h", "generated_by_name"),
        ("pb2_reader.py", None),
        ("Rakefile", None),
        ("src/Main.Designer.cs", "generated_by_name"),
        ("obj/Debug/App.g.cs", "generated_by_name"),
        ("obj/AssemblyInfo.cs", "generated_by_name"),
        ("Designer.cs", None),
        ("lib/user_pb.rb", "generated_by_name"),
        ("lib/user_services_pb.rb", "generated_by_name"),
        ("proto/user.pb.scala", "generated_by_name"),
        ("composer/autoload_classmap.php", "generated_by_name"),
        ("src/autoload.php", None),
        ("vendor/composer/ClassLoader.php", "vendored"),
        ("build-aux/ltmain.sh", "vendored"),
        ("css/bootstrap-grid.css", "vendored"),
        ("css/bootstrapper.css", None),
        ("static/jquery-ui.theme.css", "vendored"),
        ("site.min.css", "minified"),
        ("index.min.html", "minified"),
        ("dist/site.css", "bundled"),
        ("css/site.css", None),
        ("configure", "no_language"),
        ("gradlew", "no_language"),
        ("autom4te.cache/run.sh", "vendored"),
    ],
)
def test_a_path_alone_decides_what_is_not_worth_opening(path: str, expected: str | None) -> None:
    assert reason_by_path(path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CODE, None),
        ("x = '" + "ab " * 331 + "'\n" + code(20), None),  # longest line: 999
        ("x = '" + "ab " * 332 + "'\n" + code(20), "line_too_long"),
        ("y = 'some words here " * 10 + "'\n", "mean_line_too_long"),
        ("+-*/ (){} <>;: \n" * 20, "few_letters"),
        ("数 = 変換(値)\n" * 9, None),
        ("0x1f, 123456, 99812,\n" * 20, "many_digits"),
        ("\\u00e9\\u00e8\\u00ea\\u00eb\\u00ec\\u00ed\\u00ee\\u00ef\\u00fa\n" * 5, "many_digits"),
        ("# 🙂\n" + CODE, None),
    ],
)
def test_the_shape_of_lines_decides(text: str, expected: str | None) -> None:
    assert reason_by_lines(text) == expected


def test_a_long_run_of_base64_is_data() -> None:
    blob = base64.b64encode(random.Random(7).randbytes(1200)).decode()
    lines = "\n".join(blob[i : i + 76] for i in range(0, len(blob), 76))
    assert reason_by_lines(code(40) + f'BLOB = """\n{lines}\n"""\n') == "encoded_data"


def test_a_short_run_of_base64_in_much_code_stays() -> None:
    blob = base64.b64encode(random.Random(7).randbytes(120)).decode()
    assert reason_by_lines(code(40) + f'KEY = "{blob[:80]}"\n') is None


TABLE_PHP = "<?php\nreturn [\n" + repeat("    'a.@' => 'Text, it\\'s long',\n", 26) + "];\n"
TABLE_PYTHON = "NAMES = {\n" + repeat("    'name @': ['first', 'second', 1.5],\n", 40) + "}\n"
INSERTS = repeat("INSERT INTO a (b, c) VALUES ('name @', 'text of it');\n", 30)
QUERIES = repeat("SELECT a@, b\n  FROM t@\n  WHERE c > d@;\n", 10)
SPRITE = repeat(".flag-@x {\n  background-position: -@px 0;\n}\n", 30)
ICONS = repeat('.icon-@x:before { content: "\\f1@"; }\n', 30)
STYLE = repeat(".c@ {\n  margin: @px auto;\n  color: red;\n}\n", 8)
PARAGRAPHS = repeat("<p>A paragraph of text that a reader can see, number @.</p>\n", 12)
PAGE = f"<html><body>\n{PARAGRAPHS}</body></html>\n"
SCRIPT = f"<html>\n<script>\n{code(12)}</script>\n<p>Text</p>\n</html>\n"
DOCUMENTED = "let a = 1;\n" + repeat("let a@;\n/** Says\n what @ is for */\n", 9)
WORDS = repeat("words and words, no. @ of them\n", 60)
STRINGS = repeat(f'a@ := "{"word and " * 12}"\n\nb@ := 1\n', 9)
NESTED = repeat("faab(baab@)\n" + " " * 22 + "gabb(caab@)\n", 9)
HEX = "int a[] = {\n" + "0xdeadbeefcafe,\n0xabcdefabcdef,\n" * 20 + "};\n"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("php", TABLE_PHP, "data_only"),
        ("python", TABLE_PYTHON, "data_only"),
        ("python", TABLE_PYTHON + code(40), None),
        ("sql", INSERTS, "data_only"),
        ("sql", QUERIES, None),
        ("sql", QUERIES + INSERTS[:200], None),
        ("css", SPRITE, "data_only"),
        ("css", ICONS, "data_only"),
        ("css", STYLE, None),
        ("html", PAGE, None),
        ("html", SCRIPT, "little_visible_text"),
        ("html", "<p>x</p>\n" * 4, None),  # too short to be judged
        ("html", PAGE.replace("<html>", "<?xml version='1.0'?><html>"), None),
        ("php", "<?xml version='1.0'?>\n<a/>\n", "xml"),
        ("javascript", f"// {WORDS}".replace("\n", "\n// ") + "\nlet a = 1;\n" * 9, None),
        ("javascript", DOCUMENTED, None),
        ("javascript", f"{DOCUMENTED}/*\n{WORDS}*/\n", "mostly_comments"),
        ("lua", repeat("a@ = 1\n", 9) + "--[[\n" + WORDS, "mostly_comments"),
        ("go", "package a\n" + "x := f(y)\n" * 60, "repeated_lines"),
        ("go", repeat("a@ := f(y)\n", 9) * 3, "repeated_blocks"),
        ("go", repeat("a@ := f(y)\n", 9) * 2, None),
        ("go", STRINGS, "long_strings"),
        ("c", HEX, "hex_words"),
        ("c", "int a;\n" + " " * 60 + "b;\n", "mostly_blank"),
        ("typescript", NESTED, "mostly_blank"),
        ("tsx", NESTED, None),
        ("python", repeat("import a@\n", 9) + code(8), "many_imports"),
        ("python", repeat("import a@\n", 9) + code(20), None),
        ("python", repeat("class E@(E):\n    pass\n", 9), "many_passes"),
        ("python", repeat("assert f(@) == b\ng@()\n", 9), "many_asserts"),
        ("python", repeat("print(a@)\n", 12), "many_prints"),
        ("ruby", repeat("print(a@)\n", 12), None),
    ],
)
def test_what_a_text_is_made_of_decides(language: str, text: str, expected: str | None) -> None:
    assert reason_by_lines(text, language) == expected


def test_every_language_is_judged_whatever_the_text() -> None:
    texts = ["", "\n", "🙂", "a\r\nb", code(30), "<" * 900, "/*\n" * 300, "'\"`\n" * 300]
    for language in [*(row.name for row in LANGUAGES), ""]:
        reasons = [reason_by_lines(text, language) for text in texts]
        assert reasons[4] in {None, "little_visible_text"}
        assert reasons[2] is None


def test_a_recipe_changes_limits_for_every_language(tmp_path: Path) -> None:
    path = tmp_path / "lines.toml"
    path.write_text("max_mean_line_chars = 20\nmin_comment_share = 0.01\n", encoding="utf-8")
    limits = read_toml(LineLimits, path)
    assert reason_by_lines(code(10), "python", limits) == "mean_line_too_long"
    assert reason_by_lines(PAGE, "html", limits) == "mean_line_too_long"
    few = LineLimits(min_comment_share=0.01)
    assert reason_by_lines(code(10), "python", few) == "few_comments"
    assert reason_by_lines("x = 1\n# why this is so\n" + code(10), "python", few) is None


def test_a_language_keeps_its_exceptions_where_the_recipe_says_nothing() -> None:
    assert limits_for("html", LineLimits()).max_line_chars == 2000
    assert limits_for("html", LineLimits(max_line_chars=500)).max_line_chars == 500
    assert limits_for("go", LineLimits()) == LineLimits()


@pytest.mark.parametrize("piece", ["<", "<script", "<!--", "<style>", "a<b", "< "])
def test_a_page_that_closes_nothing_costs_no_more_than_another(piece: str) -> None:
    """A search that started over at every place would outlast the time limit of a test."""
    text = "\n".join([piece * (900 // len(piece))] * 1100)
    assert visible_text(text).num_chars < len(text)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("html", '<html><head>\n<meta name="generator" content="Doxygen 1.9"/>\n', "generated"),
        ("html", "<!-- Generated by javadoc -->\n<html>\n", "generated"),
        ("html", '<html><head>\n<meta name="author" content="A generator"/>\n', None),
        ("csharp", "// <auto-generated>\n//     Changes are lost.\n", "generated"),
        ("sql", "-- MySQL dump 10.13\n", "generated"),
        ("sql", "-- PostgreSQL database dump\n", "generated"),
        ("sql", "-- Dump the tables before you run this.\n", None),
        ("ruby", "# This file is auto-generated from the current state of it.\n", "generated"),
        ("bash", "#! /bin/sh\n# Generated by GNU Autoconf 2.71.\n", "generated"),
        ("css", "a { color: red; }\n/*# sourceMappingURL=a.css.map */\n", "compiled"),
        ("php", "<?php\n// This file has been auto-generated by the tool\n", "generated"),
    ],
)  # fmt: skip
def test_generators_of_every_language_are_known(
    language: str, text: str, expected: str | None
) -> None:
    assert reason_by_origin(text, language) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("// Code generated by protoc-gen-go. DO NOT EDIT.\n", "generated"),
        ("/**\n * Autogenerated by Thrift Compiler (0.17.0)\n */\n", "generated"),
        ("# This file was automatically generated by SWIG\n", "generated"),
        ("# @generated by our tool\n", "generated"),
        ("# Returns the tokens generated by the lexer.\n", None),
        ("WARNING = 'do not edit'\n", None),
    ],
)
def test_a_comment_at_the_top_tells_generated_code(header: str, expected: str | None) -> None:
    assert reason_by_origin(header + "x = 1\n", "python") == expected


def test_a_remark_far_below_the_top_is_not_a_header() -> None:
    assert reason_by_origin("x = 1\n" * 60 + "# DO NOT EDIT\n", "python") is None


@pytest.mark.parametrize(
    "line",
    [
        'Object.defineProperty(exports, "__esModule", { value: true });\n',
        "var __awaiter = (this && this.__awaiter) || function () {};\n",
        "//# sourceMappingURL=index.js.map\n",
    ],
)
def test_compiled_javascript_is_no_source(line: str) -> None:
    assert reason_by_origin("const a = 1;\n" + line, "javascript") == "compiled"
    assert reason_by_origin("const a = 1;\n" + line, "python") is None
