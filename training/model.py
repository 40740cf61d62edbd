"""The model: a plain Llama of transformers, and its loss.

Shapes: B = rows, T = tokens of a row, D = hidden size, V = vocabulary, N = B * (T - 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from fimble.fim import SPECIAL_TOKENS
from training.examples.build import END_ID, MIDDLE_ID, PAD_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.recipe import ModelShape

PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 peak by name of the card, for MFU. Source: NVIDIA's data sheets."""


class LossParts(NamedTuple):
    """Sums of negative log-likelihood in nats, and how many tokens they cover; each ()."""

    weighted_sum: Tensor
    """What is minimised, once it is divided by the weight of all rows of the step."""
    weight_sum: Tensor
    nll_sum: Tensor
    num_tokens: Tensor
    middle_nll_sum: Tensor
    num_middle_tokens: Tensor


def new_model(shape: ModelShape, vocab_size: int, *, seed: int) -> LlamaForCausalLM:
    """Return a model with fresh weights.

    Matrices are normal with standard deviation 0.02; those that write into the residual stream
    start at zero, so that every block starts as the identity (as in nanochat and muP).
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.hidden_size // shape.num_attention_heads,
        max_position_embeddings=shape.context_tokens,
        rms_norm_eps=shape.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        use_cache=False,
        dtype="float32",
    )
    assert vocab_size > len(SPECIAL_TOKENS)
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(parameter)
    return model


def middle_mask(ids_BT: Tensor) -> Tensor:
    """Return (B, T) bool: True on tokens of a middle and on the end token after it.

    Examples lie whole in a row and each ends with the end token, so a token is in a middle where
    the last mark before it is the middle's.
    """
    places_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
    last_middle_BT = torch.where(ids_BT == MIDDLE_ID, places_T, -1).cummax(-1).values
    last_end_BT = torch.where(ids_BT == END_ID, places_T, -1).cummax(-1).values
    before_BT = F.pad(last_end_BT[:, :-1], (1, 0), value=-1)
    return (last_middle_BT > before_BT) & (places_T > last_middle_BT)


class TrainingForward:
    """The forward pass of training: whole rows, plain causal attention, one loss per token.

    It calls the blocks of the model one by one. So identical blocks are compiled once (seconds, not
    minutes), and transformers builds no attention mask, which keeps flash attention in use.
    """

    def __init__(self, model: LlamaForCausalLM, *, is_compiled: bool) -> None:
        self._model = model
        self._blocks: list[Callable[..., Tensor]] = list(model.model.layers)
        self._head = _head_nll
        if is_compiled:
            self._blocks = [torch.compile(block, dynamic=False) for block in self._blocks]
            self._head = torch.compile(_head_nll, dynamic=False)

    def loss(self, ids_BT: Tensor, middle_weight: float) -> LossParts:
        """Return the loss of next-token prediction on some rows of a step.

        Sums, not means: so the loss of a step is the same however many passes and devices share it.

        Args:
            ids_BT: int64; padding is ignored as a target.
            middle_weight: Weight of targets within a middle, against 1.
        """
        nll_BT = self._nll(ids_BT)
        counted_BT = (ids_BT[:, 1:] != PAD_ID).float()
        middle_BT = middle_mask(ids_BT)[:, 1:].float() * counted_BT
        weight_BT = counted_BT + (middle_weight - 1) * middle_BT
        return LossParts(
            weighted_sum=(nll_BT * weight_BT).sum(),
            weight_sum=weight_BT.sum(),
            nll_sum=(nll_BT * counted_BT).sum().detach(),
            num_tokens=counted_BT.sum(),
            middle_nll_sum=(nll_BT * middle_BT).sum().detach(),
            num_middle_tokens=middle_BT.sum(),
        )

    def _nll(self, ids_BT: Tensor) -> Tensor:
        """Return (B, T-1) float32: negative log-likelihood of each next token, in nats."""
        llama = self._model.model
        hidden_BTD = llama.embed_tokens(ids_BT)
        places_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        rotary = llama.rotary_emb(hidden_BTD, position_ids=places_T.unsqueeze(0))
        if torch.is_autocast_enabled(ids_BT.device.type):
            hidden_BTD = hidden_BTD.to(torch.get_autocast_dtype(ids_BT.device.type))
        for block in self._blocks:
            hidden_BTD = block(hidden_BTD, attention_mask=None, position_embeddings=rotary)
        return self._head(llama.norm, hidden_BTD, self._model.lm_head.weight, ids_BT)


def _head_nll(norm: nn.Module, hidden_BTD: Tensor, weight_VD: Tensor, ids_BT: Tensor) -> Tensor:
    """Return (B, T-1) float32: loss of each next token; one function, so that it is fused."""
    logits_NV = F.linear(norm(hidden_BTD[:, :-1]), weight_VD).flatten(0, 1).float()
    targets_BT = ids_BT[:, 1:]
    return F.cross_entropy(logits_NV, targets_BT.flatten(), reduction="none").view_as(targets_BT)


def flops_per_token(shape: ModelShape, vocab_size: int) -> float:
    """Return the floating-point operations of one training step per token.

    Six per matrix parameter (head included), and causal attention.
    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, appendix B.
    """
    head_dim = shape.hidden_size // shape.num_attention_heads
    attention = (
        shape.hidden_size
        * head_dim
        * (2 * shape.num_attention_heads + 2 * shape.num_key_value_heads)
    )
    block = attention + 3 * shape.hidden_size * shape.intermediate_size
    matrices = shape.num_hidden_layers * block + vocab_size * shape.hidden_size
    scores = 6 * shape.num_hidden_layers * shape.hidden_size * shape.context_tokens
    return 6.0 * matrices + scores


def peak_flops(device: torch.device) -> float:
    """Return the dense bf16 peak of a card in FLOP/s; NaN where we do not know it."""
    if device.type != "cuda":
        return float("nan")
    name = torch.cuda.get_device_name(device)
    return next((flops for key, flops in PEAK_FLOPS.items() if key in name), float("nan"))
