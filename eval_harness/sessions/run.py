"""People type held-out code in real editor sessions; what they take is recorded as anybody's is.

Everything is kept in one folder: `data` is a data folder of Fimble, so that every command of
`fimble telemetry` works on it with `FIMBLE_DATA_DIR`. Which files and places somebody types at, and
where they look up, depends on seed and user alone, not on what is suggested; what they see depends
on how fast the machine answers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from eval_harness.heldout_lines import heldout_files
from eval_harness.sessions.client import LspError, start_client
from eval_harness.sessions.engine import end_engine, wait_for_engine
from eval_harness.sessions.person import Tally, Typist
from eval_harness.sessions.places import places_in
from fimble.content import LATER_S
from fimble.errors import EngineUnavailableError, InputError
from fimble.files import check_unused, write_json
from fimble.identity import share_key
from fimble.languages import by_name
from fimble.paths import model_dir
from fimble.settings import TelemetryLevel

if TYPE_CHECKING:
    from eval_harness.sessions.client import LspClient
    from eval_harness.sessions.recipe import SessionsRecipe
    from fimble.languages import Language

RECORD_NAME = "sessions.json"
_IDLE_EXIT_S = 60
"""If this process is killed, the engines it started end by themselves."""
_STATE = ("data", "state")
"""Folders of a run that Fimble keeps its own state in."""


class _File(NamedTuple):
    uri: str
    language: Language
    text: str


def run_sessions(recipe: SessionsRecipe, out: Path) -> dict[str, Any]:
    """Let everybody type, and return what happened, which stands in `sessions.json`, too.

    A folder that has this file is finished and left alone; one that an earlier run left
    unfinished is begun anew.

    Raises:
        InputError: The corpus has no held-out file to type in, or `out` holds something else.
        EngineUnavailableError: No engine starts, or a session breaks.
    """
    record_path = out / RECORD_NAME
    told = json.loads(json.dumps(dataclasses.asdict(recipe), default=str))
    if record_path.exists():
        found = json.loads(record_path.read_text(encoding="utf-8"))
        if found["recipe"] != told:
            raise InputError(f"{out} has sessions of another recipe; name another folder")
        return found
    files = _files(recipe)
    model = str(model_dir(recipe.model or None))
    environment = _environment(recipe, out)
    tally = Tally()
    try:
        asyncio.run(_all_users(recipe, files, model, environment, tally))
    finally:
        end_engine(out / "state")
    record = {**_counts(tally), "users": recipe.users, "model": model, "recipe": told}
    write_json(record_path, record)
    return record


def _files(recipe: SessionsRecipe) -> list[_File]:
    """Return what is typed in; in the same order everywhere."""
    files = []
    for project, name, path, text in heldout_files(recipe.corpus.expanduser()):
        language = by_name(name)
        if language is None or (recipe.languages and name not in recipe.languages):
            continue
        if "\r" not in text and places_in(text, language, random.Random(0)):  # noqa: S311 - a draw
            files.append(_File(f"file:///project/{project}/{path}", language, text))
    if not files:
        wanted = f" of {', '.join(recipe.languages)}" if recipe.languages else ""
        raise InputError(f"the corpus {recipe.corpus} has no held-out file to type in{wanted}")
    return sorted(files, key=lambda file: file.uri)


def _environment(recipe: SessionsRecipe, out: Path) -> dict[str, str]:
    """Make the folder, and return an environment that keeps the user's own state out of it.

    Raises:
        InputError: There is something else in the folder.
    """
    config = out / "fimble.toml"
    if not config.exists():
        check_unused(out)
    for name in _STATE:
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    share_key(out / "state", hashlib.sha256(b"people of fimble eval sessions").digest())
    config.write_text(f'[telemetry]\nlevel = "{recipe.level.value}"\n', encoding="utf-8")
    places = {f"FIMBLE_{name.upper()}_DIR": str((out / name).resolve()) for name in _STATE}
    experiments = recipe.experiments or out / "experiments"
    return {
        **places,
        "FIMBLE_CONFIG": str(config.resolve()),
        "FIMBLE_EXPERIMENTS_DIR": str(Path(experiments).expanduser().resolve()),
    }


async def _all_users(
    recipe: SessionsRecipe,
    files: list[_File],
    model: str,
    environment: dict[str, str],
    tally: Tally,
) -> None:
    """Let people sit down one after the other, and type at the same time.

    Raises:
        EngineUnavailableError: A session broke.
    """
    room, start = asyncio.Semaphore(recipe.at_once), asyncio.Lock()

    async def one(user: int) -> None:
        async with room:
            await _one_user(recipe, files, _Seat(user, model, environment, tally, start))

    try:
        async with asyncio.TaskGroup() as group:
            for user in range(recipe.users):
                group.create_task(one(user))
    except* EngineUnavailableError as broken:
        raise broken.exceptions[0] from None


class _Seat(NamedTuple):
    """Where a person sits."""

    user: int
    model: str
    environment: dict[str, str]
    tally: Tally
    start: asyncio.Lock
    """Held by who starts a server: many at once would each take as long as all of them."""


async def _one_user(recipe: SessionsRecipe, files: list[_File], seat: _Seat) -> None:
    """Type in file after file, in a session of one's own.

    Raises:
        EngineUnavailableError: The server gave up.
    """
    rng = random.Random(f"{recipe.seed} {seat.user}")  # noqa: S311 - a draw
    client: LspClient | None = None
    try:
        async with seat.start:
            client = await _started(recipe, seat)
        for file in rng.sample(files, min(recipe.visits, len(files))):
            await _visit(client, file, rng, recipe, seat.tally)
        if recipe.level is TelemetryLevel.CONTENT:
            # What became of the last suggestions is looked at after so long.
            await asyncio.sleep(LATER_S[0] + 1)
        await client.close()
    except (LspError, TimeoutError, ConnectionError) as error:
        why = str(error) or "the server did not answer in time"
        raise EngineUnavailableError(f"the session of user {seat.user} broke: {why}") from error
    finally:
        if client is not None:
            await client.kill()


async def _started(recipe: SessionsRecipe, seat: _Seat) -> LspClient:
    """Return a session that is ready to complete."""
    client = await start_client({**os.environ, **seat.environment})
    try:
        await client.initialize(
            options={
                "engine": {"model": seat.model, "idle_exit_s": _IDLE_EXIT_S},
                "completion": {"shown_after_ms": recipe.pace.shown_after_ms},
                "telemetry": {"user": f"simulated-{seat.user}"},
            },
            encodings=["utf-32"],
            name="fimble eval sessions",
        )
        await wait_for_engine(Path(seat.environment["FIMBLE_STATE_DIR"]), client.messages)
    except BaseException:
        await client.kill()
        raise
    return client


async def _visit(
    client: LspClient, file: _File, rng: random.Random, recipe: SessionsRecipe, tally: Tally
) -> None:
    """Open a file, and type at its places; it stays open, as it does in most editors."""
    client.open(file.text, uri=file.uri, language=file.language.lsp_ids[0])
    for place in places_in(file.text, file.language, rng):
        typist = Typist(client, file.uri, place, tally=tally, pace=recipe.pace)
        await typist.write(rng)


def _counts(tally: Tally) -> dict[str, Any]:
    """Return the numbers of a tally, and how long answers took."""
    counts = {
        field.name: getattr(tally, field.name)
        for field in dataclasses.fields(tally)
        if field.name != "samples"
    }
    latencies_ms = sorted(sample.latency_ms for sample in tally.samples)
    median_ms = latencies_ms[len(latencies_ms) // 2] if latencies_ms else None
    return {**counts, "num_answers": len(latencies_ms), "median_latency_ms": median_ms}
