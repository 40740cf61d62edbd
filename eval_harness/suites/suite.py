"""A suite: problems, what is known about them, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from eval_harness.problem import Problem


class Workspace(NamedTuple):
    """The files of one project, as an editor would find them on its disk."""

    name: str
    """The project's name, as prompts may say it."""
    files: Mapping[str, str]
    """Text by path, with slashes, LF only."""

    def others(self, problem: Problem) -> Mapping[str, str]:
        """Return every file but the problem's own, whose text holds the answer."""
        return {path: text for path, text in self.files.items() if path != problem.path}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Problems that are asked together."""

    name: str
    digest: str
    """SHA-256 over description, data, draw and languages: equal digests are equal problems."""
    problems: tuple[Problem, ...]
    licence: str = ""
    source: str = ""
    """Where the data comes from, for people."""
    data_of: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the data file that a problem comes from, by `Problem.key`; none of those that are
    drawn from a project."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """What programs need besides their language: names, by language."""
    known_bad: Mapping[str, str] = field(default_factory=dict)
    """Reason by `Problem.key`, of problems that their own solution does not pass."""
    contaminated: Mapping[str, str] = field(default_factory=dict)
    """What was found by `Problem.key`, of problems whose text stood in a corpus' sources."""
    unchecked: frozenset[str] = frozenset()
    """`Problem.key` of those that the corpus was not searched for; empty without a corpus."""
    corpus: str = ""
    """Name and digest of the corpus that the problems were compared with; empty without one."""
    workspaces: Mapping[str, Workspace] = field(default_factory=dict)
    """By `Problem.project`."""
    context: tuple[str, ...] = ()
    """Sources of the code of other files in the problems' `context` (`SnippetSource`), sorted."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the problems, sorted."""
        return tuple(sorted({problem.language for problem in self.problems}))
