from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from eval_harness.languages.artefacts import artefact
from eval_harness.languages.registry import JUDGED, judge_for
from eval_harness.sandbox.job import SandboxError
from eval_harness.sandbox.tiers import available_tiers, open_sandbox
from fimble.errors import InputError
from tests.eval_harness.languages.programs import QUESTIONS

WITHOUT_TOOLCHAINS = """
import sys
from eval_harness.languages.registry import judge_for
from eval_harness.sandbox.tiers import open_sandbox
from tests.eval_harness.languages.programs import QUESTIONS

sandbox = open_sandbox("none", is_unsafe_allowed=True)
for language, question in sorted(QUESTIONS.items()):
    judge = judge_for(language, sandbox)
    verdict = judge.judge(question.problem(language), question.right)
    print(language, verdict.state.value, bool(judge.toolchain().install))
sandbox.close()
"""


def python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **env},
    )
    return done.stdout


def test_a_missing_toolchain_is_said_and_never_a_failure() -> None:
    with tempfile.TemporaryDirectory() as empty:
        said = python(WITHOUT_TOOLCHAINS, PATH=empty, FIMBLE_CACHE_DIR=empty, NODE_PATH="")
    expected = [f"{language} toolchain_missing True" for language in sorted(QUESTIONS)]
    assert said.splitlines() == expected


def test_the_doctor_names_every_language_and_tier() -> None:
    code = "from eval_harness.doctor import doctor; doctor(is_json=True)"
    document = json.loads(python(code))
    assert [each["name"] for each in document["languages"]] == list(JUDGED)
    assert [each["name"] for each in document["sandboxes"]] == list(available_tiers())
    for each in document["languages"]:
        assert each["is_there"] or each["install"], each
    text = python("from eval_harness.doctor import doctor; doctor()")
    assert text.startswith("isolation")
    assert all(f"\n{language} " in text for language in JUDGED)


def test_every_judged_language_but_python_has_a_question() -> None:
    assert sorted({*QUESTIONS, "python"}) == list(JUDGED)


def test_an_unknown_language_is_the_users_mistake() -> None:
    sandbox = open_sandbox("none", is_unsafe_allowed=True)
    with pytest.raises(InputError, match="'cobol' cannot be judged"):
        judge_for("cobol", sandbox)
    sandbox.close()


def test_an_artefact_is_built_once_and_appears_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_CACHE_DIR", str(tmp_path))
    num_builds = 0

    def build(folder: Path) -> None:
        nonlocal num_builds
        num_builds += 1
        (folder / "it").write_text("done")

    places = {artefact("thing", "1.0", build=build) for _ in range(3)}
    assert num_builds == 1
    assert [(place / "it").read_text() for place in places] == ["done"]
    assert artefact("thing", "1.1", build=build) not in places


def test_an_artefact_that_cannot_be_built_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIMBLE_CACHE_DIR", str(tmp_path))

    def build(folder: Path) -> None:
        (folder / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(SandboxError, match="disk full"):
        artefact("thing", build=build)
    assert [each.name for each in (tmp_path / "toolchains").iterdir()] == [".thing.lock"]
