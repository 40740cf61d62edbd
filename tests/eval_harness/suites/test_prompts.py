"""From a problem to a prompt, and from what a model says to an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.prompts import (
    Answer,
    beginning_of,
    finish_answer,
    is_finished,
    prompt_parts,
)
from fimble.context import WindowBudget
from fimble.engine import FinishReason
from fimble.fim import FimOrder, Mark, Snippet
from fimble.stops import StopReason

LENGTH, END = FinishReason.LENGTH, FinishReason.END_TOKEN


def complete(language: str, prompt: str, **more: object) -> Problem:
    problem = Problem(
        problem_id="x",
        group="x",
        language=language,
        kind=Kind.COMPLETE,
        extent=Extent.BLOCK,
        prompt=prompt,
    )
    return replace(problem, **more)


def infill(prompt: str, suffix: str, extent: Extent, language: str = "python") -> Problem:
    return complete(language, prompt, suffix=suffix, extent=extent, kind=Kind.INFILL)


def text_of(problem: Problem, text: str, reason: FinishReason = LENGTH) -> str:
    return finish_answer(problem, text, reason).text


def test_a_prompt_is_never_stripped() -> None:
    prompt = 'def f(x):\n    """Say 🐟."""\n\n'
    assert prompt_parts(complete("python", prompt)) == (prompt,)
    assert prompt_parts(complete("python", "  \n\t")) == ("  \n\t",)


def test_an_infilling_prompt_has_the_order_that_is_asked_for() -> None:
    problem = infill("a = ", "\nb\n", Extent.LINE)
    psm = prompt_parts(problem, order=FimOrder.PSM)
    assert psm == (Mark.PREFIX, "a = ", Mark.SUFFIX, "\nb\n", Mark.MIDDLE)
    spm = prompt_parts(problem)
    assert spm == (Mark.SUFFIX, "\nb\n", Mark.PREFIX, "a = ", Mark.MIDDLE)


def test_a_missing_line_is_an_empty_one_for_an_engine_that_takes_beginnings() -> None:
    problem = infill("a = 1\n", "b\n", Extent.LINE)
    assert prompt_parts(problem) == (Mark.SUFFIX, "b\n", Mark.PREFIX, "a = 1\n", Mark.MIDDLE)
    begun = beginning_of(problem)
    assert begun == "\n"
    assert prompt_parts(problem, begun=begun) == (
        *(Mark.SUFFIX, "\nb\n", Mark.PREFIX, "a = 1", Mark.MIDDLE),
    )
    assert beginning_of(complete("python", "a = 1\n")) == ""


def test_repository_path_and_snippets_come_first() -> None:
    problem = replace(infill("a", "b", Extent.LINE), path="src/x.py")
    parts = prompt_parts(
        problem, repository="fish", snippets=(Snippet(path="y.py", text="Y = 1\n"),)
    )
    assert parts[:6] == (
        *(Mark.REPOSITORY, "fish\n", Mark.FILE, "y.py\nY = 1\n"),
        *(Mark.FILE, "src/x.py\n"),
    )


def test_the_window_is_cut_as_the_server_cuts_it() -> None:
    lines = "".join(f"line {number}\n" for number in range(1000))
    problem = infill(lines, lines, Extent.SPAN)
    _, suffix, _, prefix, _ = prompt_parts(problem, budget=WindowBudget())
    assert isinstance(prefix, str)
    assert isinstance(suffix, str)
    assert len(prefix) <= 3072
    assert lines.endswith(prefix)
    assert len(suffix) <= 1024
    assert lines.startswith(suffix)
    assert suffix.endswith("\n")


def test_a_python_body_ends_at_the_first_line_at_the_left_edge() -> None:
    problem = complete("python", "def f(x):\n")
    text = "    y = x\n\n    return y\n\n\nprint(f(1))\n"
    assert finish_answer(problem, text, LENGTH) == Answer(
        "    y = x\n\n    return y", StopReason.BLOCK
    )
    assert is_finished(problem, "    return x\np")
    assert not is_finished(problem, "    return x\n")
    assert not is_finished(problem, "    return x\n    ")


@pytest.mark.parametrize(
    "body",
    [
        '    y = """\nleft edge\n"""\n    return y',
        "    y = [\n1,\n]\n    return y",
        "    y = f(\n        1\n)\n    return y",
        "    # it's a comment\n    return '''\n🐟'''",
    ],
)
def test_strings_and_brackets_at_the_left_edge_belong_to_a_python_body(body: str) -> None:
    problem = complete("python", "def f(x):\n")
    assert text_of(problem, f"{body}\ndef g(): pass\n") == body
    assert not is_finished(problem, f"{body}\n")


def test_a_docstring_that_the_prompt_leaves_open_may_go_on_at_the_left_edge() -> None:
    problem = complete("python", 'def f(x):\n    """Say.\n')
    assert text_of(problem, 'more\n    """\n    return x\nend') == 'more\n    """\n    return x'


