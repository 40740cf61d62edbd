"""Toy runs for the tests of pretraining: seconds on one core, every part of the real thing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
POISON = "poison.py"
"""Path of the document that no model can learn."""
_RECIPE = """
name = "toy"
corpus = "{corpus}"
tokenizer = "{tokenizer}"
compile = false
jobs = 1
checkpoint_every_s = 0.0
log_every_steps = 1
{top}
[model]
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
context_tokens = 128
[examples]
chunk_bytes = [200]
header_rate = 1.0
repository_rate = 0.0
[schedule]
unit = "steps"
total = {steps}
warmup_steps = 3
decay_share = {decay_share}
[optimiser]
adamw_lr = 0.03
muon_lr = 0.05
[batch]
rows = 4
micro_rows = 2
[validation]
every_s = 1000000.0
bytes_per_language = 1000
cases_per_language = 2
completions_per_language = 0
[guard]
window_steps = 6
sigmas = 4.0
patience_steps = 1
skip_before_steps = 1
snapshot_steps = 4
{tables}
"""


def write_recipe(
    path: Path,
    corpus: Path,
    tokenizer: Path,
    *,
    steps: int,
    decay_share: float = 0.35,
    top: str = "",
    tables: str = "",
) -> Path:
    """Write a recipe; `top` and `tables` are TOML at its start and at its end."""
    text = _RECIPE.format(
        corpus=corpus,
        tokenizer=tokenizer,
        steps=steps,
        decay_share=decay_share,
        top=top,
        tables=tables,
    )
    path.write_text(text)
    return path


def write_corpus(folder: Path, documents: dict[str, str], *, held_out: str) -> Path:
    """Write a corpus of documents by path, and one document held out."""
    rows = [
        {"project": "toy", "path": path, "language": "python", "split": split, "text": text}
        for split, texts in (("train", documents), ("validation", {"held_out.py": held_out}))
        for path, text in texts.items()
    ]
    (folder / "files").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "files" / "part-0000.parquet")
    return folder


def easy_corpus(folder: Path, *, num_documents: int = 120, is_poisoned: bool = False) -> Path:
    """Write a corpus that is learnt in ten steps, and if wanted one document that never is."""
    documents = {
        f"module_{n}.py": f"def value_{n}():\n    return {n}\n\n\n" * 5
        for n in range(num_documents)
    }
    if is_poisoned:
        letters = random.Random(5).choices("qxzjkvwQXZJKVW%&~^#$", k=110)
        documents[POISON] = "".join(letters)
    return write_corpus(folder, documents, held_out=documents["module_3.py"])


def train_command(recipe: Path, out: Path) -> list[str]:
    """Return the command that trains a recipe in a process of its own."""
    return [sys.executable, "-m", "training.pretrain", str(recipe), str(out)]


def train(recipe: Path, out: Path) -> None:
    """Train in a process of its own."""
    subprocess.run(train_command(recipe, out), env=ENVIRONMENT, check=True)


def train_on_two_devices(recipe: Path, out: Path) -> None:
    """Train in two processes that share the work."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", *train_command(recipe, out)[1:]]
    subprocess.run(command, env=ENVIRONMENT, check=True)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON Lines file; none where it does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def losses(out: Path) -> list[tuple[int, float]]:
    """Return step and loss of every line of a log that has them, in order."""
    lines = lines_of(out / "log.jsonl")
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]
