from __future__ import annotations

from dataclasses import replace

from eval_harness.languages.go_source import go_program
from eval_harness.languages.rust_source import replaced_macros, rust_program
from tests.eval_harness.languages.programs import QUESTIONS

GO = QUESTIONS["go"].problem("go")
RUST = QUESTIONS["rust"].problem("rust")


def test_go_imports_are_those_that_are_used() -> None:
    program = go_program(
        GO, '    // math.Abs is not needed\n    return len(strings.Trim("", "sort.X"))\n}'
    )
    assert program.text.startswith(
        'package program\nimport strings "strings"\nimport testing "testing"\n\n'
    )
    assert program.text.count("package") == 1
    assert program.text.count("import") == 2
    assert program.tests == ("TestF",)
    assert program.imports == ("testing", "strings")


def test_a_go_variable_is_not_taken_for_a_package() -> None:
    answer = "    sort := pair{}\n    return sort.first\n}\ntype pair struct{ first int }"
    assert go_program(GO, answer).imports == ("testing",)


def test_a_go_alias_is_kept() -> None:
    problem = replace(GO, prompt='import m "math"\nfunc F(a int) int {\n')
    assert 'import m "math"\n' in go_program(problem, "    return int(m.Abs(2))\n}").text


def test_a_go_main_gets_another_name() -> None:
    problem = replace(GO, tests="\nfunc main() {\n    F(1)\n}\n")
    program = go_program(problem, "    return a\n}")
    assert "func FimbleProgram() {" in program.text
    assert program.tests == ()


def test_rust_tests_are_called_and_idle_imports_dropped() -> None:
    program = rust_program(RUST, "    a + 1\n}")
    assert program.crates == ()
    assert "use rand" not in program.text
    assert "use regex" not in program.text
    assert "#[test]" not in program.text
    assert program.text.endswith(
        "fn main() { let nonce = ::fimble_judge::begin(); tests::test_f(); "
        "::fimble_judge::end(nonce); }\n"
    )


def test_a_comment_may_stand_behind_the_mark_of_a_rust_test() -> None:
    marked = RUST.tests.replace("#[test]\n", "#[test]\n    // why [it] is { there\n")
    text = rust_program(replace(RUST, tests=marked), "    a + 1\n}").text
    assert "// why [it] is { there\n    pub fn test_f()" in text


def test_rust_imports_that_are_used_stay() -> None:
    answer = '    let r = Regex::new("x"); rand::thread_rng().gen_range(0, 1)\n}'
    program = rust_program(RUST, answer)
    assert program.crates == ("rand", "regex")
    assert "use rand::Rng;" in program.text
    assert "use md5;" not in program.text


def test_a_rust_main_of_the_answer_does_no_harm() -> None:
    program = rust_program(RUST, "    a + 1\n}\nfn main() {}")
    assert program.text.count("fn main()") == 1
    assert "pub fn fimble_program() {}" in program.text


def test_macros_of_the_tests_are_named_where_an_answer_replaces_them() -> None:
    assert replaced_macros(RUST, "macro_rules! assert_eq { () => {} }") == ("assert_eq",)
    assert replaced_macros(RUST, "macro_rules! other { () => {} }") == ()
