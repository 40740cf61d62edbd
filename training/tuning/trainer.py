"""What supervised and preference tuning share of trl's trainers: settings, log, checkpoints."""

from __future__ import annotations

import gc
import json
import os
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from training.tuning.outcome import LOG_NAME
from training.tuning.scores import score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import Trainer, TrainerControl, TrainerState

    from training.tuning.encoding import Encoder
    from training.tuning.recipe import LearningConfig
    from training.tuning.scores import Case, CaseScore

_CHECKPOINTS = "checkpoints"
_RECOMPUTE = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")  # the newer name first
    if name in TrainingArguments.__dataclass_fields__
)


def trainer_settings(config: LearningConfig, out: Path, *, seed: int) -> dict[str, Any]:
    """Return the arguments that every trainer of trl takes.

    Defaults of trl that are switched off here: activations recomputed always, losses that are no
    number replaced in the log, trackers found by chance.
    """
    is_cuda = torch.cuda.is_available()
    num_devices = int(os.environ.get("WORLD_SIZE", "1"))
    saves = config.checkpoint_every_steps
    return {
        "output_dir": str(out / _CHECKPOINTS),
        "per_device_train_batch_size": config.micro_rows,
        "gradient_accumulation_steps": max(1, config.rows // config.micro_rows // num_devices),
        "learning_rate": config.lr,
        "lr_scheduler_type": "cosine",
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        _RECOMPUTE: config.recompute,
        "bf16": is_cuda,
        "use_cpu": not is_cuda,
        "dataloader_pin_memory": is_cuda,
        "remove_unused_columns": False,
        "logging_steps": config.log_every_steps,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "steps" if saves else "no",
        "save_steps": saves or 1,
        "save_total_limit": 1,
        "seed": seed,
        "data_seed": seed,
    }


def silence(trainer: Trainer) -> None:
    """Keep the numbers of a run off standard output, where the command's own answer goes."""
    trainer.remove_callback(PrinterCallback)


def last_checkpoint(out: Path) -> str | None:
    """Return the checkpoint that a run goes on from; None for one that begins."""
    folder = out / _CHECKPOINTS
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


class JsonLog(TrainerCallback):
    """Appends what a trainer logs to `log.jsonl`, one object a line."""

    def __init__(self, out: Path) -> None:
        self._path = out / LOG_NAME

    # pyrefly: ignore[missing-override-decorator] - typing has it from Python 3.12 on
    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - transformers' signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, float] | None = None,
        **others: object,  # noqa: ARG002
    ) -> None:
        """Write one line."""
        if state.is_world_process_zero and logs:
            self.write({"step": state.global_step, **logs})

    def write(self, line: dict[str, Any]) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


def loaded(folder: Path) -> Any:  # noqa: ANN401 - a class of the model's own family
    """Return the model in a Hugging Face folder, as it lies there."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
    )
    return model.to(device)


def free_memory() -> None:
    """Give back what models took that nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measured(folder: Path, cases: Sequence[Case], encoder: Encoder) -> list[CaseScore]:
    """Return the scores of the model in a Hugging Face folder."""
    model = loaded(folder)
    scores = score(model, cases, encoder)
    del model
    free_memory()
    return scores
