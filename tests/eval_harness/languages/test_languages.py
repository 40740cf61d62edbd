from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from eval_harness.languages import native
from eval_harness.languages.faults import plant_fault
from eval_harness.problem import Style
from eval_harness.verdict import State
from tests.eval_harness.languages.programs import QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.eval_harness.languages.conftest import GetJudge

pytestmark = pytest.mark.toolchain
LANGUAGES = sorted(QUESTIONS)
CHEATS = [(language, cheat) for language in LANGUAGES for cheat in QUESTIONS[language].cheats]


@pytest.mark.parametrize("language", LANGUAGES)
def test_right_answers_pass_and_others_do_not(language: str, get_judge: GetJudge) -> None:
    judge, question = get_judge(language), QUESTIONS[language]
    problem = question.problem(language)
    fault = plant_fault(language, question.right)
    assert fault is not None
    answers = {
        question.right: {State.PASSED},
        question.wrong: {State.WRONG},
        question.broken: {State.COMPILE_ERROR},
        fault: {State.WRONG, State.COMPILE_ERROR},
    }
    verdicts = {answer: judge.judge(problem, answer) for answer in answers}
    for answer, states in answers.items():
        assert verdicts[answer].state in states, (answer, verdicts[answer])
    assert verdicts[question.right].detail == ""
    assert verdicts[question.right].cpu_ms > 0
    assert 0 < len(verdicts[question.broken].detail) <= 2000


@pytest.mark.parametrize(("language", "cheat"), CHEATS)
def test_no_cheat_passes(language: str, cheat: str, get_judge: GetJudge) -> None:
    question = QUESTIONS[language]
    verdict = get_judge(language).judge(question.problem(language), question.cheats[cheat])
    assert verdict.state in {State.WRONG, State.COMPILE_ERROR, State.KILLED}, verdict


@pytest.mark.parametrize("language", ["bash", "c", "javascript", "perl"])
def test_answers_of_any_text_are_judged(language: str, get_judge: GetJudge) -> None:
    judge = get_judge(language)
    problem = QUESTIONS[language].problem(language)
    for answer in ("", "\r\n", "🦊\ud800\0", "x " * 500_000):
        verdict = judge.judge(problem, answer)
        assert verdict.state in {State.WRONG, State.COMPILE_ERROR}, (answer[:10], verdict)


@pytest.mark.parametrize("language", ["javascript", "ruby", "java"])
def test_text_in_any_script_comes_through(language: str, get_judge: GetJudge) -> None:
    question = QUESTIONS[language]
    comment = "#" if language == "ruby" else "//"
    answer = f"{comment} größer 🦊 变\r\n{question.right}"
    verdict = get_judge(language).judge(question.problem(language), answer)
    assert verdict.state is State.PASSED, verdict


def test_tests_are_not_where_a_compiled_program_runs(get_judge: GetJudge) -> None:
    question = QUESTIONS["c"]
    answer = 'system("ls -a >&2"); return 0; }'
    verdict = get_judge("c").judge(question.problem("c"), answer)
    assert verdict.state is State.WRONG
    assert "program.c" not in verdict.detail.partition("Assertion")[0].splitlines()
    assert "program" in verdict.detail.splitlines()


def test_an_interpreters_program_is_gone_before_it_runs(get_judge: GetJudge) -> None:
    question = QUESTIONS["lua"]
    answer = "return io.open('program.lua') and 0 or a + 1\nend"
    verdict = get_judge("lua").judge(question.problem("lua"), answer)
    assert verdict.state is State.PASSED, verdict


