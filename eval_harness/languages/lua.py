"""Lua."""

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

_RUNNER = re.compile(r"os\.exit\(\s*(\w+\.LuaUnit\.run\([^()]*\))\s*\)")
"""How tests hand the number of failures to the system: the launcher wants it instead."""


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of Lua."""
    script = Script(
        look_up=look_up,
        argv=_argv,
        launcher="launch.lua",
        program="program.lua",
        arguments=lambda problem, _: ("luaunit",) if _is_luaunit(problem) else ("",),
        text=_text,
        lacking=_lacking,
        readable=lambda: toolchains.existing((_argv()[0],)),
    )
    return ProgramJudge("lua", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of Lua."""
    lua = toolchains.program("lua5.4", "lua", "lua5.3")
    version = first_line(says(lua, "-v")) if lua else ""
    lacking = {} if version else {"lua": "lua5.4"}
    if not version or not _has_luaunit():
        lacking["luaunit"] = "lua-unit"
    return toolchains.toolchain(version, lacking)


@cache
def _argv() -> tuple[str, ...]:
    lua = toolchains.program("lua5.4", "lua", "lua5.3")
    assert lua is not None
    return (str(lua),)


def _is_luaunit(problem: Problem) -> bool:
    return _RUNNER.search(problem.test_code) is not None


def _text(problem: Problem, answer: str) -> str:
    return problem.candidate(answer) + _RUNNER.sub(r"return \1", problem.test_code)


def _lacking(problem: Problem) -> str:
    is_missing = _is_luaunit(problem) and not _has_luaunit()
    return "needs luaunit: apt-get install --yes lua-unit" if is_missing else ""


@cache
def _has_luaunit() -> bool:
    return says(*_argv(), "-e", 'require("luaunit") print(1)') == "1"
