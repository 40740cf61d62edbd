"""Perl."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.program_judge import ProgramJudge
from eval_harness.languages.script import Script
from eval_harness.languages.toolchains import says

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

_MODULES = {"Data::Compare": "libdata-compare-perl", "Test::Deep": "libtest-deep-perl"}
"""Modules that compare, by the package that brings them."""


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Perl."""
    script = Script(
        look_up=look_up,
        argv=_argv,
        launcher="launch.pl",
        program="program.pl",
        arguments=lambda problem, _: _wanted(problem),
        lacking=_lacking,
        readable=lambda: toolchains.existing((_argv()[0], "/etc/perl")),
    )
    return ProgramJudge("perl", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of Perl."""
    perl = toolchains.program("perl")
    version = says(perl, "-e", "print $^V") if perl else ""
    lacking = {} if version else {"perl": "perl"}
    lacking.update({m: p for m, p in _MODULES.items() if not (version and _has(m))})
    return toolchains.toolchain(f"perl {version}" if version else "", lacking)


@cache
def _argv() -> tuple[str, ...]:
    perl = toolchains.program("perl")
    assert perl is not None
    return (str(perl),)


def _wanted(problem: Problem) -> tuple[str, ...]:
    text = problem.header + problem.prompt + problem.test_code
    return tuple(each for each in _MODULES if re.search(rf"\buse {each}\b", text))


def _lacking(problem: Problem) -> str:
    missing = [_MODULES[each] for each in _wanted(problem) if not _has(each)]
    return f"apt-get install --yes {' '.join(missing)} brings it" if missing else ""


@cache
def _has(module: str) -> bool:
    return says(*_argv(), f"-M{module}", "-e", "print 1") == "1"
