"""Scores of many cases at once are those of each case alone."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention

from fimble.preferences import Split
from training.tuning.data import examples_path
from training.tuning.encoding import Encoder
from training.tuning.record import read_examples
from training.tuning.scores import CaseScore, held_out_cases, score, summary
from training.tuning.trainer import measured

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_case_scores_the_same_among_others_as_alone(tiny_data: Path, tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    encoder = Encoder(tiny_model, "fimble")
    examples = read_examples(examples_path(tiny_data, Split.HELD_OUT))
    cases = held_out_cases(examples, encoder, per_task=20, max_tokens=512)
    assert len({case.task for case in cases}) > 3
    assert {case.is_line for case in cases} == {True, False}
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    scores = score(model, cases, encoder)
    assert scores == measured(tiny_model, cases, encoder)
    for case, found in zip(cases, scores, strict=True):
        ids = torch.tensor([case.ids])
        with torch.no_grad():
            logits_TV = model(input_ids=ids).logits[0, case.start - 1 : -1]
        nll = F.cross_entropy(logits_TV, ids[0, case.start :], reduction="none")
        # A middle counts without its end token; a plain text has none.
        nats = float((nll if case.task == "plain" else nll[:-1]).sum())
        assert found.nats == pytest.approx(nats, rel=1e-4)
        assert (found.task, found.group, found.is_line) == (case.task, case.group, case.is_line)
        is_end = int(logits_TV[-1].argmax()) == encoder.end_id
        assert found.is_stopped == (is_end and case.task != "plain")


def test_examples_encode_together_as_alone(tiny_data: Path, tiny_model: Path) -> None:
    encoder = Encoder(tiny_model, "fimble")
    examples = read_examples(examples_path(tiny_data, Split.TRAIN))
    together = encoder.examples(examples)
    assert len(together) == len(examples) > 30
    for example, found in zip(examples, together, strict=True):
        prompt = encoder.parts(example.prompt(encoder.fim_format))
        end = [] if example.task == "plain" else [encoder.end_id]
        assert found.ids == [*prompt, *encoder.text(example.middle), *end]
        assert found.start == len(prompt)
    assert encoder.examples([]) == []


def test_lines_and_longer_middles_are_summed_up_apart() -> None:
    line = CaseScore("fim", "python", "p", 1.0, 8, is_exact=True, is_stopped=True, is_line=True)
    block = line._replace(is_exact=False, is_line=False, task="docstring_body")
    plain = block._replace(task="plain", is_stopped=False)
    found = summary([line, line, block, plain])
    assert (found["exact_match/single_line"], found["exact_match/multi_line"]) == (1.0, 0.0)
    assert (found["stop_accuracy/single_line"], found["stop_accuracy/multi_line"]) == (1.0, 1.0)
    assert found["exact_match/mean"] == 0.5
    assert found["bits_per_byte"] == pytest.approx(1 / 8 / math.log(2), abs=1e-6)
    assert "exact_match/multi_line" not in summary([line])
