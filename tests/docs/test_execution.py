"""The commands of README and docs do what they say: each page is run from its top to its end.

A few quick pages always; all of them with `make test-docs`.
"""

from pathlib import Path

import pytest

from docs.site.blocks import blocks, pages
from tests.docs.page_run import run_page, runnable

SAMPLE = Path("docs/start.md")
WITH_COMMANDS = [page for page in pages() if runnable(page)]


def check(page: Path, folder: Path) -> None:
    ran = run_page(page, folder, limit_s=1700)
    assert ran.returncode == 0, f"{ran.last_block}\n{ran.output[-4000:]}"
    assert ran.last_block == f"{page}:{runnable(page)[-1].line}"
    assert "Traceback" not in ran.output


@pytest.mark.e2e
@pytest.mark.slow
def test_who_follows_the_first_page_gets_a_completion_and_a_metric(tmp_path: Path) -> None:
    check(SAMPLE, tmp_path)


@pytest.mark.documentation
@pytest.mark.parametrize("page", [page for page in WITH_COMMANDS if page != SAMPLE], ids=str)
def test_the_commands_of_a_page_can_be_followed_in_order(page: Path, tmp_path: Path) -> None:
    check(page, tmp_path)


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    assert len(WITH_COMMANDS) >= 5
    page = tmp_path / "bad.md"
    page.write_text("```sh\ntrue\n```\n\n```sh\ntest -e 'é🙂'\r\n```\n\n```sh\ntouch there\n```\n")
    (tmp_path / "run").mkdir()
    ran = run_page(page, tmp_path / "run", limit_s=60)
    assert (ran.returncode, ran.last_block) == (1, f"{page}:6")
    assert not (tmp_path / "run" / "there").exists()


def test_a_block_that_is_not_run_says_why() -> None:
    found = [block for page in pages() for block in blocks(page) if block.is_shell]
    reasons = [block.not_run for block in found if block.not_run]
    assert all(len(reason) >= 5 for reason in reasons)
    assert len(found) - len(reasons) >= 10
