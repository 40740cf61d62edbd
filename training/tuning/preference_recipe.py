"""Recipes of preferences: how a model's own texts are drawn, how they are learnt, when to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fimble.config import check_positive, check_shares
from fimble.errors import ConfigError
from training.tuning.recipe import AdapterConfig, LearningConfig, Method, ModelConfig


class Objective(StrEnum):
    """What preferences are learnt by."""

    DPO = "dpo"
    """Pairs of texts."""
    KTO = "kto"
    """Single texts, wanted or not."""
    GRPO = "grpo"
    """Texts that the model writes while it learns, judged by a project's tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How a model's own texts are drawn."""

    per_prompt: int = 4
    """Samples of one prompt; the first is greedy."""
    temperature: float = 0.8
    max_new_tokens: int = 64
    prompts_at_once: int = 8
    max_prompts: int = 2000
    """Of training."""
    max_held_out_prompts: int = 500

    def __post_init__(self) -> None:
        check_positive(self, ("per_prompt", "temperature", "max_new_tokens", "prompts_at_once"))
        check_positive(self, ("max_prompts", "max_held_out_prompts"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsRecipe:
    """Preferences without people: `fimble tune pairs`."""

    data: Path
    """Output folder of `fimble tune data`."""
    model: ModelConfig
    seed: int = 0
    differing_rate: float = 0.25
    """Share kept of the samples that differ from the truth and have no other fault, 0..1."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        check_shares(self, ("differing_rate",))


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConfig:
    """Where preference tuning stops and goes back to the last state within all limits."""

    max_chosen_drop: float = 0.05
    """Nats a token by which the chosen texts may become less likely than under the parent."""
    max_kl: float = 0.5
    """Nats a token between the model and its parent, on held-out chosen texts."""
    max_bits_per_byte_rise: float = 0.01
    """Share by which held-out plain text may cost more."""
    every_steps: int = 25
    """Steps between two looks."""
    num_pairs: int = 64
    """Held-out pairs or labels that are looked at."""
    num_texts: int = 32
    """Held-out plain texts."""

    def __post_init__(self) -> None:
        check_positive(self, ("max_chosen_drop", "max_kl", "max_bits_per_byte_rise"))
        check_positive(self, ("every_steps", "num_pairs", "num_texts"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """What a model writes while it learns by GRPO; of no meaning to DPO and KTO."""

    per_prompt: int = 8
    """Texts of one prompt that are compared; `learning.rows` counts texts, a multiple of it."""
    temperature: float = 1.0
    max_new_tokens: int = 64
    """A text that has not ended by itself until then fails, without a run of the tests."""
    held_out_places: int = 64
    """Held-out places that are filled before and after, with the most probable text each."""

    def __post_init__(self) -> None:
        check_positive(self, ("temperature", "max_new_tokens", "held_out_places"))
        if self.per_prompt < 2:
            raise ConfigError(f"per_prompt is {self.per_prompt}; texts are compared, so 2 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRecipe:
    """Preference tuning: `fimble tune prefer`."""

    name: str
    preferences: Path
    """Folder of `fimble tune pairs`, `fimble telemetry pairs` or `fimble eval feedback`; GRPO takes
    the last, whose project and tests must be as they were."""
    earlier_preferences: tuple[Path, ...] = ()
    """Folders of earlier turns, learnt and watched likewise; none for GRPO."""
    data: Path
    """Output folder of `fimble tune data`: its held-out texts are watched."""
    model: ModelConfig
    objective: Objective = Objective.DPO
    method: Method = Method.FULL
    seed: int = 0
    beta: float = 0.1
    """How dear it is to leave the parent; of GRPO, the weight of the KL divergence, often 0.001 to
    0.04."""
    sft_weight: float = 0.2
    """Of the plain likelihood of chosen texts, beside DPO's loss: against the collapse of both."""
    length_normalised: bool = False
    """Compare likelihoods a token, not of whole texts: against a taste for length."""
    min_weight: float = 0.0
    """Examples that are less sure are left out, 0..1."""
    held_out_cases: int = 200
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    learning: LearningConfig = field(default_factory=lambda: LearningConfig(lr=1e-5))
    limits: LimitConfig = field(default_factory=LimitConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        check_positive(self, ("beta", "held_out_cases"))
        check_shares(self, ("min_weight",))
        if self.sft_weight < 0:
            raise ConfigError(f"sft_weight is {self.sft_weight}; it must be 0 or more")
        if self.learning.checkpoint_every_steps:
            raise ConfigError(
                f"learning.checkpoint_every_steps is {self.learning.checkpoint_every_steps}; runs "
                "on preferences are short and begin anew: leave it out"
            )
        if self.objective is Objective.GRPO:
            self._check_reward()

    def _check_reward(self) -> None:
        rows, per_prompt = self.learning.rows, self.reward.per_prompt
        if rows % per_prompt:
            raise ConfigError(
                f"learning.rows is {rows}; GRPO takes a multiple of reward.per_prompt {per_prompt}"
            )
        if self.earlier_preferences:
            raise ConfigError("earlier_preferences is set; GRPO learns from one project's tests")
