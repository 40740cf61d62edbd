"""Every attack, in every tier that this machine has, as this user and as an ordinary one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval_harness.sandbox.tiers import TIERS
from tests.eval_harness.sandbox.attacks import ATTACKS
from tests.eval_harness.sandbox.host import Host, attack, complaint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eval_harness.sandbox.job import Sandbox

REPOSITORY = Path(__file__).resolve().parents[3]
NOBODY = 65534


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
    interpreter = _interpreter_for_nobody()
    if os.geteuid() != 0 or interpreter is None:
        pytest.skip("needs root, setpriv, and a Python and a checkout that everybody may read")
    folder = Path("/tmp") / f"{tmp_path.name}-{os.getpid()}"  # noqa: S108 - within reach of nobody
    folder.mkdir()
    shutil.chown(folder, NOBODY, NOBODY)
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(Path(__file__).parent)!r}]; "
        "import host; host.main()"
    )
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    try:
        done = subprocess.run(
            ["setpriv", *ids, interpreter, "-B", "-c", code, tier, str(folder)],
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
            cwd="/",
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if "missing" in found:
        pytest.skip(f"{tier}: {found['missing']}")
    assert found == {"complaints": {}}


def _interpreter_for_nobody() -> str | None:
    """Return a Python, ours or newer, with which an ordinary user may read this checkout."""
    if not shutil.which("setpriv"):
        return None
    check = (
        "import sys; import platform; "
        f"open({str(Path(__file__).with_name('host.py'))!r}).close(); "
        "sys.exit(sys.version_info < (3, 11))"
    )
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for candidate in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        if Path(candidate).exists():
            command = ["setpriv", *ids, candidate, "-c", check]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return candidate
    return None
