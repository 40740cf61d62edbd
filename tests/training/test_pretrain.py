"""A real toy model: trained, killed, resumed, on one process and on two."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from fimble.config import read_toml
from fimble.errors import ConfigError
from tests.training.toy_run import (
    ENVIRONMENT,
    POISON,
    ROOT,
    easy_corpus,
    lines_of,
    losses,
    train,
    train_on_two_devices,
    write_recipe,
)
from training.devices import Devices
from training.examples.build import END_ID, MIDDLE_ID, PAD_ID
from training.examples.documents import write_documents
from training.guard import UnstableTrainingError
from training.model import TrainingForward, flops_per_token, middle_mask, new_model
from training.optimiser import Optimisers, is_over, lr_factor
from training.pretrain import pretrain
from training.progress import load_checkpoint
from training.recipe import (
    MatrixOptimiser,
    ModelShape,
    OptimiserConfig,
    PretrainRecipe,
    ScheduleConfig,
    ScheduleUnit,
    ValidationConfig,
)
from training.seen import documents_of_step
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


@pytest.fixture(scope="module")
def recipe(tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose seventeenth step meets a document that no model can learn."""
    folder = tmp_path_factory.mktemp("poisoned")
    corpus = easy_corpus(folder / "corpus", is_poisoned=True)
    return write_recipe(folder / "toy.toml", corpus, tokenizer_path, steps=22, top="seed = 8")


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of that recipe, from beginning to end without a break."""
    out = tmp_path_factory.mktemp("whole")
    train(recipe, out)
    return out


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_killed_run_resumes_to_the_very_same_weights_losses_and_records(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    reading = random.SystemRandom().randrange(40, 240)
    command = [sys.executable, "-m", "tests.training.killed_run", recipe, killed, str(reading)]
    process = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, check=False)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "model").exists()
    train(recipe, killed)
    expected = load_file(whole / "model" / "model.safetensors")
    actual = load_file(killed / "model" / "model.safetensors")
    assert all(torch.equal(expected[name], actual[name]) for name in expected), reading
    assert losses(killed) == losses(whole), f"killed at reading {reading} of the clock"
    assert (killed / "steps.bin").read_bytes() == (whole / "steps.bin").read_bytes()
    assert (killed / "spikes.jsonl").read_bytes() == (whole / "spikes.jsonl").read_bytes()


def test_a_poisoned_step_is_undone_named_and_left_out(whole: Path) -> None:
    (spike,) = lines_of(whole / "spikes.jsonl")
    assert (spike["first_step"], spike["last_step"], spike["went_back_to"]) == (17, 17, 12)
    left_out = {each["step"]: {d["path"] for d in each["documents"]} for each in spike["left_out"]}
    assert sorted(left_out) == [16, 17]
    assert POISON not in left_out[16]
    assert POISON in left_out[17]
    seen = [documents_of_step(whole, step) for step in range(1, 23)]
    assert not any(document["path"] == POISON for step in seen for document in step.documents)
    assert [step for step, _ in losses(whole)] == list(range(1, 23))
    assert losses(whole)[-1][1] < losses(whole)[0][1] / 3
    starts = [each.row for each in seen]
    assert starts == [4 * n for n in range(15)] + [4 * n for n in range(17, 24)]


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_two_devices_train_as_one_does_and_go_back_as_one_does(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    two = tmp_path / "two"
    train_on_two_devices(recipe, two)
    assert losses(two) == [(step, pytest.approx(loss, rel=2e-3)) for step, loss in losses(whole)]
    assert (two / "steps.bin").read_bytes() == (whole / "steps.bin").read_bytes()
    spikes = [lines_of(out / "spikes.jsonl")[0]["left_out"] for out in (two, whole)]
    assert spikes[0] == spikes[1]


def test_rows_that_cannot_be_shared_out_are_refused() -> None:
    devices = Devices(device=torch.device("cpu"), index=0, count=3, control=None)
    assert devices.share(12) == 4
    with pytest.raises(ConfigError, match=r"batch.rows is 128; it must be a multiple of the 3"):
        devices.share(128)


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run_and_spoils_no_checkpoint(
    recipe: Path, tmp_path: Path
) -> None:
    wild = read_toml(PretrainRecipe, recipe)
    wild = replace(
        wild,
        optimiser=replace(wild.optimiser, muon_lr=1e30),
        guard=replace(wild.guard, max_rollbacks=2),
    )
    with pytest.raises(UnstableTrainingError, match=r"is nan.* went back 2 times already"):
        pretrain(wild, tmp_path)
    spikes = lines_of(tmp_path / "spikes.jsonl")
    assert [spike["went_back_to"] for spike in spikes] == [0, 0, None]
    assert {spike["loss"] for spike in spikes} == {"nan"}
    assert not (tmp_path / "model").exists()
    snapshot, ledger = load_checkpoint(tmp_path / "checkpoint.pt", "cpu")
    assert all(bool(weight.isfinite().all()) for weight in snapshot.weights.values())
    assert len(ledger.targets) == 2


def test_a_run_does_not_go_on_under_another_recipe(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(recipe.read_text().replace("chunk_bytes = [200]", "chunk_bytes = [100]"))
    with pytest.raises(ConfigError, match=r"examples.chunk_bytes = \[200\]; now it is \[100\]"):
        pretrain(read_toml(PretrainRecipe, changed), whole)


def test_the_loss_of_training_is_that_of_transformers() -> None:
    model = new_model(SHAPE, 512, seed=1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    ids_BT = torch.randint(64, 512, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = TrainingForward(model, is_compiled=False).loss(ids_BT, 1.0)
        theirs = model(input_ids=ids_BT, labels=ids_BT).loss
    assert float(ours.weighted_sum / ours.weight_sum) == pytest.approx(float(theirs), rel=1e-5)
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
    assert float(parts.weighted_sum / parts.weight_sum) == pytest.approx(expected, rel=1e-5)


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
