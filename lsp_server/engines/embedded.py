"""The embedded engine: runs a model folder in this process, one step at a time.

A generation is a Python generator. Between two of its items nothing runs, so a caller with several
generations decides which goes on; closing one gives its sequence back to the cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fimble.engine import FinishReason
from fimble.errors import ModelFolderError
from fimble.fim import FORMATS
from fimble.manifest import ONNX_NAME, TOKENIZER_NAME, load_manifest
from lsp_server.engines.beginning import Beginning, Spelling
from lsp_server.engines.drafts import NUM_DRAFTED_TOKENS, Drafts
from lsp_server.engines.graph import Graph
from lsp_server.engines.sampling import GREEDY, Candidate, Sampling, TokenChooser, log_softmax
from lsp_server.engines.sequences import SequencePool
from lsp_server.engines.vocabulary import TextDecoder, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from fimble.manifest import Manifest
    from lsp_server.engines.graph import Cancellation, KeyValueSequence
    from lsp_server.engines.sampling import Scores

PREFILL_CHUNK_TOKENS = 128
"""A prompt is read in pieces of this size, so that others get their turn in between."""

CACHE_BYTES = 256 * 2**20
"""Sequences are kept up to this much memory, but never fewer or more than the counts below."""
FEWEST_SEQUENCES = 4
MOST_SEQUENCES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One request to the embedded engine."""

    prompt_ids: tuple[int, ...]
    """At least one token; with `max_new_tokens` no more than the context holds."""
    max_new_tokens: int
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()
    """Texts that end the generation when a token ends with one of them."""
    num_top_tokens: int = 0
    """So many of the likeliest tokens are reported at each step."""
    beginning: str = ""
    """The answer begins with this; only what comes behind it is reported."""
    wants_prompt_logprobs: bool = False
    """Read the prompt token by token, without the cache, and report each one's probability."""


class Prefilled(NamedTuple):
    """A piece of the prompt was read."""

    new_tokens: int
    cached_tokens: int
    """Tokens at the start of the prompt that came from the cache."""
    next_logprob: float | None
    """Log-probability of the prompt's next token, where the request asks for it."""


class GeneratedToken(NamedTuple):
    """One token was generated."""

    token_id: int
    text: str
    """Whole characters that it completes; the name of a special token."""
    logprob: float
    is_special: bool
    top: tuple[Candidate, ...]
    finish: FinishReason | None
    """Set on the last token."""


Progress = Prefilled | GeneratedToken


