"""C++, with precompiled headers, whose reading takes most of a compiler's time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_harness.languages.native import Native
from eval_harness.languages.program_judge import ProgramJudge

if TYPE_CHECKING:
    from eval_harness.languages.language import Toolchain
    from eval_harness.sandbox.job import Sandbox

_USUAL = (
    "stdlib.h", "algorithm", "math.h", "stdio.h", "vector", "string", "climits", "cstring",
    "iostream", "map", "set", "sstream", "numeric", "cmath", "assert.h",
)  # fmt: skip
_ITEMS = ("int", "long long", "float", "double", "char", "std::string", "std::vector<int>")
_SPECIAL_FUNCTIONS = (
    r"SPEC_FUNCS|math_special|\b(airy_|assoc_|beta|comp_ellint|conf_hyperg|cyl_|ellint|expint|hermite"
    r"|hyperg|laguerre|legendre|riemann_zeta|sph_)"
)
_WITHOUT_THEM = """#if __has_include(<bits/c++config.h>)
#include <bits/c++config.h>
#undef _GLIBCXX_USE_STD_SPEC_FUNCS
#endif
"""
"""Of GNU's library, whose `cmath` has each program instantiate all of them."""
_RECIPE = Native(
    language="cpp",
    suffix=".cpp",
    compilers=("g++", "clang++"),
    package="g++",
    flags=("-std=c++17", "-O0", "-w"),
    precompiled=(("bits/stdc++.h", ("bits/stdc++.h",)), ("", _USUAL)),
    instantiated=tuple(f"std::vector<{item}>" for item in _ITEMS),
    seldom=_SPECIAL_FUNCTIONS,
    without_seldom=_WITHOUT_THEM,
)


def make_judge(sandbox: Sandbox) -> ProgramJudge:
    """Return the judge of C++."""
    return ProgramJudge("cpp", sandbox, _RECIPE)


def look_up() -> Toolchain:
    """Return what there is of C++."""
    return _RECIPE.toolchain()
