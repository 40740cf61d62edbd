"""Weights between a parent and its tuned model, where the whole change would forget too much.

Along the straight line from a model to its fine-tune, what is learnt comes early and what is
forgotten comes late: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models",
arXiv:2109.01903.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from training.tuning.scores import bits_per_byte, score
from training.tuning.trainer import free_memory, loaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from training.tuning.encoding import Encoder
    from training.tuning.scores import Case

_HALVINGS = 5
"""Of the line: its thirty-second is fine enough."""
_MARGIN = 0.01
"""Of the rise: the same texts in other batches round otherwise."""
_ADAPTER_CONFIG = "adapter_config.json"


def draw_back(
    parent: Path, out: Path, texts: Sequence[Case], encoder: Encoder, *, max_rise: float
) -> float:
    """Draw a run's weights towards its parent's until plain text costs no more than is allowed.

    `out/model` is written anew, and `out/adapter`, where there is one, scaled alike. The weights
    are held three times in float32 meanwhile.

    Args:
        parent: Hugging Face folder.
        out: Folder of the run.
        texts: Plain texts that nothing is learnt from.
        encoder: Of both models.
        max_rise: Share by which their bits per byte may rise.

    Returns:
        The share of the change that is kept, 0 to 1; 1 where all of it may be.
    """
    first, last = loaded(parent), loaded(out / "model")
    limit = _cost(first, texts, encoder) * (1 + max_rise * (1 - _MARGIN))
    share = 1.0
    if not _cost(last, texts, encoder) <= limit:  # a cost that is no number is none that is allowed
        line = _Line(first, last)
        share = _farthest(line, texts, encoder, limit)
        last.to(torch.bfloat16).save_pretrained(out / "model")
        _scale_adapter(out / "adapter", share)
        del line
    del first, last
    free_memory()
    return share


class _Line:
    """The straight line between two models; the second is moved along it."""

    def __init__(self, first: nn.Module, last: nn.Module) -> None:
        self.model = last
        self._first = [tensor.detach() for tensor in first.parameters()]
        pairs = zip(self._first, last.parameters(), strict=True)
        self._change = [end.detach() - start for start, end in pairs]

    @torch.no_grad()
    def move(self, share: float) -> None:
        """Go to a point: 0 is the first model, 1 the second."""
        own = self.model.parameters()
        for tensor, start, change in zip(own, self._first, self._change, strict=True):
            tensor.copy_((start + share * change).to(torch.bfloat16))  # as it will be written


def _farthest(line: _Line, texts: Sequence[Case], encoder: Encoder, limit: float) -> float:
    """Move to the farthest point where texts cost no more than a limit, and return it."""
    kept, refused = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (kept + refused) / 2
        line.move(middle)
        if _cost(line.model, texts, encoder) <= limit:
            kept = middle
        else:
            refused = middle
    line.move(kept)
    return kept


def _cost(model: nn.Module, texts: Sequence[Case], encoder: Encoder) -> float:
    return bits_per_byte(score(model, texts, encoder))


def _scale_adapter(folder: Path, share: float) -> None:
    """Make an adapter what the weights have become: its product is scaled by alpha / rank."""
    path = folder / _ADAPTER_CONFIG
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        config["lora_alpha"] *= share
        path.write_text(f"{json.dumps(config, indent=2)}\n", encoding="utf-8")
