"""How probable a text is to a server that speaks TGI's API: what bits per byte are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import aiohttp

from fimble.errors import EngineError, EngineUnavailableError
from lsp_server.engines.segments import segments_of, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fimble.fim import FimFormat, Part

SILENCE_TIMEOUT_S = 300


class TgiScorer:
    """Asks `/generate` for the log-probabilities of its prompt.

    Args:
        url: Base URL of the server.
        fim_format: Sentinels of the model.
        token: Bearer token; empty sends none.
    """

    def __init__(self, url: str, *, fim_format: FimFormat, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._fim_format = fim_format
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._takes_segments: bool | None = None

    async def logprob(self, parts: Sequence[Part], text: str) -> float | None:
        """Return the natural logarithm of the probability that `text` follows the prompt.

        None where the server does not give it.

        Raises:
            EngineError: The server failed.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(
                headers=self._headers, timeout=timeout, trust_env=True
            ) as session:
                if self._takes_segments is None:
                    info = await self._get(session)
                    self._takes_segments = info.get("takes_segments") is True
                return await self._logprob(session, parts, text)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineUnavailableError(f"no answer from {self._url}: {error!r}") from error

    async def _logprob(
        self, session: aiohttp.ClientSession, parts: Sequence[Part], text: str
    ) -> float | None:
        # What the text adds to the number of tokens are its tokens, even where the vocabulary
        # joins it with the end of the prompt.
        whole = await self._post(session, "tokenize", [*parts, text])
        before = await self._post(session, "tokenize", parts)
        num_tokens = len(whole) - len(before)
        wanted: dict[str, object] = {"max_new_tokens": 1, "decoder_input_details": True}
        wanted["details"] = True
        answer = await self._post(session, "generate", [*parts, text], wanted)
        prefill = answer.get("details", {}).get("prefill") if isinstance(answer, dict) else None
        values = [row.get("logprob") for row in (prefill or [])[-num_tokens:]] if num_tokens else []
        if not values or None in values:
            return None
        return math.fsum(values)

    async def _get(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        async with session.get(f"{self._url}/info") as response:
            table = await response.json(content_type=None)
            return table if isinstance(table, dict) else {}

    async def _post(
        self,
        session: aiohttp.ClientSession,
        route: str,
        parts: Sequence[Part],
        parameters: dict[str, object] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        inputs: object = self._fim_format.render(parts)
        if self._takes_segments:
            inputs = to_json(segments_of(parts, self._fim_format))
        body = {"inputs": inputs, "parameters": parameters or {}}
        async with session.post(f"{self._url}/{route}", json=body) as response:
            if response.status != 200:
                text = (await response.text())[:200]
                raise EngineError(f"{self._url}/{route} answers {response.status}: {text}")
            return await response.json(content_type=None)
