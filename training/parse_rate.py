"""Do files still parse with what the model writes into them?

Greedy completions at held-out places, cut as the server cuts them, put into their files. A file
counts that parses without an error or an added token before; the parser is the corpus's, in a
process of its own, since a grammar can hang.

Shapes: B = prompts, T = tokens.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import GenerationConfig

from fimble.context import WindowBudget, window
from fimble.fim import FimOrder, infill_prompt
from fimble.languages import LANGUAGES, by_name
from fimble.stops import Site, StopReason, finish
from training.corpus.parse import Parser
from training.examples.build import (
    END_ID,
    PAD_ID,
    document_rng,
    encode_parts,
    flat,
    load_tokenizer,
)
from training.examples.documents import Documents
from training.examples.spans import line_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    from training.examples.documents import Document
    from training.recipe import ValidationConfig

NEW_TOKENS = 48
_MAX_FILE_BYTES = 40_000
"""Larger files cost more to parse than they tell."""
_PARSE_LIMIT_S = 2.0
_BATCH = 32
_SEED = 20_260_102
_NO_ERRORS = {language.name: 0.0 for language in LANGUAGES}


class CompletionCase(NamedTuple):
    """A place in a file that parses."""

    document: Document
    start: int
    """Characters of the file before the cursor."""
    stop: int
    """Where the text behind the cursor begins; what lies between is missing."""
    site: Site
    prompt_ids: list[int]


class ParseMeter:
    """Measures the share of files that still parse."""

    def __init__(
        self,
        documents: Path,
        tokenizer_path: Path,
        config: ValidationConfig,
        *,
        context_tokens: int,
    ) -> None:
        """Choose the places; the same for equal arguments.

        Args:
            documents: Held-out ones, from `write_documents`.
            tokenizer_path: `tokenizer.json`.
            config: How many places a language.
            context_tokens: Of the model; prompt and completion fit.
        """
        self._limit_tokens = context_tokens - NEW_TOKENS
        self._tokenizer = load_tokenizer(tokenizer_path)
        self._parser = Parser(_PARSE_LIMIT_S, _NO_ERRORS)
        self._cases = list(self._chosen(Documents(documents), config.completions_per_language))

    def close(self) -> None:
        """End the parser."""
        self._parser.close()

    def measure(self, model: LlamaForCausalLM) -> dict[str, float]:
        """Return `parse_rate/LANGUAGE`, 0..1, and their mean as `parse_rate/mean`."""
        results: dict[str, list[bool]] = defaultdict(list)
        for case, text in zip(self._cases, self._completions(model), strict=True):
            whole = case.document.text
            with_text = whole[: case.start] + text + whole[case.stop :]
            results[case.document.language].append(self._parses(case.document.language, with_text))
        rates = {f"parse_rate/{name}": sum(r) / len(r) for name, r in results.items()}
        if rates:
            rates["parse_rate/mean"] = sum(rates.values()) / len(rates)
        return rates

    def _parses(self, language: str, text: str) -> bool:
        return self._parser.verdict(language, text) == (language, None)

    def _chosen(self, documents: Documents, per_language: int) -> Iterator[CompletionCase]:
        """Yield the places, one a document, shortest prompts first."""
        counts: dict[str, int] = defaultdict(int)
        cases: list[CompletionCase] = []
        for number in (
            document_rng(_SEED, 0, -1).permutation(len(documents)) if per_language else ()
        ):
            doc_id = int(number)
            if counts[documents.language(doc_id)] >= per_language:
                continue
            document = documents[doc_id]
            if len(document.text) <= _MAX_FILE_BYTES and (case := self._case(document)):
                counts[document.language] += 1
                cases.append(case)
        yield from sorted(cases, key=lambda case: len(case.prompt_ids))

    def _case(self, document: Document) -> CompletionCase | None:
        if not document.text or not self._parses(document.language, document.text):
            return None
        start, stop = line_span(document.text, document_rng(_SEED, 1, document.doc_id))
        if not document.text[start:stop].strip():
            return None
        around = window(document.text[:start], document.text[stop:], WindowBudget())
        parts = infill_prompt(
            prefix=around.prefix, suffix=around.suffix, order=FimOrder.SPM, path=document.path
        )
        site = Site.at(around.prefix, around.suffix, by_name(document.language))
        ids = flat(encode_parts(parts, self._tokenizer))
        if len(ids) > self._limit_tokens:
            return None
        return CompletionCase(document, start, stop, site, ids)

    @torch.no_grad()
    def _completions(self, model: LlamaForCausalLM) -> list[str]:
        """Return what the model writes at each place, cut as the server cuts it."""
        device = next(model.parameters()).device
        settings = GenerationConfig(
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            use_cache=True,
            eos_token_id=END_ID,
            pad_token_id=PAD_ID,
        )
        was_training = model.training
        writer: Any = model.eval()  # transformers types `generate` for a class of its own
        texts: list[str] = []
        for start in range(0, len(self._cases), _BATCH):
            cases = self._cases[start : start + _BATCH]
            ids_BT = _left_padded([case.prompt_ids for case in cases]).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                written_BT = writer.generate(
                    ids_BT, attention_mask=ids_BT != PAD_ID, generation_config=settings
                )
            rows = written_BT[:, ids_BT.shape[1] :].tolist()
            texts += [
                _cut(ids, case, self._tokenizer) for case, ids in zip(cases, rows, strict=True)
            ]
        model.train(was_training)
        return texts


def _cut(ids: list[int], case: CompletionCase, tokenizer: Tokenizer) -> str:
    has_ended = END_ID in ids
    kept = ids[: ids.index(END_ID)] if has_ended else ids
    text = tokenizer.decode(kept, skip_special_tokens=False)
    return finish(text, case.site, StopReason.END_TOKEN if has_ended else StopReason.LENGTH).text


def _left_padded(prompts: list[list[int]]) -> torch.Tensor:
    """Return (B, T): prompts that end together, so that one pass continues all of them."""
    longest = max(map(len, prompts))
    return torch.tensor([[PAD_ID] * (longest - len(ids)) + ids for ids in prompts])
