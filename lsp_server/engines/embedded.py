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
    from lsp_server.engines.sequences import Lease

PREFILL_CHUNK_TOKENS = 128
"""A prompt is read in pieces of this size, so that others get their turn in between."""

CACHE_BYTES = 256 * 2**20
"""Sequences are kept up to this much memory, but never fewer or more than the counts below: enough
for the files of one user. More memory is for more users, and may hold more in proportion."""
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
        cache_bytes: Memory for sequences.

    Raises:
        ModelFolderError: The folder is damaged, or no model that this engine runs.
    """

    def __init__(self, folder: Path, *, num_threads: int, cache_bytes: int = CACHE_BYTES) -> None:
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
        affordable = cache_bytes // graph.sequence_bytes
        most = max(MOST_SEQUENCES, MOST_SEQUENCES * cache_bytes // CACHE_BYTES)
        self.max_parallel = min(max(affordable, FEWEST_SEQUENCES), most)
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
        beginning = Beginning(generation.beginning, self._spelling)
        ahead = _Ahead(lease, generation, beginning, cancellation)
        try:
            yield from ahead.read_prompt()
            yield from self._decode(ahead, generation, beginning)
        finally:
            self._pool.give_back(lease.sequence)

    def _decode(
        self, ahead: _Ahead, generation: Generation, beginning: Beginning
    ) -> Generator[GeneratedToken, None, None]:
        chooser = TokenChooser(generation.sampling, num_top=generation.num_top_tokens)
        decoder = TextDecoder(self.vocabulary)
        end = _End(generation)
        while True:
            choice = chooser.choose(beginning.only_fitting(ahead.scores), ahead.ids)
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
            ahead.append(token_id)


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


class _Ahead:
    """The scores of what comes next, found with as few forward passes as can be.

    They are remembered from the generation before, which often chose the same tokens; or they come
    from one pass over tokens that were guessed, where the guesses turn out to be right.

    Args:
        lease: The sequence to go on with.
        generation: What to do.
        beginning: What the answer begins with.
        cancellation: Ends a pass.
    """

    def __init__(
        self,
        lease: Lease[KeyValueSequence],
        generation: Generation,
        beginning: Beginning,
        cancellation: Cancellation,
    ) -> None:
        self.ids = list(generation.prompt_ids)
        """The prompt, and every token that was chosen."""
        self._sequence = lease.sequence
        self._generation = generation
        self._beginning = beginning
        self._cancellation = cancellation
        self._end_place = len(self.ids) + generation.max_new_tokens
        # Draws and penalties depend on what comes before: guesses would have to be weighed.
        can_guess = generation.sampling == GREEDY and lease.sequence.max_rows > NUM_DRAFTED_TOKENS
        self._drafts = Drafts(lease.former) if can_guess else None
        self._cached_tokens = 0 if generation.wants_prompt_logprobs else lease.cached_tokens
        self._rows: list[Scores] = []
        self._guessed: list[int] = []

    @property
    def scores(self) -> Scores:
        """The scores of what comes after `ids`."""
        return self._rows[0]

    def read_prompt(self) -> Generator[Prefilled, None, None]:
        """Read the prompt behind its cached start, and what of the answer can be guessed."""
        ids, wants_each = self.ids, self._generation.wants_prompt_logprobs
        start = self._cached_tokens
        if start == len(ids):
            known = self._sequence.scores_after(ids)
            if known is not None:
                self._rows = [known]
                yield Prefilled(0, start, None)
                return
            start = self._cached_tokens = start - 1
        size = 1 if wants_each else PREFILL_CHUNK_TOKENS
        while start < len(ids):
            piece = ids[start : start + size]
            guesses = self._guesses() if start + len(piece) == len(ids) else []
            self._run(piece, guesses, start)
            start += len(piece)
            next_logprob = None
            if wants_each and start < len(ids):
                next_logprob = float(log_softmax(self.scores)[ids[start]])
            yield Prefilled(len(piece), self._cached_tokens, next_logprob)

    def append(self, token_id: int) -> None:
        """Go on with the token that was chosen."""
        self.ids.append(token_id)
        del self._rows[0]
        if self._guessed and self._guessed.pop(0) == token_id:
            return
        known = self._sequence.scores_after(self.ids)
        if known is not None:
            self._rows = [known]
            self._guessed.clear()
        else:
            self._run([token_id], self._guesses(), len(self.ids) - 1)

    def _guesses(self) -> list[int]:
        """Return guesses at what follows `ids`."""
        if self._drafts is None:
            return []
        limit = min(self._end_place - len(self.ids) - 1, self._sequence.max_rows - 1)
        if not self._beginning.is_spelled:
            return self._beginning.guesses(limit=limit)
        return self._drafts.after(self.ids, limit=limit)

    def _run(self, piece: list[int], guesses: list[int], past_tokens: int) -> None:
        self._rows = self._sequence.run(
            [*piece, *guesses],
            past_tokens=past_tokens,
            cancellation=self._cancellation,
            num_scores=len(guesses) + 1,
        )
        self._guessed = list(guesses)
