"""JavaScript on Node."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.languages import toolchains
from eval_harness.languages.artefacts import toolchains_dir
from eval_harness.languages.program_judge import RUN_LIMITS, ProgramJudge
from eval_harness.languages.script import Script
from eval_harness.languages.toolchains import first_line, says

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval_harness.languages.language import Toolchain
    from eval_harness.problem import Problem
    from eval_harness.sandbox.job import Sandbox

LAUNCHER = "launch.js"
PROGRAM = "program.js"
_HEAP_MIB = 384
LIMITS = RUN_LIMITS.__class__(address_space_bytes=8 << 30)
"""V8 reserves gigabytes of address space that it never touches."""
_MODULE = re.compile(
    r"""(?:\brequire\(\s*|\bimport\b[^;'"\n]*?)['"](?:node:)?(@?[\w.-]+(?:/[\w.-]+)?)['"]"""
)
_GIVEN = frozenset({"js-md5"})
"""Packages that our launcher stands in for."""


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of JavaScript."""
    script = Script(
        look_up=look_up,
        argv=argv,
        launcher=LAUNCHER,
        program=PROGRAM,
        lacking=lacking,
        env=env,
        readable=readable,
        limits=LIMITS,
    )
    return ProgramJudge("javascript", sandbox, script)


@cache
def look_up() -> Toolchain:
    """Return what there is of Node."""
    node = toolchains.program("node", "nodejs")
    version = first_line(says(node, "--version")) if node else ""
    return toolchains.toolchain(
        f"node {version}" if version else "", {} if version else {"node": "nodejs"}
    )


@cache
def argv() -> tuple[str, ...]:
    """Return Node with its options."""
    node = toolchains.program("node", "nodejs")
    assert node is not None
    return (str(node), f"--max-old-space-size={_HEAP_MIB}", "--stack-size=900")


@cache
def node_modules() -> tuple[Path, ...]:
    """Return folders of npm packages: of NODE_PATH, our own, and the system's."""
    named = [Path(each) for each in os.environ.get("NODE_PATH", "").split(os.pathsep) if each]
    ours = toolchains_dir() / "npm" / "node_modules"
    system = ("/usr/local/lib/node_modules", "/usr/lib/node_modules", "/usr/share/nodejs")
    return tuple(path.resolve() for path in map(Path, (*named, ours, *system)) if path.is_dir())


def package(name: str) -> Path | None:
    """Return the folder of an npm package, or None."""
    return next((root / name for root in node_modules() if (root / name).exists()), None)


def npm_install(*packages: str) -> str:
    """Return the command that installs npm packages where we look for them."""
    return f"npm install --no-save --prefix {toolchains_dir() / 'npm'} {' '.join(packages)}"


def env() -> Mapping[str, str]:
    """Return what tells Node where packages lie."""
    return {"NODE_PATH": os.pathsep.join(map(str, node_modules()))}


def readable() -> tuple[Path, ...]:
    """Return Node and the packages."""
    return toolchains.existing((argv()[0], *node_modules()))


def lacking(problem: Problem) -> str:
    """Return the npm packages that the problem itself asks for and that are not there."""
    names = set(_MODULE.findall(problem.header + problem.prompt + problem.test_code)) - _GIVEN
    missing = sorted(n for n in names if not _is_built_in(n) and package(n) is None)
    return f"needs npm packages: {npm_install(*missing)}" if missing else ""


@cache
def _is_built_in(name: str) -> bool:
    code = "require('node:module').builtinModules.join('\\n')"
    return name.partition("/")[0] in says(argv()[0], "-p", code).splitlines()
