"""The one engine of a machine: found, started once, started again, and left to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from fimble.engine import Finish, Query
from fimble.errors import EngineUnavailableError, ModelFolderError
from fimble.fim import FimOrder, infill_prompt
from fimble.manifest import load_manifest
from fimble.settings import EngineSettings
from lsp_server.engines.announcement import lock_path, running_engine
from lsp_server.engines.file_lock import FileLock, is_locked
from lsp_server.engines.shared import EngineLaunch, SharedEngine, engine_for
from lsp_server.engines.tgi import TgiEngine
from tests.engine.serve_process import PATIENCE_S, wait_until
from tests.engine.tgi_stand_in import TgiStandIn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from fimble.engine import Engine, Token
    from tests.engine.conftest import DamagedFolder

pytestmark = pytest.mark.e2e

SHORT = Query(parts=infill_prompt(prefix="a = ", suffix="\n", order=FimOrder.SPM), max_new_tokens=4)
LONG = Query(parts=SHORT.parts, max_new_tokens=1500)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of our own; whatever engine is left there is killed."""
    folder = tmp_path / "state"
    monkeypatch.setenv("FIMBLE_STATE_DIR", str(folder))
    yield folder
    for process in engines(folder):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(PATIENCE_S)


def engines(state: Path) -> list[psutil.Process]:
    """Return the engine processes that announce themselves in a state folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if "serve" in (process.info["cmdline"] or [])
        and any(str(state) in part for part in process.info["cmdline"])
    ]


def launch_of(model: Path, state: Path, *, idle_exit_s: int = 60) -> EngineLaunch:
    digest = load_manifest(model, verify=False).digest
    return EngineLaunch(
        model_folder=model,
        model_digest=digest,
        state_folder=state,
        threads=1,
        idle_exit_s=idle_exit_s,
    )


async def finish_of(engine: Engine, query: Query = SHORT) -> Finish:
    *_, last = [item async for item in engine.stream(query)]
    assert isinstance(last, Finish)
    return last


async def test_the_first_query_starts_the_engine_and_the_next_ones_find_it(
    model_folder: Path, state: Path
) -> None:
    first, second = (
        engine_for(EngineSettings(model=str(model_folder), threads=1)) for _ in range(2)
    )
    assert engines(state) == []

    assert (await finish_of(first)).cached_tokens == 0
    assert (await finish_of(second)).cached_tokens > 0

    (process,) = engines(state)
    assert (await first.info()).model_digest == load_manifest(model_folder).digest
    assert process.environ()["ORT_DISABLE_TELEMETRY"] == "1"
    assert process.environ()["HF_HUB_OFFLINE"] == "1"
    assert process.cwd() == str(state)
    assert os.getsid(process.pid) == process.pid, "it outlives the editor that started it"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for path in state.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    await first.close()
    await second.close()


async def test_an_engine_that_died_since_is_started_again(model_folder: Path, state: Path) -> None:
    engine = SharedEngine(launch_of(model_folder, state))
    await finish_of(engine)
    (old,) = engines(state)
    old.kill()
    await asyncio.to_thread(wait_until, lambda: not engines(state))

    assert (await finish_of(engine)).cached_tokens == 0

    (new,) = engines(state)
    assert new.pid != old.pid
    new.kill()
    await asyncio.to_thread(wait_until, lambda: not engines(state))
    assert (await engine.info()).max_total_tokens == 2048
    await engine.close()


async def test_an_engine_killed_in_the_middle_of_an_answer_is_an_error_and_comes_back(
    slow_model_folder: Path, state: Path
) -> None:
    engine = SharedEngine(launch_of(slow_model_folder, state))

    items = engine.stream(LONG)
    for _ in range(3):
        await anext(items)
    os.kill(engines(state)[0].pid, signal.SIGKILL)

    with pytest.raises(EngineUnavailableError):
        await rest_of(items)

    assert (await finish_of(engine)).generated_tokens == 4
    assert len(engines(state)) == 1
    await engine.close()


async def rest_of(items: AsyncGenerator[Token | Finish]) -> list[Token | Finish]:
    return [item async for item in items]


STARTER = """
import asyncio, json, sys
from pathlib import Path
from fimble.settings import EngineSettings
from lsp_server.engines.shared import engine_for

async def main() -> None:
    engine = engine_for(EngineSettings(model=sys.argv[1], threads=1))
    info = await engine.info()
    await engine.close()
    heavy = sorted({"numpy", "onnxruntime", "tokenizers", "torch"} & set(sys.modules))
    print(json.dumps([info.model_digest, heavy]))

