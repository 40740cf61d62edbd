"""Recipes of training runs: one frozen tree, read from TOML by `fimble.config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fimble.config import check_shares
from fimble.context import SNIPPET_BYTES
from fimble.errors import ConfigError


class ScheduleUnit(StrEnum):
    """What a schedule counts in."""

    SECONDS = "seconds"
    STEPS = "steps"


class MatrixOptimiser(StrEnum):
    """What trains the matrices of the blocks."""

    MUON = "muon"
    ADAMW = "adamw"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A Llama model with tied embeddings; names are those of its `config.json`."""

    hidden_size: int = 512
    intermediate_size: int = 1536
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    context_tokens: int = 2048
    rope_theta: float = 10_000.0
    """Loaders that ignore `rope_parameters` assume this value: never another."""
    rms_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads {self.num_attention_heads} is no multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.context_tokens < 64:
            raise ConfigError(f"context_tokens is {self.context_tokens}; it must be 64 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMix:
    """How middles are chosen; the shares are weights and need not sum to 1."""

    node: float = 0.35
    """A syntax node: expression, statement, block."""
    line: float = 0.35
    """From a place in a line to the end of this or a following line."""
    uniform: float = 0.3
    """Between two characters drawn uniformly (Bavarian et al. 2022): the long middles."""
    empty: float = 0.02
    """Nothing is missing: the model must end at once."""

    def __post_init__(self) -> None:
        weights = (self.node, self.line, self.uniform, self.empty)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ConfigError(f"span weights are {weights}; they must be 0 or more, one above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleConfig:
    """How documents become rows of tokens."""

    fim_rate: float = 0.75
    """Share of chunks that are rearranged, 0..1."""
    spm_share: float = 0.5
    """Share of rearranged chunks in SPM order, 0..1; the rest is PSM."""
    header_rate: float = 0.8
    """Share of chunks that start with the file's path, 0..1."""
    repository_rate: float = 0.2
    """Share of those that also name the project, 0..1."""
    empty_suffix_rate: float = 0.05
    """Share of rearranged chunks whose suffix is cut off, 0..1."""
    empty_prefix_rate: float = 0.03
    """Share of rearranged chunks whose prefix is cut off, 0..1."""
    window_rate: float = 0.0
    """Share of rearranged chunks cut to the window that the server would send, 0..1."""
    snippet_rate: float = 0.0
    """Share of rearranged chunks that get code of other files of their project, 0..1."""
    snippet_bytes: int = SNIPPET_BYTES
    """Code of other files in one example, with its paths; room for it is left by shorter chunks."""
    chunk_bytes: tuple[int, ...] = (6000, 4000, 2000)
    """Sizes of the chunks a document is cut into; one is drawn per chunk."""
    shard_bytes: int = 16 << 20
    """Text that is packed at a time; a process that does so holds some ten times as much."""
    spans: SpanMix = field(default_factory=SpanMix)

    def __post_init__(self) -> None:
        check_shares(
            self,
            (
                "fim_rate",
                "spm_share",
                "header_rate",
                "repository_rate",
                "empty_suffix_rate",
                "empty_prefix_rate",
                "window_rate",
                "snippet_rate",
            ),
        )
        if not self.chunk_bytes or min(self.chunk_bytes) < 64:
            raise ConfigError(f"chunk_bytes is {self.chunk_bytes}; sizes must be 64 or more")
        if self.snippet_bytes < 0:
            raise ConfigError(f"snippet_bytes is {self.snippet_bytes}; it must be 0 or more")
        if self.shard_bytes < 1 << 16:
            raise ConfigError(f"shard_bytes is {self.shard_bytes}; it must be 65536 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserConfig:
    """Muon for the matrices of the blocks, AdamW for embedding and norms; or AdamW for all."""

    matrices: MatrixOptimiser = MatrixOptimiser.MUON
    muon_lr: float = 0.02
    muon_weight_decay: float = 0.05
    muon_momentum: float = 0.95
    adamw_lr: float = 3e-3
    adamw_weight_decay: float = 0.0
    """Of embedding and norms."""
    adamw_matrix_weight_decay: float = 0.1
    """Of the matrices, where AdamW trains them."""
    adamw_beta1: float = 0.9
    adamw_beta2: float = 0.95
    middle_weight: float = 1.0
    """Weight of the loss on tokens of a middle and its end, against 1 for all other tokens."""

    def __post_init__(self) -> None:
        if self.middle_weight <= 0:
            raise ConfigError(f"middle_weight is {self.middle_weight}; it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """Warm-up, stable, linear decay to zero (WSD), counted by the clock or in steps.

    Source: Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4.
    """

    unit: ScheduleUnit = ScheduleUnit.SECONDS
    warmup_steps: int = 100
    total: float = 600.0
    """Length of training, in `unit`, warm-up and decay included."""
    decay_share: float = 0.35
    """Share of `total` that the decay takes, 0..1."""

    def __post_init__(self) -> None:
        if self.total <= 0 or not 0 <= self.decay_share <= 1 or self.warmup_steps < 0:
            raise ConfigError(f"schedule is {self}: total > 0, decay_share 0..1, warmup_steps >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How rows become steps."""

    rows: int = 128
    """Rows of `context_tokens` in one step, over all devices."""
    micro_rows: int = 64
    """Rows in one forward pass of one device."""

    def __post_init__(self) -> None:
        if self.rows < 1 or self.micro_rows < 1:
            raise ConfigError(
                f"rows {self.rows} and micro_rows {self.micro_rows} must be 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """Measurements on held-out projects while training runs."""

    every_s: float = 60.0
    """Seconds between measurements."""
    bytes_per_language: int = 100_000
    """Text for bits per byte."""
    cases_per_language: int = 100
    """Infilling cases of each kind; each is asked with its suffix and without."""
    completions_per_language: int = 20
    """Completions that are written out, and parsed in their file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """When a run takes steps back: at a loss that jumps, and at one that is no number.

    Source: window and sigmas are those of OLMo-core's `SkipStepOptimizer`, with medians in place of
    means; going back and leaving rows out is what PaLM did (Chowdhery et al. 2022,
    arXiv:2204.02311, section 5.1).
    """

    window_steps: int = 128
    """Steps before, whose losses say what is usual; judged from a quarter of them on."""
    sigmas: float = 6.0
    """Standard deviations above the median that are too much."""
    patience_steps: int = 3
    """Steps in a row that must lie above: one odd batch is no reason to go back."""
    skip_before_steps: int = 2
    """Steps before the first of those whose rows are left out as well: they may be the cause."""
    snapshot_steps: int = 50
    """Steps between two states that a run can go back to; two are kept, on the device."""
    max_rollbacks: int = 5
    """Times that a run goes back before it gives up."""

    def __post_init__(self) -> None:
        if min(self.window_steps, self.patience_steps, self.snapshot_steps) < 1:
            raise ConfigError(f"guard is {self}; window, patience and snapshot must be 1 or more")
        if self.snapshot_steps < self.patience_steps + self.skip_before_steps:
            raise ConfigError(
                f"guard.snapshot_steps is {self.snapshot_steps}; it must be "
                f"{self.patience_steps + self.skip_before_steps} or more, patience_steps and "
                "skip_before_steps together"
            )
        if min(self.skip_before_steps, self.max_rollbacks) < 0 or self.sigmas <= 0:
            raise ConfigError(
                f"guard is {self}; skip_before_steps and max_rollbacks must be 0 or more, "
                "sigmas above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConfig:
    """A run that begins with the weights of another one, or of a released model."""

    run: Path
    """Its folder, one that `python -m training.compact` wrote, or a model's: ours, Hugging Face."""
    optimiser: bool = True
    """Keep momentum and variance, where the folder has them; else a warm-up is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRecipe:
    """A pretraining run: everything that decides its result, besides the corpus itself."""

    name: str
    """Name of the model, such as `fimble-30m`."""
    corpus: Path
    """Output folder of `fimble corpus build`."""
    tokenizer: Path
    """`tokenizer.json` of `fimble vocab train`."""
    seed: int = 0
    checkpoint_every_s: float = 120.0
    """Seconds between checkpoints; the first state after that which is settled, is written."""
    log_every_steps: int = 10
    """Steps between lines of the log, after the first ten."""
    compile: bool = True
    """Compile the model; off for toy runs on a CPU."""
    jobs: int = 2
    """Processes that turn documents into rows."""
    report_to: tuple[str, ...] = ()
    """Trackers besides `log.jsonl`: tensorboard, wandb, mlflow, trackio."""
    start: StartConfig | None = None
    """None: fresh weights."""
    model: ModelShape = field(default_factory=ModelShape)
    examples: ExampleConfig = field(default_factory=ExampleConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        if self.log_every_steps < 1 or self.jobs < 1:
            raise ConfigError(
                f"log_every_steps {self.log_every_steps} and jobs {self.jobs} must be 1 or more"
            )
