"""C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_harness.languages.native import Native
from eval_harness.languages.program_judge import ProgramJudge

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.sandbox.job import Sandbox

_RECIPE = Native(
    language="c",
    suffix=".c",
    compilers=("gcc", "cc", "clang"),
    package="gcc libc6-dev",
    flags=("-std=gnu17", "-O0", "-w"),
)


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of C."""
    return ProgramJudge("c", sandbox, _RECIPE)


def look_up() -> Toolchain:
    """Return what there is of C."""
    return _RECIPE.toolchain()
