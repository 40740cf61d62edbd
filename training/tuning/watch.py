"""What preference tuning does to a model besides what it is asked to: watched, and limited.

A model that learns to prefer may do so by making both texts less likely, by liking length, by
forgetting the rest. So every few steps held-out examples and texts are looked at; the first look
outside the recipe's limits ends the run, with the weights of the last look within them.

Shapes: N = tokens that are compared, T = tokens of an example, V = vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from transformers import TrainerCallback

from training.tuning.scores import bits_per_byte, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from training.tuning.encoding import Encoded, Encoder
    from training.tuning.preference_recipe import LimitConfig
    from training.tuning.scores import Case
    from training.tuning.trainer import JsonLog

_COMPARED_TOKENS = 512
"""Of the parent's whole distributions; 16k words take 16 MB, 152k 156 MB."""


class WatchedPair(NamedTuple):
    """A held-out example, and a worse one where there is one."""

    chosen: Encoded
    rejected: Encoded | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look."""

    step: int
    chosen_drop: float
    """Nats a token by which chosen texts are less likely than under the parent."""
    rejected_drop: float | None
    preferred_share: float | None
    """Of the pairs, those whose chosen text gained more than the rejected one."""
    length_correlation: float | None
    """Between what a pair's chosen text has more tokens, and what it gained more: -1..1."""
    kl: float
    """Nats a token from the parent to the model, on chosen texts."""
    bits_per_byte: float
    bits_per_byte_rise: float
    """Share; of the parent's."""


class _Look(NamedTuple):
    """What a model makes of the watched texts."""

    chosen: list[float]
    """Log-likelihood of each."""
    rejected: list[float]
    log_probs: Tensor
    """(N, V): of the first tokens of chosen texts, float16 on the CPU."""
    bits_per_byte: float


