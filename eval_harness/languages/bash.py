"""Bash."""

from __future__ import annotations

import re
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

_BUILT_IN = (
    r"set|exit|trap|shopt|test|\[|\[\[|builtin|command|declare|unset|eval|source|return|read"
)
_REPLACED = re.compile(
    rf"^\s*(?:function\s+(?:{_BUILT_IN})(?=[\s({{])|(?:{_BUILT_IN})\s*\(\s*\))", re.MULTILINE
)
_ERREXIT = re.compile(r"^\s*set\s+-\w*e", re.MULTILINE)


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Bash."""
    script = Script(
        look_up=look_up,
        argv=_argv,
        launcher="launch.sh",
        program="program.sh",
        arguments=lambda problem, _: (
            "errexit" if _ERREXIT.search(problem.test_code) else "plain",
        ),
        refuses=_refuses,
        readable=lambda: toolchains.existing(_argv()),
    )
    return ProgramJudge("bash", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of Bash."""
    bash = toolchains.program("bash")
    version = first_line(says(bash, "--version")) if bash else ""
    return toolchains.toolchain(version, {} if version else {"bash": "bash"})


@cache
def _argv() -> tuple[str, ...]:
    bash = toolchains.program("bash")
    assert bash is not None
    return (str(bash),)


def _refuses(_: Problem, answer: str) -> str:
    found = _REPLACED.search(answer)
    return f"it replaces what its tests rely on: {found[0].strip()}" if found else ""
