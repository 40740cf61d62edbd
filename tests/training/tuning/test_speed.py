"""Tokens a second are those of the steps behind the first, by the run's own clock."""

from pathlib import Path

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from tests.stand_ins.hand_clock import HandClock
from training.tuning.speed import SpeedMeter


def run(meter: SpeedMeter, clock: HandClock, step_ms: list[float], folder: Path) -> None:
    """Take steps of some lengths, a tenth of an epoch each."""
    arguments, control = TrainingArguments(output_dir=str(folder), use_cpu=True), TrainerControl()
    state = TrainerState(max_steps=len(step_ms))
    meter.on_train_begin(arguments, state, control)
    for number, duration_ms in enumerate(step_ms, 1):
        clock.now_ms += duration_ms
        state.global_step, state.epoch = number, number / 10
        meter.on_step_end(arguments, state, control)


def test_the_first_step_is_no_measure_of_speed(tmp_path: Path) -> None:
    clock = HandClock()
    meter = SpeedMeter(clock, num_tokens=10_000)
    run(meter, clock, [60_000.0, 500.0, 1500.0], tmp_path)
    # Two steps of 1,000 tokens each in two seconds.
    assert meter.figures()["tokens_per_s"] == 1000
    memory = meter.figures()["gpu_memory_bytes"]
    assert (memory is None) == (not torch.cuda.is_available())


def test_a_single_step_says_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    meter = SpeedMeter(clock, num_tokens=10_000)
    run(meter, clock, [60_000.0], tmp_path)
    assert meter.figures()["tokens_per_s"] is None
