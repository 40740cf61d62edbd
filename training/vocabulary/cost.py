"""What the size of a vocabulary costs a model: parameters, and operations for each byte of text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from training.recipe import ModelShape


class Cost(NamedTuple):
    """A model of one shape with one vocabulary."""

    num_parameters: int
    """Those of the matrices, the embedding (which is the head, too) included."""
    num_embedding_parameters: int
    train_flops_per_byte: float
    """Of a training step, by byte of text."""
    prefill_flops_per_byte: float
    """To read a prompt: no head, attention left out."""
    decode_flops_per_byte: float
    """To write text, with the head; the weights to be read from memory go with it."""

    @property
    def embedding_rate(self) -> float:
        """Share of the parameters that the embedding takes, 0 to 1."""
        return self.num_embedding_parameters / self.num_parameters


def cost(shape: ModelShape, size: int, bytes_per_token: float) -> Cost:
    """Return what a vocabulary costs a model.

    Args:
        shape: Of the model.
        size: Tokens of the vocabulary.
        bytes_per_token: Bytes of text that a token stands for.
    """
    from training.model import flops_per_token

    # Six operations for each parameter and token; the rest is attention, which grows with the
    # context, and is therefore nothing where two contexts meet at none.
    once = flops_per_token(replace(shape, context_tokens=1024), size)
    twice = flops_per_token(replace(shape, context_tokens=2048), size)
    num_parameters = round((2 * once - twice) / 6)
    embedding = size * shape.hidden_size
    return Cost(
        num_parameters=num_parameters,
        num_embedding_parameters=embedding,
        train_flops_per_byte=flops_per_token(shape, size) / bytes_per_token,
        prefill_flops_per_byte=2 * (num_parameters - embedding) / bytes_per_token,
        decode_flops_per_byte=2 * num_parameters / bytes_per_token,
    )
