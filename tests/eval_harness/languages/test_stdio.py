"""Whole programs that read and write, in every language."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from eval_harness.problem import Extent, Kind, Problem, Style
from eval_harness.stdio import Case, as_tests, cases_of, is_right
from eval_harness.verdict import State

if TYPE_CHECKING:
    from tests.eval_harness.languages.conftest import GetJudge

CASES = (Case("1 2\n", ("3",)), Case("20 22\n", ("42", "forty-two")))
PROGRAMS = {
    "bash": ("read -r a b\n", "echo $((a + b))\n"),
    "c": ("#include <stdio.h>\nint main() {\nint a, b; scanf(\"%d%d\", &a, &b);\n",
          "printf(\"%d\\n\", a + b); return 0; }\n"),
    "cpp": (("#include <bits/stdc++.h>\nusing namespace std;\nint main() {\n#ifndef ONLINE_JUDGE\n"
            "freopen(\"input.txt\", \"r\", stdin);\n#endif\nint a, b; cin >> a >> b;\n"),
            "cout << a + b << endl; }\n"),
    "csharp": ("using System;\nclass P { static void Main() {\nvar w = Console.ReadLine().Split();",
               "Console.WriteLine(int.Parse(w[0]) + int.Parse(w[1])); } }\n"),
    "go": ("package main\nimport \"fmt\"\nfunc main() {\nvar a, b int\nfmt.Scan(&a, &b)\n",
           "fmt.Println(a + b)\n}\n"),
    "java": (("import java.util.*;\nclass Reader {}\npublic class Main {\n"
             "public static void main(String[] args) {\nScanner in = new Scanner(System.in);\n"),
             "System.out.println(in.nextInt() + in.nextInt()); } }\n"),
    "javascript": ("const words = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\n",
                   "console.log(words[0] + words[1]);\n"),
    "lua": ("local a, b = io.read('n', 'n')\n", "print(a + b)\n"),
    "perl": ("my ($a, $b) = split ' ', <STDIN>;\n", "print $a + $b, \"\\n\";\n"),
    "php": ("<?php\n[$a, $b] = explode(' ', trim(fgets(STDIN)));\n", "echo $a + $b, \"\\n\";\n"),
    "python": ("a, b = map(int, input().split())\n", "print(a + b)\n"),
    "r": ("w <- scan(file('stdin'), quiet = TRUE)\n", "cat(w[1] + w[2], '\\n')\n"),
    "ruby": ("a, b = gets.split.map(&:to_i)\n", "puts a + b\n"),
    "rust": (("use std::io;\nfn main() {\nlet mut s = String::new();\n"
             "io::stdin().read_line(&mut s).unwrap();\n"
             "let w: Vec<i32> = s.split_whitespace().map(|x| x.parse().unwrap()).collect();\n"),
             "println!(\"{}\", w[0] + w[1]);\n}\n"),
    "typescript": (("declare var require: any;\n"
                   "const words: number[] = require('fs').readFileSync(0, 'utf8').split(/\\s+/)"
                   ".map(Number);\n"), "console.log(words[0] + words[1]);\n"),
}  # fmt: skip


def problem_in(language: str, prompt: str) -> Problem:
    return Problem(
        problem_id="sum",
        group="sum",
        language=language,
        kind=Kind.INFILL,
        extent=Extent.SPAN,
        prompt=prompt,
        tests=as_tests(CASES),
        style=Style.STDIO,
    )


@pytest.mark.toolchain
@pytest.mark.parametrize("language", sorted(PROGRAMS))
def test_a_program_passes_where_it_writes_what_is_wanted(
    language: str, get_judge: GetJudge
) -> None:
    prompt, right = PROGRAMS[language]
    judge, problem = get_judge(language), problem_in(language, prompt)
    verdict = judge.judge(problem, right)
    assert verdict.state is State.PASSED, verdict
    verdict = judge.judge(problem, right.replace(" + ", " - "))
    assert (verdict.state, verdict.detail) == (State.WRONG, "test 1 of 2: wanted '3', got '-1'")


@pytest.mark.toolchain
def test_what_a_program_does_instead_of_answering_has_its_own_state(get_judge: GetJudge) -> None:
    judge, problem = get_judge("python"), problem_in("python", PROGRAMS["python"][0])
    answers = {
        "print(3)\n": (State.WRONG, "test 2 of 2: wanted '42', got '3'"),
        "print('forty-two' if a > 9 else 3)\n": (State.PASSED, ""),
        "print(a + b); exit(1)\n": (State.WRONG, "test 1 of 2: 3"),
        "print(a + b) (\n": (State.COMPILE_ERROR, "'(' was never closed"),
        "x = 'a' * 10**10\n": (State.MEMORY_LIMIT, "test 1 of 2"),
        "while True: print(a)\n": (State.OUTPUT_LIMIT, ""),
        "import os; os.kill(os.getpid(), 9)\n": (State.KILLED, "ended by signal 9"),
        "": (State.WRONG, "test 1 of 2: wanted '3', got ''"),
        "print(open('/proc/self/environ').read(), *__import__('os').listdir())\n": (
            State.WRONG, "program.py",
        ),
    }  # fmt: skip
    for answer, (state, detail) in answers.items():
        verdict = judge.judge(problem, answer)
        assert verdict.state is state, (answer, verdict)
        assert detail in verdict.detail, (answer, verdict)


@pytest.mark.parametrize(
    ("said", "wanted", "is_same"),
    [
        ("3", "3", True),
        ("3 \r\n4\n\n", "3\n4", True),
        ("3\n4", "3 4", True),
        ("3\n\n4", "3\n4", True),
        ("0.5000000000001", "0.5", True),
        ("0.50000000001", "0.5", False),
        ("1e3", "1000", True),
        ("YES", "Yes", True),
        ("Alice", "alice", False),
        ("nan", "1", False),
        ("inf", "1", False),
        ("1_0", "10", False),
        ("1e999999999", "1", False),
        ("12" * 300, "12" * 300, True),
        ("3 3", "3", False),
        ("", "3", False),
        ("🦊", "🦊\n", True),
        ("٣", "3", False),
    ],
)
def test_outputs_are_compared_as_contests_do(said: str, wanted: str, is_same: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    assert is_right(said, Case("", (wanted,))) is is_same


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("", "Expecting value"),
        ("[]", "they must be a list of inputs and outputs"),
        ("[1]", "a test is 1; it must have the texts"),
        ('[{"input": "1"}]', "it must have the texts"),
        ('[{"input": "1", "output": []}]', "it must have the texts"),
        ('[{"input": 1, "output": "1"}]', "it must have the texts"),
    ],
)
def test_tests_of_another_shape_are_refused(tests: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cases_of(tests)


def test_one_output_may_stand_without_a_list() -> None:
    [case] = cases_of(json.dumps([{"input": "🦊\r\n", "output": "x"}]))
    assert case == Case("🦊\r\n", ("x",))
