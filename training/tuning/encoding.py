"""Examples as token ids of any model family, as text that is never read as a mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.errors import ModelFolderError
from fimble.fim import FORMATS, Mark
from fimble.manifest import TOKENIZER_NAME
from training.examples.build import load_tokenizer
from training.tuning.record import REPLAY, Example, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fimble.fim import FimFormat, Part

AT_ONCE = 1000
"""Examples that are encoded together: their tokens, with all that is noted of each, take memory."""


class Encoded(NamedTuple):
    """One example."""

    ids: list[int]
    start: int
    """First token of the middle; of a plain text, its first token behind the header."""
    loss_start: int
    """First token that is learnt: that of the middle, or nearly all where it is replayed."""


class Encoder:
    """Encodes for one model."""

    def __init__(self, folder: Path, fim_format: str) -> None:
        """Read the vocabulary.

        Args:
            folder: Hugging Face folder with `tokenizer.json`.
            fim_format: Name in `fimble.fim.FORMATS`.

        Raises:
            ModelFolderError: There is no vocabulary, or it lacks a sentinel of the format.
        """
        path = folder / TOKENIZER_NAME
        if not path.is_file():
            raise ModelFolderError(
                f"there is no {path}; tuning needs the tokenizer.json of a model"
            )
        self.fim_format: FimFormat = FORMATS[fim_format]
        self._tokenizer = load_tokenizer(path)
        self._marks = {mark: self._mark_id(mark, path) for mark in Mark}
        end = self._marks[Mark.END]
        assert end is not None
        self.end_id: int = end
        ends = (self._tokenizer.token_to_id(text) for text in self.fim_format.ends)
        self.end_ids: frozenset[int] = frozenset(token for token in ends if token is not None)
        """Behind any of them nothing belongs to a completion."""
        padding = self._marks[Mark.PAD]
        self.pad_id: int = end if padding is None else padding
        # What the family puts in front of every text, such as its start token.
        lead = self._tokenizer.encode("", add_special_tokens=True).ids
        self.lead_ids: list[int] = [token for token in lead if token != end]

    def _mark_id(self, mark: Mark, path: Path) -> int | None:
        sentinel = self.fim_format.sentinel(mark)
        if not sentinel:
            return None
        for text in (sentinel, sentinel.strip()):
            if (found := self._tokenizer.token_to_id(text)) is not None:
                return found
        raise ModelFolderError(
            f"{path} has no token {sentinel.strip()!r}, which the FIM format "
            f"{self.fim_format.name!r} needs; set model.fim_format to the model's own family"
        )

    def parts(self, parts: Sequence[Part]) -> list[int]:
        """Return the ids of a prompt, what the family begins with included."""
        ids = list(self.lead_ids)
        for part in parts:
            ids += self._mark(part) if isinstance(part, Mark) else self.text(part)
        return ids

    def text(self, text: str) -> list[int]:
        """Return the ids of a text, sentinels in it read as text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, marks included."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def example(self, example: Example) -> Encoded:
        """Return an example with its end token; a plain text ends where it ends."""
        return self.examples([example])[0]

    def examples(self, examples: Sequence[Example]) -> list[Encoded]:
        """Return each of some examples as `example` does: together, they use every core."""
        return list(self.stream(examples))

    def stream(self, examples: Sequence[Example]) -> Iterator[Encoded]:
        """Yield what `examples` returns.

        No more of them are encoded than are asked for, but for the rest of `AT_ONCE`.
        """
        for start in range(0, len(examples), AT_ONCE):
            yield from self._batch(examples[start : start + AT_ONCE])

    def _batch(self, examples: Sequence[Example]) -> Iterator[Encoded]:
        prompts = [each.prompt(self.fim_format) for each in examples]
        texts = [
            part
            for example, prompt in zip(examples, prompts, strict=True)
            for part in (*prompt, example.middle)
            if not isinstance(part, Mark)
        ]
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        waiting = (each.ids for each in found)
        for example, prompt in zip(examples, prompts, strict=True):
            ids = list(self.lead_ids)
            for part in prompt:
                ids += self._mark(part) if isinstance(part, Mark) else next(waiting)
            start = len(ids)
            ids += next(waiting)
            if example.task is not Task.PLAIN:
                ids.append(self.end_id)
            # The first token of a row has nothing before it to be learnt from.
            yield Encoded(ids, start, 1 if example.task in REPLAY else max(1, start))

    def _mark(self, mark: Mark) -> list[int]:
        found = self._marks[mark]
        return [] if found is None else [found]

    def newline_ids(self) -> set[int]:
        """Return the tokens whose text starts with a line end."""
        size = self._tokenizer.get_vocab_size()
        decode = self._tokenizer.decode
        return {n for n in range(size) if decode([n]).startswith("\n")}