class EmbeddedEngine:
    """A loaded model with its cache. Not for several threads at a time.

    Args:
        folder: A model folder with a graph for ONNX Runtime.
        num_threads: Threads of a forward pass.

    Raises:
        ModelFolderError: The folder is damaged, or no model that this engine runs.
    """

    def __init__(self, folder: Path, *, num_threads: int) -> None:
        self.manifest: Manifest = load_manifest(folder)
        for name in (ONNX_NAME, TOKENIZER_NAME):
            if name not in self.manifest.files:
                raise ModelFolderError(
                    f"{folder}: the manifest lists no {name}, which the embedded engine needs; "
                    "`fimble export` writes it"
                )
        shape = self.manifest.architecture
        self.vocabulary = Vocabulary(folder / TOKENIZER_NAME, size=shape.vocab_size)
        self._spelling = Spelling(self.vocabulary)
        end = FORMATS[self.manifest.fim_format].end
        if self.vocabulary.special_id(end) is None:
            raise ModelFolderError(
                f"{folder}: {TOKENIZER_NAME} lacks the end token {end!r} of the FIM format "
                f"{self.manifest.fim_format!r}"
            )
        graph = Graph(
            folder / ONNX_NAME,
            architecture=shape,
            context_tokens=self.manifest.context_tokens,
            num_threads=num_threads,
        )
        affordable = CACHE_BYTES // graph.sequence_bytes
        self.max_parallel = min(max(affordable, FEWEST_SEQUENCES), MOST_SEQUENCES)
        """Most generations that may be under way."""
        self._pool: SequencePool[KeyValueSequence] = SequencePool(
            graph.sequence, limit=self.max_parallel
        )

    def generate(
        self, generation: Generation, cancellation: Cancellation
    ) -> Generator[Progress, None, None]:
        """Yield what happens, step by step; the last item is a token with a finish reason.

        Raises:
            CancelledGenerationError: Somebody cancelled.
        """
        total = len(generation.prompt_ids) + generation.max_new_tokens
        assert generation.prompt_ids
        assert generation.max_new_tokens > 0
        assert total <= self.manifest.context_tokens
        lease = self._pool.lease(generation.prompt_ids)
        cached_tokens = 0 if generation.wants_prompt_logprobs else lease.cached_tokens
        try:
            logits = yield from _prefill(lease.sequence, cached_tokens, generation, cancellation)
            yield from self._decode(lease.sequence, logits, generation, cancellation)
        finally:
            self._pool.give_back(lease.sequence)

    def _decode(
        self,
        sequence: KeyValueSequence,
        logits: Scores,
        generation: Generation,
        cancellation: Cancellation,
    ) -> Generator[GeneratedToken, None, None]:
        chooser = TokenChooser(generation.sampling, num_top=generation.num_top_tokens)
        beginning = Beginning(generation.beginning, self._spelling)
        decoder = TextDecoder(self.vocabulary)
        end = _End(generation)
        ids = list(generation.prompt_ids)
        end_place = len(ids) + generation.max_new_tokens
        # Draws and penalties depend on what comes before: guesses would have to be weighed.
        can_guess = generation.sampling == GREEDY and sequence.max_rows > NUM_DRAFTED_TOKENS
        drafts = Drafts() if can_guess else None
        rows, guessed = [logits], list[int]()
        while True:
            choice = chooser.choose(beginning.only_fitting(rows.pop(0)), ids)
            token_id = choice.chosen.token_id
            special = self.vocabulary.specials.get(token_id)
            behind = beginning.behind(self.vocabulary.token_bytes(token_id))
            text = decoder.add_bytes(behind) if special is None else special
            finish = end.after(text, is_special=special is not None)
            if behind or special or finish:
                yield GeneratedToken(
                    token_id, text, choice.chosen.logprob, special is not None, choice.top, finish
                )
            if finish:
                return
            ids.append(token_id)
            if guessed and guessed.pop(0) == token_id:
                continue  # what comes after it is known already
            guessed = (
                drafts.after(ids, limit=end_place - len(ids) - 1)
                if drafts and beginning.is_spelled
                else []
            )
            rows = sequence.run_each(
                [token_id, *guessed], past_tokens=len(ids) - 1, cancellation=cancellation
            )


class _End:
    """Says when a generation ends, in TGI's order: length, end token, stop sequence.

    Source: text-generation-inference v3.3.7, utils/tokens.py (`StoppingCriteria`), with one
    difference: every special token ends, since none of them belongs into a completion.
    """

    def __init__(self, generation: Generation) -> None:
        self._tokens_left = generation.max_new_tokens
        # `$` also matches before a last line end: a stop text counts although "\n" follows it.
        self._stops = [re.compile(f"{re.escape(text)}$") for text in generation.stop]
        self._output = ""

    def after(self, text: str, *, is_special: bool) -> FinishReason | None:
        """Return the reason to end after one more token, or None."""
        self._tokens_left -= 1
        if self._tokens_left == 0:
            return FinishReason.LENGTH
        if is_special:
            return FinishReason.END_TOKEN
        if self._stops:
            self._output = (self._output + text)[-300:]
            if any(stop.search(self._output) for stop in self._stops):
                return FinishReason.STOP_SEQUENCE
        return None


def _prefill(
    sequence: KeyValueSequence,
    cached_tokens: int,
    generation: Generation,
    cancellation: Cancellation,
) -> Generator[Prefilled, None, Scores]:
    """Read the prompt after its cached start; return logits of its last token."""
    ids = generation.prompt_ids
    size = 1 if generation.wants_prompt_logprobs else PREFILL_CHUNK_TOKENS
    start = cached_tokens
    while True:
        piece = ids[start : start + size]
        logits = sequence.run(piece, past_tokens=start, cancellation=cancellation)
        start += len(piece)
        next_logprob = None
        if generation.wants_prompt_logprobs and start < len(ids):
            next_logprob = float(log_softmax(logits)[ids[start]])
        yield Prefilled(len(piece), cached_tokens, next_logprob)
        if start == len(ids):
            return logits