sys.stdin.readline()
asyncio.run(main())
"""


def test_editors_that_start_at_once_share_one_engine(model_folder: Path, state: Path) -> None:
    """Six processes wait for a line, then all ask; none of them loads what the engine needs."""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(model_folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for starter in starters:
        assert starter.stdin
        starter.stdin.write("go\n")
        starter.stdin.flush()
    answers = [json.loads(starter.communicate(timeout=PATIENCE_S)[0]) for starter in starters]

    assert answers == [[load_manifest(model_folder).digest, []]] * 6
    assert len(engines(state)) == 1
    (log,) = state.glob("*.log")
    assert log.read_text().count("listens on") == 1


def test_a_project_with_modules_of_our_names_does_not_disturb(
    model_folder: Path, state: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("fimble.py", "json.py", "aiohttp.py", "numpy.py"):
        (project / name).write_text("raise SystemExit('the project was imported')\n")

    ended = subprocess.run(
        [sys.executable, "-P", "-c", STARTER, str(model_folder)],
        input="go\n",
        capture_output=True,
        text=True,
        cwd=project,
        timeout=PATIENCE_S,
        check=True,
    )

    assert json.loads(ended.stdout)[0] == load_manifest(model_folder).digest
    assert len(engines(state)) == 1


async def test_models_have_engines_of_their_own(
    model_folder: Path, slow_model_folder: Path, state: Path
) -> None:
    one, other = (
        SharedEngine(launch_of(folder, state)) for folder in (model_folder, slow_model_folder)
    )

    digests = {(await engine.info()).model_digest for engine in (one, other)}

    assert len(digests) == len(engines(state)) == 2
    await one.close()
    await other.close()


async def test_an_idle_engine_ends_and_the_next_query_starts_another(
    model_folder: Path, state: Path
) -> None:
    engine = SharedEngine(launch_of(model_folder, state, idle_exit_s=1))
    await finish_of(engine)
    await asyncio.to_thread(wait_until, lambda: not engines(state))
    assert list(state.glob("*.json")) == []

    assert (await finish_of(engine)).generated_tokens == 4
    await engine.close()


async def test_a_damaged_model_is_the_engines_own_message(
    damaged: DamagedFolder, state: Path
) -> None:
    data = (damaged.path / "model.onnx").read_bytes()
    damaged.rewrite("model.onnx", data[:-9], in_manifest=False)
    engine = SharedEngine(launch_of(damaged.path, state))

    for _ in range(2):
        with pytest.raises(ModelFolderError, match=r"model\.onnx differs from its manifest"):
            await finish_of(engine)

    assert engines(state) == []
    await engine.close()


async def test_a_stale_announcement_is_not_believed(model_folder: Path, state: Path) -> None:
    """It names a server that answers, but not our engine: nothing may be sent there."""
    launch = launch_of(model_folder, state)
    state.mkdir()
    async with TgiStandIn().running() as stranger:
        launch.announce.write_text(
            json.dumps({"url": stranger.url, "token": "t", "model_digest": "d", "pid": os.getpid()})
        )
        lock_path(launch.announce).touch()
        assert running_engine(launch.announce) is None
        engine = SharedEngine(launch)

        assert (await engine.info()).model_digest == launch.model_digest
        await finish_of(engine)

        assert stranger.bodies == []
        await engine.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"url": 1}', b"\xff\xfe"])
def test_a_torn_announcement_counts_as_none(tmp_path: Path, content: bytes) -> None:
    announce = tmp_path / "engine.json"
    announce.write_bytes(content)
    lock = FileLock(lock_path(announce))
    assert lock.try_acquire()

    assert running_engine(announce) is None

    lock.release()


def test_a_lock_ends_with_its_holder_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    code = (
        "import sys, pathlib; from lsp_server.engines.file_lock import FileLock\n"
        "lock = FileLock(pathlib.Path(sys.argv[1])); print(lock.try_acquire(), flush=True)\n"
        "sys.stdin.read()"
    )
    assert not is_locked(path)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        assert is_locked(path)
        assert not FileLock(path).try_acquire()
        holder.kill()
        holder.wait()

    assert not is_locked(path)
    lock = FileLock(path)
    assert lock.try_acquire()
    lock.release()
    assert not is_locked(path)


async def test_a_configured_tgi_is_used_instead(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "from the environment")
    async with TgiStandIn().running() as tgi:
        settings = EngineSettings(
            tgi_url=tgi.url,
            token_variable="MY_TOKEN",  # noqa: S106 - the name of a variable
            fim_format="starcoder",
        )
        engine = engine_for(settings)
        assert isinstance(engine, TgiEngine)
        await finish_of(engine)

        assert tgi.bodies[0]["inputs"] == "<fim_suffix>\n<fim_prefix>a = <fim_middle>"
        assert tgi.authorization == ["Bearer from the environment"]
        await engine.close()
    assert not state.exists()


def test_a_model_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="there is no model folder"):
        engine_for(EngineSettings(model=str(tmp_path / "nothing")))
    with pytest.raises(ModelFolderError, match=r"cannot read .*manifest\.json"):
        engine_for(EngineSettings(model=str(tmp_path)))
