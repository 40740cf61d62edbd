"""Problems that their own solution does not pass, each with the reason."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eval_harness.problem import Problem

_FILE = "known_bad.toml"


def known_bad_of(suite: str, problems: Iterable[Problem]) -> dict[str, str]:
    """Return the reason by `Problem.key` of those problems of a suite that are known to be bad.

    The file says it by suite, then language, then `problem_id`. Where it names a `group`, every
    problem of that group is bad: what is derived from a solution that fails, fails.
    """
    by_language = _known_bad().get(suite, {})
    found = {}
    for problem in problems:
        reasons = by_language.get(problem.language, {})
        reason = reasons.get(problem.problem_id) or reasons.get(problem.group)
        if reason:
            found[problem.key] = reason
    return found


@cache
def _known_bad() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    text = (files("eval_harness.suites") / _FILE).read_text(encoding="utf-8")
    table = tomllib.loads(text)
    for suite, languages in table.items():
        for language, reasons in languages.items():
            if not isinstance(reasons, dict) or not all(
                isinstance(r, str) for r in reasons.values()
            ):
                raise ConfigError(f"{_FILE}: [{suite}.{language}] must hold reasons by problem")
    return table