class Watch(TrainerCallback):
    """Looks, judges, and holds the last good weights."""

    def __init__(
        self,
        pairs: Sequence[WatchedPair],
        texts: Sequence[Case],
        encoder: Encoder,
        limits: LimitConfig,
        log: JsonLog,
    ) -> None:
        """Prepare to watch.

        Args:
            pairs: Held-out examples, at least one.
            texts: Held-out plain texts, at least one.
            encoder: Of the model.
            limits: From the recipe.
            log: Where readings go.
        """
        self._pairs, self._texts, self._encoder = pairs, texts, encoder
        self._limits, self._log = limits, log
        self._parent: _Look | None = None
        self._good: tuple[int, dict[str, Tensor]] = (0, {})
        self.readings: list[Reading] = []
        self.reason = ""
        """Why the run was ended; empty where it was not."""

    @property
    def kept_step(self) -> int:
        """The step whose weights the model has at the end; 0 for the parent's."""
        return self._good[0]

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - transformers' signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        model: Any = None,  # noqa: ANN401 - a model of any family
        **others: object,  # noqa: ARG002
    ) -> None:
        """Look at the parent."""
        assert state.global_step == 0
        self._parent = self._look(model)
        self._good = (0, _learning_weights(model))

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,  # noqa: ANN401
        **others: object,  # noqa: ARG002
    ) -> None:
        """Look every few steps and after the last one; go back and stop outside the limits."""
        is_last = state.global_step >= state.max_steps
        if state.global_step % self._limits.every_steps and not is_last:
            return
        reading = self._read(state.global_step, model)
        self.readings.append(reading)
        self._log.write({"watch": asdict(reading)})
        self.reason = outside(reading, self._limits)
        if not self.reason:
            self._good = (state.global_step, _learning_weights(model))
            return
        control.should_training_stop = True
        self._restore(model)

    @torch.no_grad()
    def _restore(self, model: Any) -> None:  # noqa: ANN401
        parameters = dict(model.named_parameters())
        for name, weights in self._good[1].items():
            parameters[name].copy_(weights)

    def _read(self, step: int, model: Any) -> Reading:  # noqa: ANN401
        assert self._parent is not None
        parent, now = self._parent, self._look(model)
        gains = np.subtract(now.chosen, parent.chosen)
        chosen_tokens = _num_tokens([pair.chosen for pair in self._pairs])
        worse = [pair.rejected for pair in self._pairs if pair.rejected is not None]
        rejected_drop = preferred = correlation = None
        if worse:
            losses = np.subtract(now.rejected, parent.rejected)
            lengths = _num_tokens(worse)
            rejected_drop = float(-losses.sum() / lengths.sum())
            if len(worse) == len(self._pairs):
                preferred = float(np.mean(gains > losses))
                correlation = _correlation(chosen_tokens - lengths, gains - losses)
        divergence = F.kl_div(
            parent.log_probs.float(), now.log_probs.float(), log_target=True, reduction="sum"
        )
        rise = now.bits_per_byte / parent.bits_per_byte - 1
        return Reading(
            step=step,
            chosen_drop=float(-gains.sum() / chosen_tokens.sum()),
            rejected_drop=rejected_drop,
            preferred_share=preferred,
            length_correlation=correlation,
            kl=float(divergence) / len(now.log_probs),
            bits_per_byte=now.bits_per_byte,
            bits_per_byte_rise=rise,
        )

    @torch.no_grad()
    def _look(self, model: Any) -> _Look:  # noqa: ANN401
        was_training = model.training
        model.eval()
        chosen: list[float] = []
        kept: list[Tensor] = []
        num_kept = 0
        for pair in self._pairs:
            log_probs_TV, nats = _judged(model, pair.chosen)
            chosen.append(-nats)
            if num_kept < _COMPARED_TOKENS:
                kept.append(log_probs_TV[: _COMPARED_TOKENS - num_kept].half().cpu())
                num_kept += len(kept[-1])
        worse = [pair.rejected for pair in self._pairs if pair.rejected is not None]
        rejected = [-_judged(model, each)[1] for each in worse]
        model.train(was_training)
        return _Look(
            chosen=chosen,
            rejected=rejected,
            log_probs=torch.cat(kept),
            bits_per_byte=bits_per_byte(score(model, self._texts, self._encoder)),
        )


def outside(reading: Reading, limits: LimitConfig) -> str:
    """Return which limit a reading exceeds, in words; empty for none."""
    checks = (
        ("chosen_drop", reading.chosen_drop, limits.max_chosen_drop),
        ("kl", reading.kl, limits.max_kl),
        ("bits_per_byte_rise", reading.bits_per_byte_rise, limits.max_bits_per_byte_rise),
    )
    for name, value, limit in checks:
        if not value <= limit:  # what is no number is outside, too
            return f"{name} is {value:.4f} at step {reading.step}; at most {limit} is allowed"
    return ""


def _judged(model: Any, encoded: Encoded) -> tuple[Tensor, float]:  # noqa: ANN401
    """Return (T, V) log-probabilities of the middle's tokens, and their loss in nats."""
    device = next(model.parameters()).device
    ids = torch.tensor([encoded.ids], device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits_TV = model(input_ids=ids).logits[0, encoded.start - 1 : -1]
    log_probs_TV = F.log_softmax(logits_TV.float(), -1)
    nats = F.nll_loss(log_probs_TV, ids[0, encoded.start :], reduction="sum")
    return log_probs_TV, float(nats)


def _learning_weights(model: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Return a copy of the weights that learn, on the CPU."""
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def _num_tokens(encoded: Sequence[Encoded]) -> np.ndarray:
    return np.array([len(each.ids) - each.start for each in encoded])


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the correlation of two series; None where one does not vary."""
    if len(first) < 3 or min(first.std(), second.std()) < 1e-9:
        return None
    value = float(np.corrcoef(first, second)[0, 1])
    return value if math.isfinite(value) else None
