"""Every attack, in every tier that this machine has, as this user and as an ordinary one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.sandbox.tiers import TIERS
from tests.eval_harness.sandbox.attacks import ATTACKS
from tests.eval_harness.sandbox.host import Host, attack, complaint
from tests.eval_harness.sandbox.ordinary import as_ordinary_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval_harness.sandbox.job import Sandbox


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    opened = Host(tmp_path_factory.mktemp("host"))
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_the_host_untouched(sandbox: Sandbox, host: Host, name: str) -> None:
    assert complaint(sandbox, host, name) == ""


def test_much_output_below_the_limit_arrives_whole(sandbox: Sandbox, host: Host) -> None:
    outcome = attack(sandbox, host, "os.write(1, b'')\nsys.stdout.write('é' * 300_000)")
    assert outcome.stdout == "é".encode() * 300_000


@pytest.mark.parametrize("tier", [*TIERS, "landlock 2"])  # 2: as Linux 5.19 has it
def test_an_ordinary_user_is_as_safe(tmp_path: Path, tier: str) -> None:
    folder = Path("/tmp") / f"{tmp_path.name}-{os.getpid()}"  # noqa: S108 - within reach of nobody
    found = as_ordinary_user("import host; host.main()", tier, folder=folder)
    assert found == {"complaints": {}}


@pytest.mark.parametrize("tier", [*TIERS, "landlock 2"])
def test_an_ordinary_user_judges_python(tmp_path: Path, tier: str) -> None:
    folder = Path("/tmp") / f"{tmp_path.name}-{os.getpid()}"  # noqa: S108 - within reach of nobody
    found = as_ordinary_user("import ordinary_judge as it; it.main()", tier, folder=folder)
    del found["signals its group"]  # that may be itself alone
    assert found == {
        "right": "passed",
        "wrong": "wrong",
        "exits": "wrong",
        "leaves a process": "passed",
        "right after that": "passed",
        "imports": "passed",
    }
