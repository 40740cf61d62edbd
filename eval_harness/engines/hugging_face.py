"""A Hugging Face folder in this process, through transformers: the yardstick, not the fastest way.

One generation at a time; for speed, serve the folder with TGI or vLLM and give the URL.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from fimble.engine import EngineInfo, Finish, FinishReason, Token
from fimble.errors import InputError, ModelFolderError, PromptTooLongError
from fimble.files import sha256_of
from fimble.fim import FORMATS, Mark

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from pathlib import Path

    from fimble.engine import Query
    from fimble.fim import FimFormat, Part


class HuggingFaceEngine:
    """Implements `fimble.engine.Engine` with a causal language model of transformers.

    Args:
        folder: With `config.json`, weights and a tokenizer; nothing is downloaded.
        format_name: Name in `fimble.fim.FORMATS`; empty finds the one whose sentinels the
            vocabulary has.

    Raises:
        InputError: transformers or torch is not installed.
        ModelFolderError: The folder cannot be loaded, or knows no FIM format of ours.
    """

    def __init__(self, folder: Path, *, format_name: str = "") -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise InputError(
                f"{folder} is a Hugging Face folder, which needs the package {error.name}; install "
                "the extra: pip install 'fimble[train]'"
            ) from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelFolderError(f"cannot load {folder}: {error}") from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device).eval()
        self._folder = folder
        self._fim_format = FORMATS[format_name] if format_name else self._found_format()
        self._turn = asyncio.Lock()

    async def info(self) -> EngineInfo:
        """Return the folder's name, the digest of its files, and its limits."""
        limit = int(self._model.config.max_position_embeddings)
        digest = await asyncio.to_thread(folder_digest, self._folder)
        return EngineInfo(self._folder.name, digest, limit - 1, limit, self._fim_format.name)

    async def stream(self, query: Query) -> AsyncGenerator[Token | Finish]:
        """Yield tokens as they come, then one `Finish`; see `fimble.engine.Engine`.

        Raises:
            PromptTooLongError: The prompt and `max_new_tokens` exceed the context.
        """
        ids = self._encode(query.parts)
        limit = int(self._model.config.max_position_embeddings)
        if len(ids) + query.max_new_tokens > limit:
            raise PromptTooLongError(
                f"{len(ids)} prompt tokens and {query.max_new_tokens} new ones exceed {limit}"
            )
        async with self._turn:
            generated: list[int] = []
            text, reason = "", FinishReason.LENGTH
            steps = self._steps(ids, query)
            for _ in range(query.max_new_tokens):
                step = await asyncio.to_thread(next, steps)
                if step.token_id in self._ends():
                    reason = FinishReason.END_TOKEN
                    break
                generated.append(step.token_id)
                whole = self._tokenizer.decode(generated, skip_special_tokens=False)
                # Half of a character waits for its other half.
                new = "" if whole.endswith("\ufffd") else whole[len(text) :]
                text += new
                yield Token(step.token_id, new, step.logprob)
        yield Finish(reason, len(ids), 0, len(generated))

    async def logprob(self, parts: Sequence[Part], text: str) -> float:
        """Return the natural logarithm of the probability that `text` follows the prompt."""
        import torch

        prompt, target = self._encode(parts), self._encode((text,))

        def total() -> float:
            with torch.inference_mode():
                ids = torch.tensor([prompt + target], device=self._device)
                logits = self._model(ids).logits[0, len(prompt) - 1 : -1].float()
                chosen = torch.tensor(target, device=self._device).unsqueeze(-1)
                return float(logits.log_softmax(-1).gather(-1, chosen).sum())

        async with self._turn:
            return await asyncio.to_thread(total)

    async def close(self) -> None:
        """Nothing is to be released."""

    def _steps(self, ids: list[int], query: Query) -> Iterator[_Step]:
        import torch

        generator = torch.Generator().manual_seed(query.seed or 0)
        pending, past = torch.tensor([ids], device=self._device), None
        while True:
            with torch.inference_mode():
                output = self._model(pending, past_key_values=past, use_cache=True)
            past = output.past_key_values
            logits = output.logits[0, -1].float().cpu()
            if query.temperature > 0:
                weights = (logits / query.temperature).softmax(-1)
                token_id = int(torch.multinomial(weights, 1, generator=generator))
            else:
                token_id = int(logits.argmax())
            yield _Step(token_id, float(logits.log_softmax(-1)[token_id]))
            pending = torch.tensor([[token_id]], device=self._device)

    def _encode(self, parts: Sequence[Part]) -> list[int]:
        """Return the ids of a prompt; text is never read as a special token."""
        ids: list[int] = []
        for part in parts:
            if isinstance(part, Mark):
                sentinel = self._fim_format.sentinel(part)
                ids += [self._id(sentinel)] if sentinel.strip() else []
            else:
                found = self._tokenizer(part, add_special_tokens=False, split_special_tokens=True)
                ids += found["input_ids"]
        return ids

    def _id(self, sentinel: str) -> int:
        return int(self._tokenizer.convert_tokens_to_ids(sentinel.strip()))

    def _ends(self) -> set[int]:
        ends = self._model.generation_config.eos_token_id
        named = ends if isinstance(ends, list) else [ends]
        return {self._id(self._fim_format.end), *(end for end in named if end is not None)}

    def _found_format(self) -> FimFormat:
        vocabulary = self._tokenizer.get_vocab()
        for candidate in FORMATS.values():
            if all(sentinel in vocabulary for sentinel in candidate.sentinels()):
                return candidate
        raise ModelFolderError(
            f"the vocabulary of {self._folder} has the sentinels of no FIM format that we know; "
            f"--fim-format names one of {', '.join(FORMATS)}"
        )


class _Step(NamedTuple):
    token_id: int
    logprob: float


def folder_digest(folder: Path) -> str:
    """Return the digest of weights, configuration and tokenizer: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".bin", ".json", ".model", ".txt"}:
            digest.update(f"{path.name}:{sha256_of(path)}\n".encode())
    return digest.hexdigest()[:16]
