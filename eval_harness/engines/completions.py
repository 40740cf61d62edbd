"""How probable a text is to a server with OpenAI's `/v1/completions`; vLLM says it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lsp_server.engines.connection import Server, json_object
from lsp_server.engines.openai import CompletionsEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.fim import FimFormat, Part

SILENCE_TIMEOUT_S = 300
"""A server that batches may say nothing for a while."""


class ScoringCompletions(CompletionsEngine):
    """Asks for answers as editors do, and for probabilities.

    Args:
        url: Base URL of the server, with or without `/v1`.
        fim_format: Sentinels of the model.
        token: Bearer token; empty sends none.
    """

    def __init__(self, url: str, *, fim_format: FimFormat, token: str = "") -> None:
        server = Server(
            url=url, token=token, uses_proxies=True, silence_timeout_s=SILENCE_TIMEOUT_S
        )
        super().__init__(server, fim_format=fim_format)

    async def logprob(self, parts: Sequence[Part], text: str) -> float | None:
        """Return the natural logarithm of the probability that `text` follows the prompt.

        None where the server does not echo prompts with their probabilities.

        Raises:
            EngineError: The server failed.
        """
        prompt = self.fim_format.render(parts)
        body = {
            "prompt": self.fim_format.render([*parts, text]),
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        table: Any = json_object(await self.completed(body))
        try:
            found = table["choices"][0]["logprobs"]
            end = len(prompt) + len(text)
            rows = zip(found["text_offset"], found["token_logprobs"], strict=True)
            # A token that reaches across the boundary belongs to the text.
            values = [value for start, value in rows if len(prompt) <= start < end]
            return math.fsum(values) if values else None
        except (KeyError, IndexError, TypeError):
            return None
