"""A real sandbox of the best tier, and judges of the languages that this machine can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from eval_harness.languages.language import Judge
from eval_harness.languages.registry import judge_for
from eval_harness.sandbox.tiers import available_tiers, open_sandbox

if TYPE_CHECKING:
    from eval_harness.sandbox.job import Sandbox

GetJudge = Callable[[str], Judge]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    if all(available_tiers().values()):
        pytest.skip(f"this machine offers no isolation: {available_tiers()}")
    opened = open_sandbox()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def get_judge(sandbox: Sandbox) -> Iterator[GetJudge]:
    """Return the judge of a language, or skip with what is missing."""
    judges: dict[str, Judge] = {}

    def get(language: str) -> Judge:
        if language not in judges:
            judges[language] = judge_for(language, sandbox)
        toolchain = judges[language].toolchain()
        if not toolchain.version:
            pytest.skip(f"{language} lacks {', '.join(toolchain.missing)}: {toolchain.install}")
        return judges[language]

    yield get
    for judge in judges.values():
        judge.close()