ITEMS = {
    "int": "3, 1",
    "long long": "3, 1",
    "float": "3.5f, 1",
    "double": "3.5, 1",
    "char": "'b', 'a'",
    "string": '"b", "a"',
    "vector<int>": "{3}, {1}",
    "vector<vector<int>>": "{{3}}, {{1}}",
    "bool": "true, false",
    "Own": "{3}, {1}",
}
USES_VECTORS = """
struct Own { int a; };
bool operator<(const Own& a, const Own& b) { return a.a < b.a; }
bool operator==(const Own& a, const Own& b) { return a.a == b.a; }

template <class T> bool in_order(vector<T> items) {
    vector<T> copied(items.begin(), items.end()), moved = std::move(items);
    copied.push_back(copied.front());
    copied.insert(copied.begin(), moved.begin(), moved.end());
    copied.erase(copied.begin() + 1);
    copied.resize(3);
    copied.assign(moved.rbegin(), moved.rend());
    copied.reserve(100);
    sort(moved.begin(), moved.end());
    return copied == moved && copied.at(0) == moved[0];
}
"""


@pytest.mark.parametrize("includes", ["<vector>", "<bits/stdc++.h>"])
def test_cpp_vectors_of_anything_are_linked(includes: str, get_judge: GetJudge) -> None:
    """Some are compiled beforehand, others with the program."""
    calls = " ".join(
        f"assert(in_order(vector<{item}>{{{values}}}));" for item, values in ITEMS.items()
    )
    question = QUESTIONS["cpp"].problem("cpp")
    headers = f"#include {includes}\n#include <algorithm>\n#include <string>\n"
    prompt = f"{headers}#include <assert.h>\nusing namespace std;\n{USES_VECTORS}int f() {{\n"
    problem = replace(question, prompt=prompt, tests="int main() { return f(); }\n")
    answer = f"{calls} return 0; }}\n"
    verdict = get_judge("cpp").judge(problem, answer)
    assert verdict.state is State.PASSED, verdict
    wrong = answer.replace("vector<bool>{true, false}", "vector<bool>{false, true}")
    assert get_judge("cpp").judge(problem, wrong).state is State.WRONG


@pytest.mark.parametrize("includes", ["<cmath>", "<bits/stdc++.h>"])
def test_cpp_has_special_functions_where_they_are_named(includes: str, get_judge: GetJudge) -> None:
    prompt = f"#include {includes}\n#include <assert.h>\nusing namespace std;\nint f(int a) {{\n"
    problem = replace(QUESTIONS["cpp"].problem("cpp"), prompt=prompt)
    answers = (
        "return a + (riemann_zeta(2.0) > 1.6); }",
        "int beta = 1; return a + beta; }",
        "return a + (hypot(3, 4) == 5); }",
    )
    for answer in answers:
        verdict = get_judge("cpp").judge(problem, answer)
        assert verdict.state is State.PASSED, (answer, verdict)


def test_linkers_that_come_and_go_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert native._linkers() == ("",)
    (tmp_path / "ld.gold").touch(mode=0o755)
    assert native._linkers() == ("-fuse-ld=gold", "")


def test_go_tests_of_a_package_with_its_own_main_run(get_judge: GetJudge) -> None:
    tests = '\nfunc main() {\n    if F(1) != 2 {\n        panic("no")\n    }\n}\n'
    question = replace(
        QUESTIONS["go"], header="", prompt="package main\nfunc F(a int) int {\n", tests=tests,
        style=Style.PROGRAM,
    )  # fmt: skip
    judge, problem = get_judge("go"), question.problem("go")
    assert judge.judge(problem, question.right).state is State.PASSED
    assert judge.judge(problem, question.wrong).state is State.WRONG


def test_java_tests_within_the_class_of_the_prompt_run(get_judge: GetJudge) -> None:
    question = replace(
        QUESTIONS["java"],
        prompt="/* A class of its own. */\nclass Problem {\n    public static int f(int a) {\n",
        tests="\n    public static void main(String[] args) { assert(f(1) == 2); }\n}\n",
    )
    judge, problem = get_judge("java"), question.problem("java")
    assert judge.judge(problem, "return a + 1; }").state is State.PASSED
    assert judge.judge(problem, "return a; }").state is State.WRONG
    with_own_main = "return a; } static class Main { public static void main(String[] a) {} }"
    assert judge.judge(problem, with_own_main).state is State.WRONG


