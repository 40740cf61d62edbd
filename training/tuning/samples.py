"""A model's own texts at places whose truth is known.

Shapes: B = prompts, T = tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import GenerationConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.tuning.encoding import Encoder
    from training.tuning.preference_recipe import SamplingConfig
    from training.tuning.record import Example


class Sample(NamedTuple):
    """One text of a model."""

    text: str
    has_ended: bool
    """It ended by itself."""


@torch.no_grad()
def sampled(
    model: Any,  # noqa: ANN401 - transformers types `generate` for a class of its own
    examples: Sequence[Example],
    encoder: Encoder,
    config: SamplingConfig,
    *,
    seed: int,
) -> Iterator[tuple[Example, list[Sample]]]:
    """Yield each example with different texts of the model; the first is the greedy one.

    The order is that of the prompts' lengths, and the draws depend on it: the same examples and
    seed give the same texts on the same machine.
    """
    model.eval()
    device = next(model.parameters()).device
    torch.manual_seed(seed)
    prompts = [(encoder.parts(each.prompt(encoder.fim_format)), each) for each in examples]
    prompts.sort(key=lambda pair: len(pair[0]))
    for start in range(0, len(prompts), config.prompts_at_once):
        batch = prompts[start : start + config.prompts_at_once]
        ids_BT, mask_BT = _left_padded([ids for ids, _ in batch], encoder.pad_id)
        found: list[list[Sample]] = [[] for _ in batch]
        for count in (1, config.per_prompt - 1):
            if count < 1:
                continue
            is_greedy = count == 1 and not found[0]
            written = model.generate(
                ids_BT.to(device),
                attention_mask=mask_BT.to(device),
                generation_config=_settings(config, encoder, 0 if is_greedy else count),
            )
            rows = written[:, ids_BT.shape[1] :].tolist()
            for number, row in enumerate(rows):
                found[number // count].append(sample_of(row, encoder))
        for (_, example), samples in zip(batch, found, strict=True):
            yield example, list(dict.fromkeys(samples))


@torch.no_grad()
def greedy(
    model: Any,  # noqa: ANN401
    prompts: Sequence[Sequence[int]],
    encoder: Encoder,
    *,
    max_new_tokens: int,
    at_once: int = 8,
) -> list[Sample]:
    """Return the most probable text of each prompt, in their order.

    Args:
        model: Of any family.
        prompts: Tokens.
        encoder: Of the model.
        max_new_tokens: Longer texts are cut.
        at_once: Prompts of one pass.
    """
    model.eval()
    device = next(model.parameters()).device
    samples: list[Sample] = []
    for start in range(0, len(prompts), at_once):
        ids_BT, mask_BT = _left_padded(prompts[start : start + at_once], encoder.pad_id)
        written = model.generate(
            ids_BT.to(device),
            attention_mask=mask_BT.to(device),
            generation_config=_generation(encoder, max_new_tokens),
        )
        rows = written[:, ids_BT.shape[1] :].tolist()
        samples += [sample_of(row, encoder) for row in rows]
    return samples


def _settings(config: SamplingConfig, encoder: Encoder, count: int) -> GenerationConfig:
    """Return how to write: `count` draws of each prompt, 0 for the most probable tokens."""
    drawn = {"do_sample": True, "temperature": config.temperature, "top_k": 0} if count else {}
    drawn["num_return_sequences"] = max(1, count)
    return _generation(encoder, config.max_new_tokens, **drawn)


def _generation(encoder: Encoder, max_new_tokens: int, **drawn: float) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(encoder.end_ids),
        pad_token_id=encoder.pad_id,
        use_cache=True,
        **drawn,
    )


def sample_of(row: Sequence[int], encoder: Encoder) -> Sample:
    """Return the text of written tokens, up to its end, with whatever marks stand in it."""
    end = next((n for n, token in enumerate(row) if token in encoder.end_ids), None)
    return Sample(encoder.decode(row[:end]), end is not None)


def _left_padded(
    prompts: Sequence[Sequence[int]], pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, T) tokens and mask of prompts that end together."""
    longest = max(map(len, prompts))
    ids = [[*[pad_id] * (longest - len(row)), *row] for row in prompts]
    mask = [[*[0] * (longest - len(row)), *[1] * len(row)] for row in prompts]
    return torch.tensor(ids), torch.tensor(mask)
