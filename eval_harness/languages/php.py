"""PHP, without its configuration files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.program_judge import ProgramJudge
from eval_harness.languages.script import Script
from eval_harness.languages.toolchains import first_line, says

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.sandbox.job import Sandbox

_SETTINGS = (
    "zend.assertions=1",
    "assert.exception=1",
    "display_errors=stderr",
    "memory_limit=384M",
)


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of PHP."""
    script = Script(
        look_up=look_up,
        argv=_argv,
        launcher="launch.php",
        program="program.php",
        readable=lambda: toolchains.existing((_argv()[0],)),
    )
    return ProgramJudge("php", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of PHP."""
    php = toolchains.program("php")
    version = first_line(says(php, "-n", "--version")) if php else ""
    return toolchains.toolchain(version, {} if version else {"php": "php-cli"})


@cache
def _argv() -> tuple[str, ...]:
    php = toolchains.program("php")
    assert php is not None
    settings = [part for setting in _SETTINGS for part in ("-d", setting)]
    return (str(php), "-n", *settings)