@pytest.mark.parametrize("how", ["* as assert from 'assert'", "assert from 'node:assert'"])
def test_typescript_may_import_what_node_has(how: str, get_judge: GetJudge) -> None:
    tests = f"\nimport {how};\nassert.deepStrictEqual(f(1), 2);\n"
    question = replace(QUESTIONS["typescript"], tests=tests)
    judge, problem = get_judge("typescript"), question.problem("typescript")
    assert judge.judge(problem, question.right).state is State.PASSED
    assert judge.judge(problem, question.wrong).state is State.WRONG


def test_packages_that_the_tests_import_can_be_missing(get_judge: GetJudge) -> None:
    tests = "\nconst far = require('@no-such/package');\nconsole.assert(f(1) === 2);\n"
    question = replace(QUESTIONS["javascript"], tests=tests)
    verdict = get_judge("javascript").judge(question.problem("javascript"), question.right)
    assert verdict.state is State.TOOLCHAIN_MISSING
    assert verdict.detail.endswith(" @no-such/package")


def test_rust_programs_with_a_main_run(get_judge: GetJudge) -> None:
    tests = "}\n\nfn main() {\n    let candidate = f;\n    assert_eq!(candidate(1), 2);\n}\n"
    question = replace(QUESTIONS["rust"], tests=tests, style=Style.PROGRAM)
    judge, problem = get_judge("rust"), question.problem("rust")
    assert judge.judge(problem, "    a + 1\n").state is State.PASSED
    assert judge.judge(problem, "    a\n").state is State.WRONG
    assert judge.judge(problem, "    std::process::exit(0)\n").state is State.WRONG


def test_rust_without_a_test_cannot_pass(get_judge: GetJudge) -> None:
    question = replace(QUESTIONS["rust"], tests="\n/*\n#[test]\nfn test_f() {}\n*/\n")
    verdict = get_judge("rust").judge(question.problem("rust"), question.right)
    assert verdict.state is State.WRONG
    assert verdict.detail == "there is neither a test nor a main"


LUAUNIT = (
    "\nlu = require('luaunit')\nfunction test_humaneval()\n  lu.assertEquals(f(1), 2)\nend\n"
    "os.exit(lu.LuaUnit.run())\n"
)
TEST_UNIT = (
    "\nrequire 'test/unit'\nclass TestF < Test::Unit::TestCase\n  def test_f\n"
    "    assert_equal(2, method(:f).call(1))\n  end\nend\n"
)
DATA_COMPARE = "\nuse Data::Compare;\nunless (Compare(f(1), 2)) { die 'no' }\n"
LIBRARIES = {
    "luaunit": ("lua", LUAUNIT, "return a\nend\nrequire('luaunit').assertEquals = function() end"),
    "test/unit": (
        "ruby",
        TEST_UNIT,
        "a\nend\nrequire 'test/unit'\nTest::Unit::AutoRunner.need_auto_run = false",
    ),
    "Data::Compare": ("perl", DATA_COMPARE, "return $a;\n}\nsub Compare { 1 }"),
}


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_tests_by_a_library_are_not_believed_where_it_was_replaced(
    library: str, get_judge: GetJudge
) -> None:
    language, tests, cheat = LIBRARIES[library]
    judge, question = get_judge(language), replace(QUESTIONS[language], tests=tests)
    problem = question.problem(language)
    if library in judge.toolchain().missing:
        assert judge.judge(problem, question.right).state is State.TOOLCHAIN_MISSING
        pytest.skip(f"{library} is missing: {judge.toolchain().install}")
    assert judge.judge(problem, question.right).state is State.PASSED
    assert judge.judge(problem, question.wrong).state is State.WRONG
    assert judge.judge(problem, cheat).state is State.WRONG
