"""The seam between the language server (or the eval) and whatever generates text.

Implementers do not inherit: TGI over HTTP and the embedded engine both have this shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fimble.fim import Part

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class FinishReason(StrEnum):
    """Why the engine stopped by itself; the values are TGI's."""

    LENGTH = "length"
    END_TOKEN = "eos_token"  # noqa: S105 - a reason, not a password
    STOP_SEQUENCE = "stop_sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One request for text."""

    parts: tuple[Part, ...]
    """The prompt, see `fimble.fim.infill_prompt`."""
    beginning: str = ""
    """What the answer begins with, for engines that say `EngineInfo.takes_beginning`: what stands
    before the cursor, see `fimble.begun`. The stream holds what comes behind it."""
    max_new_tokens: int = 64
    temperature: float = 0.0
    """0 is greedy; above, samples are drawn with `seed`."""
    seed: int | None = None


class PromptCounts(NamedTuple):
    """How long a prompt was."""

    prompt_tokens: int
    cached_tokens: int
    """Those whose keys and values came from the cache; 0 where the engine does not say."""


class Token(NamedTuple):
    """One generated token, as it comes."""

    token_id: int
    text: str
    """What it adds to the text; empty within a character of several tokens."""
    logprob: float
    """Natural logarithm of its probability."""
    prompt: PromptCounts | None = None
    """With the first token, from an engine that says so early how long the prompt was."""


class Finish(NamedTuple):
    """Last item of a stream that ended by itself."""

    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens whose keys and values came from the cache; 0 where the engine does not say."""
    generated_tokens: int


class EngineInfo(NamedTuple):
    """What the engine says about itself; limits are TGI's `/info`."""

    model: str
    """Name of the model, as events and `fimble complete` report it."""
    model_digest: str
    """Identity of weights, tokenizer and format; empty where the engine does not say."""
    max_input_tokens: int
    max_total_tokens: int
    fim_format: str
    """Name in `fimble.fim.FORMATS`; empty where the engine does not say."""
    context: tuple[str, ...] = ()
    """`Manifest.context`; empty where the engine does not say."""
    takes_beginning: bool = False
    """Whether queries may have a `beginning`."""


class Engine(Protocol):
    """Generates text for prompts."""

    async def info(self) -> EngineInfo:
        """Return what the engine says about itself.

        Raises:
            EngineUnavailableError: Nothing answers.
        """
        ...

    def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield tokens as they come, then one `Finish`.

        Closing the generator (`aclose`) cancels the generation and frees the engine.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
            EngineOverloadedError: The engine refuses work for now.
            EngineUnavailableError: Nothing answers, or the engine went away.
            EngineError: The engine answered with any other error.
            SentinelInTextError: The engine takes only text, and the text spells a sentinel.
        """
        ...

    async def close(self) -> None:
        """Release connections; streams under way end."""
        ...
