"""Sandboxes of every tier that this machine has, each opened once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eval_harness.sandbox.tiers import TIERS, available_tiers, open_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval_harness.sandbox.job import Sandbox


@pytest.fixture(scope="session", params=TIERS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    why_not = available_tiers()[request.param]
    if why_not:
        pytest.skip(f"{request.param}: {why_not}")
    opened = open_sandbox(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def best_sandbox() -> Iterator[Sandbox]:
    if all(available_tiers().values()):
        pytest.skip(f"no isolation here: {available_tiers()}")
    opened = open_sandbox()
    yield opened
    opened.close()
