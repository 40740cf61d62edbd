"""What is measured: a model behind an engine, or the true answers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from eval_harness.asking import Drawing, Said, ask, prompt_of
from fimble.clock import SystemClock
from fimble.context import WindowBudget
from fimble.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval_harness.problem import Problem
    from fimble.clock import Clock
    from fimble.engine import Engine, EngineInfo
    from fimble.fim import Part

CANONICAL = "canonical"


class ModelIdentity(NamedTuple):
    """What decides which answers a model gives; a run holds the answers of one."""

    kind: str
    """`canonical`, `tgi`, `openai`, `folder` or `hugging_face`."""
    name: str
    digest: str
    """Of weights, tokenizer and format; empty where a server does not say."""
    fim_format: str
    tokenizer_sha256: str
    """Empty where only a server knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How answers are drawn."""

    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    max_new_tokens: int = 0
    """Longest answer; 0 takes what each problem's extent asks for."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise InputError(f"--temperature is {self.temperature}; it must be 0 to 10")
        if self.max_new_tokens < 0:
            raise InputError(f"--max-new-tokens is {self.max_new_tokens}; it must be 0 or more")


class Model(Protocol):
    """Answers problems."""

    concurrency: int
    """Problems to ask at a time, where nobody says otherwise."""

    async def identity(self) -> ModelIdentity:
        """Return what decides its answers."""
        ...

    async def answer(self, suite: str, problem: Problem, number: int) -> Said:
        """Return answer `number` to a problem.

        Raises:
            EngineError: The engine failed.
        """
        ...

    async def logprob(self, problem: Problem) -> float | None:
        """Return the logarithm of the probability of the true answer, or None if unknown."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class CanonicalModel:
    """Knows the true answers: what a harness proves itself with."""

    concurrency = 1

    async def identity(self) -> ModelIdentity:
        """Return its name."""
        return ModelIdentity(CANONICAL, CANONICAL, "", "", "")

    async def answer(self, suite: str, problem: Problem, number: int) -> Said:
        """Return the true answer.

        Raises:
            InputError: The problem has none.
        """
        del number
        if problem.canonical is None:
            raise InputError(
                f"{suite}: {problem.key} comes without a true answer, so there is nothing for "
                "--model canonical to say"
            )
        return Said(problem.canonical, CANONICAL, 0.0, 0.0, 0, 0)

    async def logprob(self, problem: Problem) -> float | None:
        """Return None: it is certain of itself."""
        del problem
        return None

    async def close(self) -> None:
        """Nothing is to be released."""


class Scorer(Protocol):
    """Knows probabilities of texts."""

    async def logprob(self, parts: Sequence[Part], text: str) -> float | None:
        """Return the logarithm of the probability that `text` follows a prompt, or None."""
        ...


class EngineModel:
    """A model behind an engine.

    Args:
        engine: Where it is asked.
        scorer: Where probabilities are asked.
        identity: What decides its answers; name, digest and format may come from the engine.
        sampling: How answers are drawn.
    """

    def __init__(
        self,
        engine: Engine,
        scorer: Scorer,
        identity: ModelIdentity,
        sampling: Sampling,
    ) -> None:
        self._engine = engine
        self._scorer = scorer
        self._identity = identity
        self._sampling = sampling
        self._clock: Clock = SystemClock()
        self._known: EngineInfo | None = None
        # Side by side, problems on our own engine take its one core from each other.
        self.concurrency = 1 if identity.kind in {"folder", "hugging_face"} else 8

    async def identity(self) -> ModelIdentity:
        """Return what decides its answers.

        Raises:
            EngineError: The engine failed.
        """
        info = await self._info()
        return self._identity._replace(
            name=self._identity.name or info.model,
            digest=self._identity.digest or info.model_digest,
            fim_format=info.fim_format or self._identity.fim_format,
        )

    async def answer(self, suite: str, problem: Problem, number: int) -> Said:
        """Return answer `number` to a problem; its seed depends on nothing else.

        Raises:
            EngineError: The engine failed.
        """
        sampling = self._sampling
        seed = None
        if sampling.temperature > 0:
            seed = seed_of(sampling.seed, suite, problem, number)
        return await ask(
            problem,
            self._engine,
            await self._info(),
            self._clock,
            Drawing(sampling.temperature, seed, sampling.max_new_tokens),
        )

    async def logprob(self, problem: Problem) -> float | None:
        """Return the logarithm of the probability of the true answer, or None if unknown.

        Raises:
            EngineError: The engine failed.
        """
        if not problem.canonical:
            return None
        parts = prompt_of(problem, await self._info(), WindowBudget())
        return await self._scorer.logprob(parts, problem.canonical)

    async def _info(self) -> EngineInfo:
        """Return what the engine says about itself, asked once."""
        if self._known is None:
            self._known = await self._engine.info()
        return self._known

    async def close(self) -> None:
        """Release connections."""
        await self._engine.close()


def seed_of(seed: int, suite: str, problem: Problem, number: int) -> int:
    """Return the seed of one answer: 31 bits, which every server takes."""
    text = f"{seed}/{suite}/{problem.key}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
