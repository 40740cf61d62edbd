"""R, without the packages that take most of the time of starting.

The launcher loads those that a program calls.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.program_judge import ProgramJudge
from eval_harness.languages.script import Script
from eval_harness.languages.toolchains import first_line, says

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval_harness.languages.language import Toolchain
    from eval_harness.sandbox.job import Sandbox


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of R."""
    script = Script(
        look_up=look_up,
        argv=_argv,
        launcher="launch.R",
        program="program.R",
        env=_env,
        readable=_readable,
    )
    return ProgramJudge("r", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of R."""
    version = first_line(says("R", "--version")) if _home() else ""
    return toolchains.toolchain(version, {} if version else {"R": "r-base-core"})


@cache
def _home() -> Path | None:
    """Return R_HOME: the command `R` is a shell script, which we go round."""
    said = says("R", "RHOME")
    return Path(said) if said and (Path(said) / "bin/exec/R").exists() else None


def _argv() -> tuple[str, ...]:
    home = _home()
    assert home is not None
    return (str(home / "bin/exec/R"), "--vanilla", "--no-echo", "-f")


def _env() -> Mapping[str, str]:
    home = str(_home())
    return {
        "R_HOME": home,
        "LD_LIBRARY_PATH": f"{home}/lib",
        "R_DEFAULT_PACKAGES": "utils,stats",
        "TZ": "UTC",
    }


def _readable() -> tuple[Path, ...]:
    home = _home()
    assert home is not None
    return toolchains.existing((home, *home.iterdir(), *(home / "etc").iterdir()))
