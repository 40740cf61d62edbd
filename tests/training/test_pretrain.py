"""A real toy model: trained, killed, resumed, on one process and on two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from training.examples.build import END_ID, MIDDLE_ID, PAD_ID
from training.examples.shards import write_documents
from training.model import TrainingForward, flops_per_token, middle_mask, new_model
from training.optimiser import Optimisers, is_over, lr_factor
from training.recipe import (
    MatrixOptimiser,
    ModelShape,
    OptimiserConfig,
    ScheduleConfig,
    ScheduleUnit,
    ValidationConfig,
)
from training.validation import Row, measure, newline_ids, validation_rows

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = ModelShape(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    context_tokens=256,
)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def write_recipe(path: Path, corpus: Path, tokenizer: Path, *, steps: int) -> Path:
    path.write_text(
        f"""
name = "toy"
corpus = "{corpus}"
tokenizer = "{tokenizer}"
compile = false
jobs = 1
checkpoint_every_s = 0.0
[model]
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
context_tokens = 256
[examples]
chunk_bytes = [600, 300]
[schedule]
unit = "steps"
total = {steps}
warmup_steps = 3
[batch]
rows = 8
micro_rows = 4
[validation]
every_s = 1000000.0
bytes_per_language = 3000
cases_per_language = 4
"""
    )
    return path


def train_command(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "training.pretrain", str(recipe), str(out)]


def losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.mark.slow
@pytest.mark.e2e
def test_a_killed_run_resumes_to_the_very_same_weights(
    corpus: Path, tokenizer_path: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "toy.toml", corpus, tokenizer_path, steps=12)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(train_command(recipe, whole), env=ENVIRONMENT, check=True)
    with subprocess.Popen(train_command(recipe, killed), env=ENVIRONMENT) as process:
        while process.poll() is None and max(_steps(killed), default=0) < 5:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "model").exists()
    subprocess.run(train_command(recipe, killed), env=ENVIRONMENT, check=True)
    expected = load_file(whole / "model" / "model.safetensors")
    actual = load_file(killed / "model" / "model.safetensors")
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert losses(killed)[10] == losses(whole)[10]
    assert losses(whole)[10] < losses(whole)[1] - 0.2


def _steps(out: Path) -> list[int]:
    return list(losses(out)) if (out / "log.jsonl").exists() else []


@pytest.mark.slow
@pytest.mark.e2e
def test_two_processes_train_as_one_does(
    corpus: Path, tokenizer_path: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "toy.toml", corpus, tokenizer_path, steps=4)
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run(train_command(recipe, one), env=ENVIRONMENT, check=True)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", *train_command(recipe, two)[1:]]
    subprocess.run(command, env=ENVIRONMENT, check=True)
    assert losses(two) == pytest.approx(losses(one), rel=1e-6)


def test_the_loss_of_training_is_that_of_transformers() -> None:
    model = new_model(SHAPE, 512, seed=1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    ids_BT = torch.randint(64, 512, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = TrainingForward(model, is_compiled=False).loss(ids_BT, 1.0)
        theirs = model(input_ids=ids_BT, labels=ids_BT).loss
    assert float(ours.weighted) == pytest.approx(float(theirs), rel=1e-5)
    assert int(ours.num_tokens) == 3 * 39


def test_middles_are_weighted_and_padding_is_ignored() -> None:
    model = new_model(SHAPE, 512, seed=1)
    row = [100, 101, MIDDLE_ID, 102, END_ID, PAD_ID]
    ids_BT = torch.tensor([row])
    with torch.no_grad():
        parts = TrainingForward(model, is_compiled=False).loss(ids_BT, 3.0)
        logprobs = model(input_ids=ids_BT).logits[0].log_softmax(-1)
    assert int(parts.num_tokens) == 4
    assert int(parts.num_middle_tokens) == 2
    nll = [-float(logprobs[place, row[place + 1]]) for place in range(4)]
    expected = (nll[0] + nll[1] + 3 * nll[2] + 3 * nll[3]) / 8
    assert float(parts.weighted) == pytest.approx(expected, rel=1e-5)


def test_the_middle_mask_covers_middles_with_their_end_and_nothing_else() -> None:
    m, e = MIDDLE_ID, END_ID
    ids_BT = torch.tensor([[90, 91, e, 90, m, 92, 93, e, 90, e, 90, m, e]])
    expected = [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1]
    assert middle_mask(ids_BT).int().tolist() == [expected]


def test_exact_match_without_generation_is_that_of_greedy_decoding() -> None:
    model = new_model(SHAPE, 512, seed=3)
    for _name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    prompt = [70, 80, 90, MIDDLE_ID]
    ids = prompt.copy()
    for _ in range(3):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    ends = [*ids, END_ID]
    wrong = [*ids[:-1], ids[-1] ^ 1, END_ID]
    following = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    rows = [Row("line/spm", "right", ends, len(prompt), 3)]
    rows.append(Row("line/spm", "wrong", wrong, len(prompt), 3))
    scores = measure(model, rows, vocab_newline_ids={following})
    assert scores["exact_match/line/spm/right"] == 1.0
    assert scores["exact_match/line/spm/wrong"] == 0.0
    assert scores["stop_accuracy/line/spm/right"] == float(following == END_ID)


def test_bits_per_byte_of_a_uniform_model_is_its_entropy() -> None:
    model = new_model(SHAPE, 512, seed=0)
    torch.nn.init.zeros_(model.model.embed_tokens.weight)
    rows = [Row("plain", "python", list(range(100, 141)), 1, 80)]
    scores = measure(model, rows, vocab_newline_ids=set())
    assert scores["bits_per_byte/python"] == pytest.approx(40 * 9 / 80)


def test_middle_bits_leave_out_the_prompt_and_the_end_token() -> None:
    model = new_model(SHAPE, 512, seed=0)
    torch.nn.init.zeros_(model.model.embed_tokens.weight)
    rows = [Row("line/spm", "python", [70, 80, MIDDLE_ID, 100, 101, 102, END_ID], 3, 12)]
    scores = measure(model, rows, vocab_newline_ids=set())
    assert scores["middle_bits_per_byte/line/spm/python"] == pytest.approx(3 * 9 / 12)
    assert "bits_per_byte/mean" not in scores


def test_every_case_is_asked_with_its_suffix_and_without(
    corpus: Path, tokenizer_path: Path, tmp_path: Path
) -> None:
    write_documents(corpus, "validation", tmp_path / "held-out.arrow")
    config = ValidationConfig(bytes_per_language=1, cases_per_language=3)
    rows = validation_rows(tmp_path / "held-out.arrow", tokenizer_path, config, context_tokens=4096)
    groups = {row.group for row in rows if row.group.endswith("no_suffix")}
    assert {"line/spm/no_suffix", "line/psm/no_suffix"} <= groups
    for group in groups:
        without = [row for row in rows if row.group == group]
        full = [row for row in rows if row.group == group.removesuffix("/no_suffix")]
        assert [row.ids[row.start :] for row in full] == [row.ids[row.start :] for row in without]
        assert all(a.start > b.start for a, b in zip(full, without, strict=True))


def test_adamw_trains_the_matrices_where_it_is_told_to() -> None:
    config = OptimiserConfig(matrices=MatrixOptimiser.ADAMW, adamw_lr=0.1)
    model, reference = (new_model(SHAPE, 512, seed=2) for _ in range(2))
    chosen = {n for n, p in reference.named_parameters() if p.ndim == 2 and ".layers." in n}
    groups = [
        {"params": [p for n, p in reference.named_parameters() if n not in chosen]},
        {
            "params": [p for n, p in reference.named_parameters() if n in chosen],
            "weight_decay": 0.1,
        },
    ]
    expected = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.95), weight_decay=0.0)
    for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
        parameter.grad = torch.full_like(parameter, 0.3)
        other.grad = parameter.grad.clone()
    optimisers = Optimisers(model, config)
    optimisers.step(0.5)
    expected.step()
    assert list(optimisers.state_dict()) == ["adamw"]
    assert len(chosen) == 14
    for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.equal(parameter, other)
        assert parameter.grad is None


def test_the_schedule_warms_up_holds_and_decays_to_zero_by_the_clock() -> None:
    schedule = ScheduleConfig(total=100, decay_share=0.4, warmup_steps=10)
    factors = [
        lr_factor(schedule, step=step, elapsed_s=elapsed)
        for step, elapsed in ((0, 0.0), (4, 1.0), (50, 50.0), (80, 80.0), (99, 99.0))
    ]
    assert factors == pytest.approx([0.1, 0.5, 1.0, 0.5, 0.025])
    assert not is_over(schedule, step=10**9, elapsed_s=99.9)
    assert is_over(schedule, step=0, elapsed_s=100.0)


def test_the_schedule_counts_steps_where_it_is_told_to() -> None:
    schedule = ScheduleConfig(unit=ScheduleUnit.STEPS, total=10, decay_share=0.5, warmup_steps=0)
    assert lr_factor(schedule, step=9, elapsed_s=1e9) == pytest.approx(0.2)
    assert is_over(schedule, step=10, elapsed_s=0.0)


def test_flops_are_those_counted_by_hand_for_the_60m_shape() -> None:
    shape = ModelShape(
        hidden_size=640,
        intermediate_size=1792,
        num_hidden_layers=12,
        num_attention_heads=10,
        num_key_value_heads=5,
    )
    # 12 blocks of 640 * 64 * 30 + 3 * 640 * 1792 weights and a head of 16384 * 640.
    assert flops_per_token(shape, 16_384) == 6 * 66_519_040 + 6 * 12 * 640 * 2048


def test_newline_ids_are_the_tokens_that_start_a_line(tokenizer_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    found = newline_ids(tokenizer)
    assert tokenizer.encode("\n\n").ids[0] in found
    assert tokenizer.encode("x").ids[0] not in found
