"""The same model in every format says the same: vocabulary, logits, greedy text.

The tiny model is tested always, after it has learnt a few texts by heart, so that it has something
to say; the shipped one where it is installed.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaForCausalLM

from fimble import paths
from fimble.errors import ModelFolderError
from fimble.fim import FIMBLE, SPECIAL_TOKENS, FimOrder, Mark, infill_prompt
from fimble.languages import LANGUAGES
from tests.export.graph_run import GraphRun
from tests.export.probe import HOLES, PROBE, SOURCES, Hole
from tests.stand_ins.tiny_model import tiny_checkpoint
from training.export.engine_model import quantised_weights, write_engine_model
from training.export.hf import write_hf_folder
from training.export.onnx_graph import build_graph
from training.export.quantise import Quantisation
from training.export.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

NEW_TOKENS = 16
MIN_AGREEMENT = 0.9
"""Share of greedy tokens that agree before the first difference of a prompt."""
MAX_MARGIN = 0.25
"""By how much transformers may prefer its own token where the graph chose another one, in standard
deviations of the logits of that step.

The graph rounds the input of every product to 8 bits, transformers does not. That moves each logit
by 2 to 4% of the standard deviation (measured on the tiny model with random weights), hence the
difference of two by some 4% on average, and five times that in rare cases. A wrong weight, position
or mask moves logits by a whole standard deviation.
"""
END_ID = SPECIAL_TOKENS.index(FIMBLE.end)
PAD_ID = SPECIAL_TOKENS.index(FIMBLE.pad)


class Release(NamedTuple):
    """A model folder and its export."""

    folder: Path
    hf: Path
    model: LlamaForCausalLM
    tokenizer: Tokenizer
    knows_holes: bool
    """Whether it learnt the probe by heart."""


class Parting(NamedTuple):
    """Where two greedy texts part."""

    equal_ids: list[int]
    num_tokens: int
    margin: float
    """See `MAX_MARGIN`; 0 where they do not part."""


@pytest.fixture(scope="module", params=["tiny", "shipped"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Each model in turn."""
    is_tiny = request.param == "tiny"
    if is_tiny:
        folder = tmp_path_factory.mktemp("golden") / "model"
        write_engine_model(load_weights(learnt_by_heart(folder.parent / "checkpoint")), folder)
    else:
        try:
            folder = paths.model_dir(paths.SHIPPED_MODEL)
        except ModelFolderError as error:
            pytest.skip(str(error))
    hf = tmp_path_factory.mktemp("hf")
    write_hf_folder(load_weights(folder), hf)
    model = LlamaForCausalLM.from_pretrained(hf, dtype=torch.float32).eval()
    return Release(folder, hf, model, plain_tokenizer(folder), is_tiny)


def plain_tokenizer(folder: Path) -> Tokenizer:
    """The vocabulary, reading sentinels in a text as text."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def prompt_ids(tokenizer: Tokenizer, hole: Hole) -> list[int]:
    ids: list[int] = []
    for part in infill_prompt(prefix=hole.prefix, suffix=hole.suffix, order=FimOrder.SPM):
        if isinstance(part, Mark):
            ids.append(SPECIAL_TOKENS.index(FIMBLE.sentinel(part)))
        else:
            ids += tokenizer.encode(part).ids
    return ids


def learnt_by_heart(folder: Path) -> Path:
    """Write a checkpoint of the tiny model that fills the holes of the probe."""
    shutil.copytree(tiny_checkpoint(), folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = plain_tokenizer(folder)
    rows = [
        [*prompt_ids(tokenizer, hole), *tokenizer.encode(hole.middle).ids, END_ID] for hole in HOLES
    ]
    longest = max(map(len, rows))
    ids_BT = torch.tensor([row + [PAD_ID] * (longest - len(row)) for row in rows])
    labels_BT = ids_BT.masked_fill(ids_BT == PAD_ID, -100)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model(ids_BT, labels=labels_BT).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert loss.item() < 0.1
    model.save_pretrained(folder)
    return folder


def test_the_probe_speaks_every_language() -> None:
    assert set(SOURCES) == {language.name for language in LANGUAGES}


def test_both_tokenizers_give_the_same_ids_and_the_text_back(release: Release) -> None:
    ids = release.tokenizer.encode(PROBE).ids
    theirs = AutoTokenizer.from_pretrained(release.hf)
    assert theirs(PROBE, split_special_tokens=True)["input_ids"] == ids
    assert release.tokenizer.decode(ids, skip_special_tokens=False) == PROBE
    assert theirs.decode(ids) == PROBE
    assert min(ids) >= len(SPECIAL_TOKENS)


def test_sentinels_are_single_tokens_where_they_are_meant(release: Release) -> None:
    theirs = AutoTokenizer.from_pretrained(release.hf)
    for number, sentinel in enumerate(SPECIAL_TOKENS):
        assert theirs(sentinel)["input_ids"] == [number]
        assert release.tokenizer.token_to_id(sentinel) == number


def test_floating_point_graph_has_the_logits_of_transformers(
    release: Release, tmp_path: Path
) -> None:
    weights = quantised_weights(load_weights(release.folder), Quantisation.NONE)
    path = tmp_path / "model.onnx"
    path.write_bytes(build_graph(weights, all_logits=True).SerializeToString())
    ids = release.tokenizer.encode(PROBE).ids
    logits_TV = GraphRun(path, capacity_tokens=2048).logits(ids, past_tokens=0)
    with torch.no_grad():
        expected_TV = release.model(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(logits_TV, expected_TV, atol=1e-3)


def test_greedy_text_of_the_graph_is_that_of_transformers(release: Release) -> None:
    run = GraphRun(release.folder / "model.onnx", capacity_tokens=2048)
    partings = [greedy_until_they_part(release, run, hole) for hole in HOLES]
    assert max(parting.margin for parting in partings) <= MAX_MARGIN
    num_equal = sum(len(parting.equal_ids) for parting in partings)
    assert num_equal >= MIN_AGREEMENT * sum(parting.num_tokens for parting in partings)


def test_the_model_that_learnt_by_heart_fills_the_holes(release: Release) -> None:
    if not release.knows_holes:
        pytest.skip("only the tiny model learnt the probe by heart")
    run = GraphRun(release.folder / "model.onnx", capacity_tokens=2048)
    for hole in HOLES:
        ids = greedy_until_they_part(release, run, hole).equal_ids
        assert ids == [*release.tokenizer.encode(hole.middle).ids, END_ID][:NEW_TOKENS]


def greedy_until_they_part(release: Release, run: GraphRun, hole: Hole) -> Parting:
    """Let both write, each on what both wrote so far."""
    ids = prompt_ids(release.tokenizer, hole)
    logits = run.logits(ids, past_tokens=0)[-1]
    equal_ids: list[int] = []
    while len(equal_ids) < NEW_TOKENS and END_ID not in equal_ids:
        with torch.no_grad():
            expected = release.model(torch.tensor([ids])).logits[0, -1].numpy()
        best, chosen = int(expected.argmax()), int(logits.argmax())
        if best != chosen:
            margin = float(expected[best] - expected[chosen]) / float(expected.std())
            return Parting(equal_ids, NEW_TOKENS, margin)
        logits = run.logits([best], past_tokens=len(ids))[-1]
        ids.append(best)
        equal_ids.append(best)
    return Parting(equal_ids, len(equal_ids), 0.0)
