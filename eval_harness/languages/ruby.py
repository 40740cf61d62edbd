"""Ruby, without its package manager, which takes most of the time of starting."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.program_judge import ProgramJudge
from eval_harness.languages.script import Script
from eval_harness.languages.toolchains import first_line, says

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Ruby."""
    script = Script(
        look_up=look_up,
        argv=_argv,
        launcher="launch.rb",
        program="program.rb",
        arguments=_arguments,
        lacking=_lacking,
        readable=lambda: toolchains.existing((_argv()[0],)),
    )
    return ProgramJudge("ruby", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of Ruby."""
    ruby = toolchains.program("ruby")
    version = first_line(says(ruby, "--disable=gems", "--version")) if ruby else ""
    lacking = {} if version else {"ruby": "ruby"}
    if not version or not _has_test_unit():
        lacking["test/unit"] = "ruby-test-unit"
    return toolchains.toolchain(version, lacking)


@cache
def _argv() -> tuple[str, ...]:
    ruby = toolchains.program("ruby")
    assert ruby is not None
    folders = [part for folder in _test_unit_folders() for part in ("-I", folder)]
    return (str(ruby), "--disable=gems", *folders)


@cache
def _test_unit_folders() -> tuple[str, ...]:
    """Return where test/unit lies, which without the package manager Ruby does not find."""
    ruby = toolchains.program("ruby")
    code = 'require "test/unit/testcase"; puts $LOAD_PATH.grep(/test-unit|power_assert/)'
    return tuple(says(ruby, "-e", code).splitlines()) if ruby else ()


def _is_test_unit(problem: Problem) -> bool:
    return "Test::Unit::TestCase" in problem.test_code


def _arguments(problem: Problem, _: str) -> tuple[str, ...]:
    return ("test_unit",) if _is_test_unit(problem) else ()


def _lacking(problem: Problem) -> str:
    is_missing = _is_test_unit(problem) and not _has_test_unit()
    return "needs test/unit: apt-get install --yes ruby-test-unit" if is_missing else ""


@cache
def _has_test_unit() -> bool:
    return says(*_argv(), "-e", 'require "test/unit/testcase"; print 1') == "1"