def test_an_answer_at_the_left_edge_is_empty() -> None:
    assert text_of(complete("python", "def f(x):\n"), "return x\n") == ""
    assert text_of(complete("python", "def f(x): "), "return x\nmore") == "return x"


JAVA = "class Solution {\n    public int f(int n) {\n"


def test_a_java_answer_closes_the_class_that_the_prompt_opens() -> None:
    problem = complete("java", JAVA)
    whole = '        if (n > 0) { return 1; } // }\n        return "}".length();\n    }\n}'
    assert text_of(problem, f"{whole}\n\nclass Main {{}}\n") == whole
    assert is_finished(problem, whole)
    assert not is_finished(problem, whole[:-1])


def test_a_java_method_that_is_whole_gets_the_brace_of_its_class() -> None:
    problem = complete("java", JAVA)
    method = "        return n;\n    }"
    assert text_of(problem, method, END) == f"{method}\n}}"
    cut_short = f"{method}\n\n    int g() {{\n        return"
    assert text_of(problem, cut_short, LENGTH) == f"{method}\n}}"
    assert text_of(problem, "        return n", LENGTH) == "        return n"


def test_what_the_tests_close_the_answer_leaves_open() -> None:
    problem = complete("rust", "fn f() -> i32 {\n", tests="}\n\nfn main() {}\n")
    assert (
        text_of(problem, "    let x = { 1 };\n    x\n}\nfn g() {}") == "    let x = { 1 };\n    x"
    )
    class_closed = complete("csharp", "class P {\n  int F() {\n", tests="\n}\nclass M {}\n")
    assert text_of(class_closed, "    return 1;\n  }\n}\n") == "    return 1;\n  }"


@pytest.mark.parametrize(
    ("language", "prompt", "body", "more"),
    [
        ("cpp", "int f(){\n", "  char c='}';\n  return 1;\n}", "\nint main(){}"),
        ("go", "func F() int {\n", "\tfor {\n\t\treturn 1\n\t}\n}", "\n// next"),
        ("javascript", "const f = (x) => {\n", "  return `}${x}`\n}", "\n\nf(1)"),
        ("php", "<?php\nfunction f($x) {\n", "  return '}';\n}", "\nf(1);"),
        ("bash", "f() {\n", '  echo "${1#x}"\n}', "\nf"),
        ("perl", "sub f {\n", "  my %h = (a => {});\n  return 1;\n}", "\nprint f();"),
        ("swift", "func f() -> Int {\n", "    return 1\n}", "\nprint(f())"),
        ("r", "f <- function(x) {\n", "  x + 1\n}", "\nf(1)"),
        ("ruby", "def f(x)\n", "  x.map do |y|\n    y\n  end\nend", "\n\nputs f(1)"),
        ("lua", "local function f(x)\n", "  if x then\n    return 1\n  end\nend", "\nf(1)\n"),
        ("julia", "function f(x)\n", "    for i in x\n    end\n    x\nend", "\n\nf(1)"),
    ],
)
def test_a_body_ends_where_its_language_says(
    language: str, prompt: str, body: str, more: str
) -> None:
    problem = complete(language, prompt)
    assert finish_answer(problem, body + more, LENGTH) == Answer(body, StopReason.BLOCK)
    assert text_of(problem, body, END) == body


