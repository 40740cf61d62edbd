"""How `--model` is read: a URL, a folder, the name of a shipped model, or `canonical`."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eval_harness.engines.completions import ScoringCompletions
from eval_harness.engines.hugging_face import HuggingFaceEngine
from eval_harness.engines.scoring import TgiScorer
from eval_harness.models import CANONICAL, CanonicalModel, EngineModel, ModelIdentity, Sampling
from fimble.clock import SystemClock
from fimble.errors import EngineError, EngineUnavailableError, InputError
from fimble.files import sha256_of
from fimble.fim import FORMATS
from fimble.manifest import MANIFEST_NAME, TOKENIZER_NAME, load_manifest
from fimble.paths import model_dir, state_dir
from fimble.settings import load_settings
from lsp_server.engines.shared import EngineLaunch, SharedEngine, find_or_start
from lsp_server.engines.tgi import TgiEngine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from eval_harness.models import Model
    from fimble.fim import FimFormat, Part
    from fimble.settings import EngineSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """What a user says about the model."""

    name: str
    """URL, folder, name of a shipped model, or `canonical`."""
    fim_format: str = ""
    """Name in `FORMATS`, for models that do not say; empty is what `fimble.toml` says."""
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def has_chance(self) -> bool:
        """Whether asking twice may give two answers, or costs nothing."""
        return self.name == CANONICAL or self.sampling.temperature > 0

    def __post_init__(self) -> None:
        if self.fim_format and self.fim_format not in FORMATS:
            raise InputError(
                f"--fim-format is {self.fim_format!r}; allowed are {', '.join(FORMATS)}"
            )


async def open_model(choice: ModelChoice) -> Model:
    """Return the model that a user means.

    Raises:
        InputError: There is no such folder, or nothing that we can load in it.
        EngineError: Nothing answers at the URL, or nothing that we can ask.
    """
    settings = load_settings().engine
    if choice.name == CANONICAL:
        return CanonicalModel()
    if choice.name.startswith(("http://", "https://")):
        return await _served(choice, settings)
    folder = model_dir(choice.name)
    if not (folder / MANIFEST_NAME).is_file() and (folder / "config.json").is_file():
        return await _hugging_face(folder, choice)
    return _folder(folder, choice, settings)


async def _served(choice: ModelChoice, settings: EngineSettings) -> Model:
    """Return the model behind a URL: TGI's API where it is spoken, else OpenAI's."""
    token = os.environ.get(settings.token_variable, "")
    fim_format = FORMATS[choice.fim_format or settings.fim_format]
    reasons: list[str] = []
    if not choice.name.rstrip("/").endswith("/v1"):
        tgi = TgiEngine(choice.name, fim_format=fim_format, token=token, uses_proxies=True)
        try:
            info = await tgi.info()
        except EngineUnavailableError:
            await tgi.close()
            raise
        except EngineError as error:
            reasons.append(str(error))
            await tgi.close()
        else:
            known = FORMATS.get(info.fim_format, fim_format)
            scorer = TgiScorer(choice.name, fim_format=known, token=token)
            identity = ModelIdentity("tgi", "", "", fim_format.name, "")
            return EngineModel(tgi, scorer, identity, choice.sampling)
    openai = ScoringCompletions(choice.name, fim_format=fim_format, token=token)
    try:
        await openai.info()
    except EngineError as error:
        await openai.close()
        why = "; ".join([*reasons, str(error)])
        raise EngineError(f"{choice.name} speaks neither TGI's API nor OpenAI's: {why}") from error
    identity = ModelIdentity("openai", "", "", fim_format.name, "")
    return EngineModel(openai, openai, identity, choice.sampling)


async def _hugging_face(folder: Path, choice: ModelChoice) -> Model:
    engine = await asyncio.to_thread(HuggingFaceEngine, folder, format_name=choice.fim_format)
    identity = ModelIdentity("hugging_face", folder.name, "", "", _sha256_if_there(folder))
    return EngineModel(engine, engine, identity, choice.sampling)


def _sha256_if_there(folder: Path) -> str:
    path = folder / TOKENIZER_NAME
    return sha256_of(path) if path.is_file() else ""


def _folder(
    folder: Path,
    choice: ModelChoice,
    settings: EngineSettings,
) -> Model:
    manifest = load_manifest(folder, verify=False)
    launch = EngineLaunch(
        model_folder=folder,
        model_digest=manifest.digest,
        state_folder=state_dir(),
        threads=settings.threads,
        idle_exit_s=settings.idle_exit_s,
    )
    tokenizer = manifest.files.get(TOKENIZER_NAME)
    identity = ModelIdentity(
        kind="folder",
        name=manifest.name,
        digest=manifest.digest,
        fim_format=manifest.fim_format,
        tokenizer_sha256=tokenizer.sha256 if tokenizer else "",
    )
    scorer = _SharedScorer(launch, FORMATS[manifest.fim_format])
    return EngineModel(SharedEngine(launch), scorer, identity, choice.sampling)


class _SharedScorer:
    """Asks the machine's one engine for probabilities."""

    def __init__(self, launch: EngineLaunch, fim_format: FimFormat) -> None:
        self._launch = launch
        self._fim_format = fim_format

    async def logprob(self, parts: Sequence[Part], text: str) -> float | None:
        """Return the logarithm of the probability that `text` follows a prompt."""
        found = await asyncio.to_thread(find_or_start, self._launch, SystemClock())
        scorer = TgiScorer(found.url, fim_format=self._fim_format, token=found.token)
        return await scorer.logprob(parts, text)
