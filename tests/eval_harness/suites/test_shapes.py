"""Records written here, in the formats of benchmarks that we may not ship."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.problem import Extent, Kind, Problem, Style
from eval_harness.prompts import finish_answer, prompt_parts
from eval_harness.stdio import Case, cases_of
from eval_harness.suites.registry import open_suite
from fimble.engine import FinishReason
from fimble.errors import InputError
from fimble.fim import FimOrder, Mark, Snippet

if TYPE_CHECKING:
    from eval_harness.suites.suite import Suite

DOCS = Path(__file__).parents[3] / "docs" / "benchmarks.md"


def suite_of(
    folder: Path, shape: str, *records: dict[str, object], language: str = "", more: str = ""
) -> Suite:
    """Write records and a description, and open them as a user would."""
    rows = "".join(f"{json.dumps(record)}\n" for record in records)
    (folder / "data.jsonl").write_text(rows, encoding="utf-8")
    description = folder / "suite.toml"
    description.write_text(
        f'name = "mine"\nshape = "{shape}"\n{more}\n[[data]]\nfile = "data.jsonl"\n'
        f'language = "{language}"\n',
        encoding="utf-8",
    )
    return open_suite(str(description))


def program(problem: Problem, answer: str) -> str:
    final = finish_answer(problem, answer, FinishReason.END_TOKEN)
    return problem.candidate(final.text) + problem.tests


MX_JAVA = {
    "task_id": "MBJP/7",
    "language": "java",
    "prompt": "class Half {\n    public static int half(int n) {\n",
    "test": "\n}\n\nclass Main {\n    public static void main(String[] args) {\n    }\n}\n",
    "entry_point": "half",
    "canonical_solution": None,
    "description": "Halve.",
}


def test_an_mxeval_answer_leaves_the_class_to_the_test_that_closes_it(tmp_path: Path) -> None:
    [problem] = suite_of(tmp_path, "mxeval", MX_JAVA).problems
    assert (problem.language, problem.style, problem.canonical) == ("java", "program", None)
    given = finish_answer(
        problem, "        return n / 2;\n    }\n}\nclass X {}\n", FinishReason.LENGTH
    )
    assert given.text == "        return n / 2;\n    }"
    assert program(problem, given.text) == (
        "class Half {\n    public static int half(int n) {\n        return n / 2;\n    }\n"
        "\n}\n\nclass Main {\n    public static void main(String[] args) {\n    }\n}\n\n"
    )


def test_an_mxeval_python_test_is_called_at_the_end(tmp_path: Path) -> None:
    record = {
        "task_id": "MBPP/1",
        "language": "python",
        "prompt": "def f(x):\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
        "entry_point": "f",
        "canonical_solution": "    return x + 1\n",
    }
    [problem] = suite_of(tmp_path, "mxeval", record).problems
    assert problem.style is Style.CHECK
    assert problem.tests.endswith("\ncheck(f)\n")
    exec(compile(program(problem, problem.canonical or ""), "program", "exec"), {})  # noqa: S102


def test_mxeval_calls_c_sharp_and_perl_as_we_do(tmp_path: Path) -> None:
    csharp = MX_JAVA | {"language": "csharp"}
    perl = MX_JAVA | {"language": "perl", "prompt": "sub f {\n", "test": "\nprint f();\n"}
    languages = [p.language for p in suite_of(tmp_path, "mxeval", csharp, perl).problems]
    assert languages == ["csharp", "perl"]
    [_, problem] = suite_of(tmp_path, "mxeval", csharp, perl).problems
    given = finish_answer(problem, "  return 1;\n}\nsub g { }\n", FinishReason.LENGTH)
    assert given.text == "  return 1;\n}"


def test_a_multipl_e_answer_ends_before_the_brace_that_its_tests_bring(tmp_path: Path) -> None:
    record = {
        "name": "HumanEval_23_strlen",
        "language": "rs",
        "prompt": "fn strlen(s: String) -> isize {\n",
        "tests": "}\n\nfn main() {\n    assert_eq!(strlen(String::new()), 0);\n}\n",
        "stop_tokens": ["\n}"],
        "doctests": "transform",
    }
    [problem] = suite_of(tmp_path, "multipl-e", record).problems
    assert (problem.language, problem.group, problem.stops) == ("rust", "HumanEval/23", ("\n}",))
    given = finish_answer(
        problem, "    if s.is_empty() { return 0; }\n    1\n}\nfn x() {}", FinishReason.LENGTH
    )
    assert given.text == "    if s.is_empty() { return 0; }\n    1"


def test_multipl_e_stops_differ_by_language_and_go_is_tested_by_go(tmp_path: Path) -> None:
    go = {
        "name": "mbpp_12_sum",
        "language": "go_test.go",
        "prompt": "package sum_test\n\nfunc sum(a int) int {\n",
        "tests": "func TestSum(t *testing.T) {\n}\n",
        "stop_tokens": ["\nfunc", "struct", "\n// "],
    }
    lua = {
        "name": "HumanEval_1_f",
        "language": "lua",
        "prompt": "local function f(x)\n",
        "tests": "lu = require('luaunit')\n",
        "stop_tokens": ["\nlocal", "\nfunction", "\n--", "\n\n"],
    }
    first, second = suite_of(tmp_path, "multipl-e", go, lua).problems
    assert (first.language, first.style, first.group) == ("go", "go_test", "MBPP/12")
    assert first.stops != second.stops
    text = "  if x then\n    return 1\n  end\nend\n\nprint(1)\n"
    assert finish_answer(second, text, FinishReason.LENGTH).text == text.partition("\n\n")[0]


def test_a_multipl_e_language_that_nobody_knows_is_an_error_with_its_line(tmp_path: Path) -> None:
    record = {"name": "HumanEval_1_f", "language": "cobol", "prompt": "", "tests": ""}
    with pytest.raises(InputError, match=r"data\.jsonl:1: the language 'cobol' is unknown"):
        suite_of(tmp_path, "multipl-e", record)


def test_safim_asks_for_what_the_evaluated_program_lacks(tmp_path: Path) -> None:
    record = {
        "task_id": "block_completion_000001",
        "lang": "python",
        "prompt": "Description: 🐟\n\nCode:\n\nfor i in x:\n    # TODO: Your code here\n",
        "eval_prompt": "for i in x:\n    {{completion}}\nprint(i)\n",
        "ground_truth": "i += 1\n    y(i)",
        "unit_tests": [],
    }
    [problem] = suite_of(tmp_path, "safim", record).problems
    assert (problem.prompt, problem.suffix) == ("for i in x:\n    ", "\nprint(i)\n")
    assert (problem.kind, problem.extent, problem.tests) == (Kind.INFILL, Extent.SPAN, "")
    assert problem.canonical == "i += 1\n    y(i)"
    assert problem.variant == "block"
    with pytest.raises(InputError, match=r"data\.jsonl:1: 'eval_prompt' does not hold"):
        suite_of(tmp_path, "safim", record | {"eval_prompt": "nothing"})


def test_safims_inputs_and_outputs_are_tests_as_the_hub_and_the_repository_have_them(
    tmp_path: Path,
) -> None:
    tests = [{"input": "1\r\n", "output": ["2", "two 🐟"]}]
    record: dict[str, object] = {
        "lang": "cpp",
        "eval_prompt": "int main() { {{completion}} }",
        "ground_truth": "",
        "unit_tests": tests,
    }
    records = [
        {**record, "task_id": "control_1"},
        {**record, "task_id": "control_2", "unit_tests": json.dumps(tests)},
        {**record, "task_id": "control_3", "unit_tests": "[]"},
    ]
    first, second, third = suite_of(tmp_path, "safim", *records).problems
    assert (first.style, first.tests) == (Style.STDIO, second.tests)
    assert cases_of(first.tests) == (Case("1\r\n", ("2", "two 🐟")),)
    assert first.test_code == ""
    assert first.group == second.group  # solutions of one task
    assert (third.style, third.tests, third.group) == ("", "", "control_3")
    for broken in ("[1]", "{", [{"input": "1"}]):
        with pytest.raises(InputError, match=r"data\.jsonl:1: 'unit_tests': "):
            suite_of(tmp_path, "safim", {**records[0], "unit_tests": broken})


STDIO = """
[template]
problem_id = "{id}"
prompt = ""
tests = "{cases}"
style = "stdio"
"""


def test_a_template_may_have_inputs_and_outputs(tmp_path: Path) -> None:
    record = {"id": 1, "cases": '[{"input": "1", "output": "2"}]'}
    (tmp_path / "data.jsonl").write_text(f"{json.dumps(record)}\n")
    description = 'name = "mine"\nshape = "template"\n[[data]]\nfile = "data.jsonl"\n'
    path = tmp_path / "suite.toml"
    path.write_text(f'{description}language = "c"\n{STDIO}')
    [problem] = open_suite(str(path)).problems
    assert (problem.style, cases_of(problem.tests)) == (Style.STDIO, (Case("1", ("2",)),))
    (tmp_path / "data.jsonl").write_text(f"{json.dumps(record | {'cases': '[]'})}\n")
    with pytest.raises(InputError, match=r"data\.jsonl:1: tests are '\[\]'"):
        open_suite(str(path))


CHUNKS = [
    {"retrieved_chunk": "class Best: ...", "filename": "src/best.py", "score": 0.9},
    {"retrieved_chunk": "class Good: ...", "filename": "src/good.py", "score": 0.5},
]
CROSS_CODE = {
    "prompt": "from best import Best\nbest = Best.",
    "groundtruth": "make(1)",
    "right_context": "\nbest.go()\n",
    "metadata": {
        "task_id": "project_cc_python/1",
        "repository": "owner-project-1",
        "file": "src/main.py",
    },
    "crossfile_context": {"text": "# …", "list": CHUNKS},
}


def test_crosscodeeval_brings_its_chunks_along_the_best_last(tmp_path: Path) -> None:
    [problem] = suite_of(tmp_path, "crosscodeeval", CROSS_CODE).problems
    assert (problem.language, problem.extent, problem.kind) == ("python", "line", "infill")
    assert (problem.path, problem.group) == ("src/main.py", "owner-project-1")
    best = Snippet(path="src/best.py", text="class Best: ...\n")
    good = Snippet(path="src/good.py", text="class Good: ...\n")
    assert problem.context == (good, best)
    parts = prompt_parts(problem, order=FimOrder.SPM)
    assert parts == (
        *(Mark.FILE, "src/good.py\nclass Good: ...\n", Mark.FILE, "src/best.py\nclass Best: ...\n"),
        *(Mark.FILE, "src/main.py\n", Mark.SUFFIX, "\nbest.go()\n"),
        *(Mark.PREFIX, "from best import Best\nbest = Best.", Mark.MIDDLE),
    )


def test_crosscodeeval_without_chunks_or_right_context_is_asked_left_to_right(
    tmp_path: Path,
) -> None:
    record = {k: v for k, v in CROSS_CODE.items() if k in {"prompt", "groundtruth", "metadata"}}
    [problem] = suite_of(tmp_path, "crosscodeeval", record).problems
    assert (problem.kind, problem.extent, problem.context) == (Kind.COMPLETE, Extent.LINE, ())
    assert finish_answer(problem, "make(1)\nmore", FinishReason.LENGTH).text == "make(1)"


def test_chunks_beyond_the_budget_are_left_out_the_least_important_first(tmp_path: Path) -> None:
    long = {"retrieved_chunk": "x" * 5000, "filename": "long.py", "score": 0.1}
    record = CROSS_CODE | {"crossfile_context": {"list": [*CHUNKS, long]}}
    [problem] = suite_of(tmp_path, "crosscodeeval", record).problems
    assert len(problem.context) == 3
    texts = [part for part in prompt_parts(problem) if isinstance(part, str)]
    assert not any("long.py" in text for text in texts)
    assert texts[0].startswith("src/good.py")


def toml_of_docs(name: str) -> str:
    """Return the TOML block of docs/benchmarks.md that describes the suite `name`."""
    blocks = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    [block] = [block for block in blocks if f'name = "{name}"' in block]
    return str(block)


def test_the_five_minute_way_reads_santacoder_records_as_the_docs_have_it(tmp_path: Path) -> None:
    records = [
        {
            "name": "HumanEval_0_f",
            "language": language,
            "prompt": "a {\n",
            "suffix": "}\n",
            "canonical_solution": f"  b{n}\n",
            "tests": "",
        }
        for n, language in enumerate(("py", "java", "js"))
    ]
    rows = "\r\n".join(json.dumps(record) for record in records)  # as Windows writes it
    (tmp_path / "santacoder-fim.jsonl").write_text(rows, encoding="utf-8", newline="")
    (tmp_path / "suite.toml").write_text(toml_of_docs("santacoder-fim"), encoding="utf-8")
    suite = open_suite(str(tmp_path / "suite.toml"))
    assert [problem.key for problem in suite.problems] == [
        "python/HumanEval_0_f/1",
        "java/HumanEval_0_f/2",
        "javascript/HumanEval_0_f/3",
    ]
    assert {problem.group for problem in suite.problems} == {"HumanEval_0_f"}
    problem = suite.problems[1]
    assert (problem.prompt, problem.suffix, problem.tests) == ("a {\n", "}\n", "")
    given = finish_answer(problem, "  b1\n}\n}\n", FinishReason.LENGTH)
    assert given.text == problem.canonical == "  b1\n"


def test_the_cpp_example_of_the_docs_puts_a_program_together(tmp_path: Path) -> None:
    record = {
        "id": 4,
        "signature": "int twice(int n)",
        "asserts": "assert(twice(2) == 4);",
        "body": "    return 2 * n;\n}",
    }
    (tmp_path / "our-cpp.jsonl").write_text(json.dumps(record), encoding="utf-8")
    description = toml_of_docs("our-cpp")
    pinned = description.replace("[[data]]\n", f'[[data]]\nsha256 = "{"0" * 64}"\n')
    (tmp_path / "suite.toml").write_text(pinned, encoding="utf-8")
    with pytest.raises(InputError, match="wanted is 0000"):
        open_suite(str(tmp_path / "suite.toml"))
    (tmp_path / "suite.toml").write_text(description, encoding="utf-8")
    [problem] = open_suite(str(tmp_path / "suite.toml")).problems
    assert (problem.problem_id, problem.stops) == ("4", ("\nint main",))
    answer = "    return 2 * n;\n}\nint main() { return 0; }"
    assert program(problem, answer) == (
        "#include <vector>\n#include <cassert>\nint twice(int n) {\n    return 2 * n;\n}"
        "\nint main() {\nassert(twice(2) == 4);\n}\n"
    )


def test_a_shape_of_the_users_own_is_a_function_beside_the_toml(tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_shape.py").write_text(code, encoding="utf-8")
    record = {
        "id": "f/🐟",
        "calls": ["f(1)", "f(2)"],
        "values": ["2", "3"],
        "signature": "def f(x):\n",
        "solution": "    return x + 1\n",
    }
    [problem] = suite_of(tmp_path, "my_shape.py:problem", record, language="python").problems
    assert problem.key == "python/f/🐟"
    assert problem.tests == "\nassert f(1) == 2\nassert f(2) == 3\n"
    with pytest.raises(InputError, match="has no function 'other'"):
        suite_of(tmp_path, "my_shape.py:other", record, language="python")
    with pytest.raises(InputError, match="there is no file"):
        suite_of(tmp_path, "missing.py:problem", record, language="python")