def test_in_other_languages_only_stop_texts_end_an_answer() -> None:
    text = "  (+ x 1))\n(display (f 1))\n#lang more"
    assert text_of(complete("racket", "(define (f x)\n"), text) == text
    problem = complete("racket", "(define (f x)\n", stops=("\n#lang", "\n(display"))
    assert finish_answer(problem, text, LENGTH) == Answer("  (+ x 1))", StopReason.BLOCK)
    assert is_finished(problem, text)
    assert not is_finished(problem, "  (+ x 1))\n(disp")


def test_a_stop_text_ends_an_answer_before_its_body_ends() -> None:
    problem = complete("cpp", "int f() {\n", stops=("\n#include",))
    assert text_of(problem, "  return 1;\n#include <x>\n}") == "  return 1;"


def test_a_whole_line_comes_with_its_line_end() -> None:
    problem = infill("def f(x):\n", "    return y\n", Extent.LINE)
    assert finish_answer(problem, "    y = x\n    z = 1\n", LENGTH) == Answer(
        "    y = x\n", StopReason.LINE
    )
    assert text_of(problem, "    y = x", END) == "    y = x\n"
    assert text_of(problem, "", END) == ""
    assert is_finished(problem, "    y = x\n")
    assert not is_finished(problem, "    y = x")


def test_a_closing_bracket_below_a_whole_line_is_not_the_rest_of_it() -> None:
    problem = infill("x = f(\n", ")\n", Extent.LINE)
    assert text_of(problem, "    g(1),\n)\n") == "    g(1),\n"


def test_the_rest_of_a_line_is_cut_as_the_server_cuts_it() -> None:
    problem = infill("x = f(", ")\ny = 1\n", Extent.LINE)
    assert finish_answer(problem, "a, b)\ny = 1\n", LENGTH) == Answer("a, b", StopReason.SUFFIX)


def test_a_span_keeps_what_the_model_says_to_its_end_token() -> None:
    problem = infill("def f(x):\n    return ", "encode(x))\n", Extent.SPAN)
    assert finish_answer(problem, "encode(", END) == Answer("encode(", StopReason.END_TOKEN)
    lines = "a\n  b \n\n"
    assert text_of(infill("", "c\n", Extent.SPAN), lines, END) == lines


def test_a_span_ends_where_it_repeats_what_stands_behind_it() -> None:
    suffix = "\n    total += 1\n    more(total)\n    return total\n"
    problem = infill("def f(x):\n    total = ", suffix, Extent.SPAN)
    text = f"x * 2{suffix}\n\ndef g(): pass\n"
    assert finish_answer(problem, text, LENGTH) == Answer("x * 2", StopReason.SUFFIX)
    assert is_finished(problem, text)
    one_line = "x * 2\n    total += 1\n    other()\n"
    assert text_of(problem, one_line, END) == one_line


def test_whole_lines_of_a_span_are_compared_from_their_start() -> None:
    problem = infill("if a:\n", "    return False\n    # x\n    # y\n", Extent.SPAN)
    text = "    if b:\n        return False\n        # x\n        # y\n"
    assert text_of(problem, text, END) == text


def test_a_span_that_loops_is_cut() -> None:
    problem = infill("", "\nend\n", Extent.SPAN)
    given = finish_answer(problem, "x = 1\n" * 50, LENGTH)
    assert given == Answer("x = 1", StopReason.REPETITION)


def test_a_block_is_cut_as_the_server_cuts_it() -> None:
    problem = infill("if a:", "\nelse:\n    c()\n", Extent.BLOCK)
    given = finish_answer(problem, "\n    b()\nelse:\n    c()\n", LENGTH)
    assert given == Answer("\n    b()", StopReason.BLOCK)


def test_carriage_returns_that_a_model_says_do_not_matter() -> None:
    problem = complete("python", "def f(x):\n")
    assert text_of(problem, "    return x\r\nprint(1)\r\n") == "    return x"
    assert is_finished(problem, "    return x\r\nprint(1)\r\n")


def test_an_answer_cut_as_it_streams_is_the_answer_cut_at_the_end() -> None:
    problem = complete("java", JAVA)
    text = "        return n;\n    }\n}\n\nclass Other {\n    int x;\n}\n"
    whole = text_of(problem, text)
    for length in range(len(text) + 1):
        if is_finished(problem, text[:length]):
            assert text_of(problem, text[:length]) == whole
