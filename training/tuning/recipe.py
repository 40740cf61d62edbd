"""Recipes of tuning: what to mine, how to tune, what a release must show."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fimble.config import check_positive, check_shares
from fimble.context import SNIPPET_BYTES
from fimble.errors import ConfigError
from fimble.fim import FIMBLE, FORMATS
from training.recipe import SpanMix


class Method(StrEnum):
    """Which weights learn."""

    FULL = "full"
    LORA = "lora"
    """Small matrices beside those of the model, which stay as they are."""
    QLORA = "qlora"
    """Likewise, and the model is held in 4 bits (NF4) meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningConfig:
    """Which examples a file gives."""

    per_task: int = 2
    """Most examples of one task and file."""
    max_middle_bytes: int = 700
    """Longer bodies and blocks are left out, as in Mellum (JetBrains)."""
    max_block_lines: int = 12
    """Of the code below a comment."""
    min_comment_words: int = 3
    """A comment with fewer says too little."""
    max_file_chars: int = 100_000
    test_bytes: int = 1200
    """Longer tests are not shown."""
    snippet_rate: float = 0.5
    """Share of the examples that get code of other files as the server chooses it, 0..1."""
    snippet_bytes: int = SNIPPET_BYTES
    fim_rate: float = 0.5
    """Share of the files that give a middle drawn as in pretraining, 0..1."""
    plain_rate: float = 0.1
    """Share of the files that give a plain text, 0..1."""
    spm_share: float = 0.7
    """Share of replayed middles in SPM order, 0..1; the rest is PSM."""
    chunk_bytes: int = 4000
    """Size of the piece that a replayed text or middle is drawn from."""
    replayed_pieces: int = 1
    """Pieces of a file that are drawn from, at most; the next ones follow the first."""
    replayed_draws: int = 1
    """Times that they are drawn: each cuts pieces and middles anew, as an epoch of pretraining."""
    spans: SpanMix = field(default_factory=SpanMix)

    def __post_init__(self) -> None:
        check_shares(self, ("snippet_rate", "fim_rate", "plain_rate", "spm_share"))
        check_positive(self, ("per_task", "max_middle_bytes", "max_block_lines", "max_file_chars"))
        check_positive(self, ("replayed_pieces", "replayed_draws"))
        if self.chunk_bytes < 64:
            raise ConfigError(f"chunk_bytes is {self.chunk_bytes}; it must be 64 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePair:
    """Two corpora that hold two releases of the same projects."""

    before: Path
    after: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """Instruction data: `fimble tune data`."""

    corpus: Path
    """Output folder of `fimble corpus build`: clean, decontaminated, split by project."""
    seed: int = 0
    jobs: int = 1
    """Processes."""
    per_cell: int = 2000
    """Most examples of one task and language, for training."""
    held_out_per_cell: int = 50
    messages: bool = False
    """Write chat records, too, for a model that was tuned to talk."""
    releases: tuple[ReleasePair, ...] = ()
    mining: MiningConfig = field(default_factory=MiningConfig)

    def __post_init__(self) -> None:
        check_positive(self, ("jobs", "per_cell", "held_out_per_cell"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The model that is tuned."""

    path: Path
    """Its Hugging Face folder, or one of our model folders; never a name to download."""
    fim_format: str = FIMBLE.name
    """Name in `fimble.fim.FORMATS`."""
    max_tokens: int = 2048
    """Longest example; longer ones are left out and counted."""

    def __post_init__(self) -> None:
        if self.fim_format not in FORMATS:
            raise ConfigError(
                f"fim_format is {self.fim_format!r}; allowed are {', '.join(sorted(FORMATS))}"
            )
        if self.max_tokens < 64:
            raise ConfigError(f"max_tokens is {self.max_tokens}; it must be 64 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """LoRA: see Hu et al. 2021, arXiv:2106.09685."""

    rank: int = 16
    alpha: int = 32
    """The adapter's product is scaled by alpha / rank."""
    dropout_rate: float = 0.0
    targets: tuple[str, ...] = ()
    """Names of the linear layers; none stands for all but the output projection."""

    def __post_init__(self) -> None:
        check_positive(self, ("rank", "alpha"))
        check_shares(self, ("dropout_rate",))


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningConfig:
    """How weights move."""

    lr: float = 1e-4
    """Peak; full fine-tunes of small models take 1e-4 to 3e-4, adapters about the same."""
    warmup_share: float = 0.05
    """Of the steps; then the rate falls to zero along a cosine."""
    weight_decay: float = 0.0
    epochs: float = 1.0
    max_steps: int = 0
    """0: as many as the epochs take."""
    rows: int = 16
    """Rows or pairs of one step."""
    micro_rows: int = 16
    """Rows or pairs of one forward pass."""
    recompute: bool = False
    """Recompute activations in the backward pass: a fifth slower, far less memory."""
    log_every_steps: int = 10
    checkpoint_every_steps: int = 0
    """0: none; a run that is started again goes on from the last one."""

    def __post_init__(self) -> None:
        check_positive(self, ("lr", "epochs", "rows", "micro_rows", "log_every_steps"))
        check_shares(self, ("warmup_share",))
        if self.rows % self.micro_rows:
            raise ConfigError(
                f"rows is {self.rows}; it must be a multiple of micro_rows {self.micro_rows}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SftRecipe:
    """Supervised tuning: `fimble tune sft`."""

    name: str
    """Name of the tuned model."""
    data: Path
    """Output folder of `fimble tune data`."""
    model: ModelConfig
    method: Method = Method.FULL
    seed: int = 0
    replay_share: float = 0.15
    """Share of the training examples that are drawn as in pretraining, 0..1."""
    replay_whole: bool = True
    """Learn all text around a replayed middle, too; a plain text is always learnt whole."""
    held_out_cases: int = 200
    """Held-out examples of each task to measure on, before and after."""
    max_bits_per_byte_rise: float = 0.0
    """Share by which held-out plain text may cost more: the weights are drawn back towards the
    parent's until it does not. 0: whatever it costs."""
    watched_data: Path | None = None
    """Output folder of `fimble tune data` whose plain text that is; `data` itself if not given."""
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)

    def __post_init__(self) -> None:
        check_shares(self, ("replay_share",))
        check_positive(self, ("held_out_cases",))
        if not self.max_bits_per_byte_rise >= 0:
            raise ConfigError(
                f"max_bits_per_byte_rise is {self.max_bits_per_byte_rise}; it must be 0 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """What a candidate must show against its parent, on the same held-out cases."""

    better_in: tuple[str, ...] = ("exact",)
    """Measures of which at least one must be better beyond chance."""
    max_worse: float = 0.01
    """Points (0..1) by which exact matches and stops may be worse at the interval's lower end."""
    max_bits_per_byte_rise: float = 0.01

    def __post_init__(self) -> None:
        allowed = {"exact", "stop", "bits"}
        if unknown := sorted(set(self.better_in) - allowed):
            raise ConfigError(
                f"better_in is {', '.join(unknown)}; allowed are {', '.join(sorted(allowed))}"
            )
        check_shares(self, ("max_worse",))
        check_positive(self, ("max_bits_per_byte_rise",))


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecipe:
    """The gate before a release: `fimble tune gate`."""

    data: Path
    """Output folder of `fimble tune data`."""
    parent: ModelConfig
    candidate: ModelConfig
    held_out_cases: int = 1000
    """Most of each task."""
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        check_positive(self, ("held_out_cases",))
        if self.parent.fim_format != self.candidate.fim_format:
            raise ConfigError(
                f"parent.fim_format is {self.parent.fim_format!r}, candidate.fim_format "
                f"{self.candidate.fim_format!r}; models are compared in one format"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyRecipe:
    """A model for one's own code: `fimble tune company`."""

    name: str
    """Name of the tuned model."""
    repository: Path
    """Folder of the code; nothing in it is changed."""
    model: ModelConfig
    method: Method = Method.FULL
    seed: int = 0
    jobs: int = 2
    """Processes that clean the code."""
    held_out_rate: float = 0.1
    """Share of the files that are never trained on, drawn by their paths, 0..1."""
    general_data: Path | None = None
    """Output folder of `fimble tune data` on other code, to see what is forgotten."""
    max_general_rise: float = 0.1
    """Share by which plain text of `general_data` may cost more bits per byte: the weights are
    drawn back towards the parent's until it does not."""
    held_out_cases: int = 300
    replay_share: float = 0.5
    """Share of the examples that are drawn as in pretraining: they hold most of the code, 0..1."""
    mining: MiningConfig = field(
        default_factory=lambda: MiningConfig(
            per_task=4, fim_rate=1.0, plain_rate=0.5, replayed_pieces=16
        )
    )
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    learning: LearningConfig = field(default_factory=lambda: LearningConfig(epochs=2.0))
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        check_shares(self, ("held_out_rate", "replay_share"))
        check_positive(self, ("held_out_rate", "jobs", "held_out_cases", "max_general_rise"))
