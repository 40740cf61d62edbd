"""Supervised tuning of a tiny model: whole, by LoRA, and by QLoRA beside 4-bit weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import bitsandbytes as bnb
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from fimble.cli import main
from fimble.config import from_table
from fimble.errors import ConfigError, ModelFolderError
from fimble.fim import FIMBLE
from fimble.preferences import Split
from training.export.engine_model import read_origin
from training.export.weights import load_weights
from training.tuning.data import examples_path
from training.tuning.encoding import Encoder
from training.tuning.parent import find_parent
from training.tuning.recipe import Method, ModelConfig, SftRecipe
from training.tuning.record import Example, Task, read_examples, write_examples
from training.tuning.rows import IGNORED, RowCollator, mixture, packed_rows
from training.tuning.sft import tune

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # peft asks transformers by the old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]


def recipe_of(data: Path, model: Path, **settings: object) -> SftRecipe:
    learning = {"lr": 0.02, "epochs": 3.0, "rows": 4, "micro_rows": 4, "log_every_steps": 1}
    table = {
        "name": "tiny",
        "data": str(data),
        "model": {"path": str(model), "max_tokens": 512},
        "learning": learning | cast("dict[str, Any]", settings.pop("learning", {})),
        **settings,
    }
    return from_table(SftRecipe, table, where="test")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, tiny_model: Path) -> Path:
    out = tmp_path_factory.mktemp("tuned")
    tune(recipe_of(tiny_data, tiny_model, learning={"checkpoint_every_steps": 10}), out)
    return out


def record_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "tuning.json").read_text())


def test_a_tuned_model_fills_held_out_middles_better(tuned: Path) -> None:
    record = record_of(tuned)
    name = "middle_bits_per_byte/mean"
    assert record["after"][name] < record["before"][name] * 0.8
    lines = [json.loads(line) for line in (tuned / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] * 0.8
    assert len(list((tuned / "checkpoints").glob("checkpoint-*"))) == 1
    assert 0 < record["tokens_per_s"] < 1e7
    assert record["training_s"] > 0
    assert (record["gpu_memory_bytes"] is None) == (not torch.cuda.is_available())


def test_a_tuned_model_is_a_folder_that_export_reads(tuned: Path, tiny_model: Path) -> None:
    weights = load_weights(tuned / "model")
    assert weights.architecture.vocab_size == 1024
    origin, record = read_origin(tuned / "model"), record_of(tuned)
    assert origin.parent == record["parent"]
    assert origin.scores == record["after"]
    assert (origin.recipe_sha256, origin.data_card_sha256) == (
        record["recipe_sha256"],
        record["data_card_sha256"],
    )
    before, after = (load_file(f / "model.safetensors") for f in (tiny_model, tuned / "model"))
    assert before.keys() == after.keys()


def test_a_finished_run_is_left_alone_and_another_recipe_is_refused(
    tuned: Path, tiny_data: Path, tiny_model: Path
) -> None:
    path = tuned / "model" / "model.safetensors"
    written = path.stat().st_mtime_ns
    recipe = recipe_of(tiny_data, tiny_model, learning={"checkpoint_every_steps": 10})
    assert tune(recipe, tuned) == tuned / "model"
    assert path.stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match="another recipe"):
        tune(recipe_of(tiny_data, tiny_model, seed=1), tuned)


def test_qlora_learns_beside_four_bit_weights_and_leaves_whole_ones(
    tmp_path: Path, tiny_data: Path, tiny_model: Path
) -> None:
    recipe = recipe_of(
        *(tiny_data, tiny_model),
        method="qlora",
        adapter={"rank": 4, "alpha": 8},
        learning={"max_steps": 5},
        held_out_cases=3,
    )
    model = find_parent(recipe.model, tmp_path / "parent").load(Method.QLORA)
    layer = model.model.layers[0].mlp.up_proj
    assert isinstance(layer, bnb.nn.Linear4bit)
    assert (layer.weight.quant_state.quant_type, layer.weight.dtype) == ("nf4", torch.uint8)

    tune(recipe, tmp_path / "out")
    record = record_of(tmp_path / "out")
    name = "middle_bits_per_byte/mean"
    assert record["after"][name] < record["before"][name] - 0.05
    assert 0 < record["trained_share"] < 0.2
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(tmp_path / "out" / "model" / "model.safetensors")
    embedding = "model.embed_tokens.weight"
    assert torch.equal(after[embedding], before[embedding].to(torch.bfloat16))
    # What was learnt is added to the parent's own weights: it has the adapter's rank, and no
    # rounding to 4 bits beside it.
    name = "model.layers.0.mlp.up_proj.weight"
    change = torch.linalg.svdvals(after[name].float() - before[name])
    assert change[3] > 10 * change[4]


def test_lora_says_what_share_it_trained_though_its_adapter_is_merged(
    tmp_path: Path, tiny_data: Path, tiny_model: Path
) -> None:
    recipe = recipe_of(
        *(tiny_data, tiny_model),
        method="lora",
        adapter={"rank": 4, "alpha": 8},
        learning={"max_steps": 1},
        held_out_cases=1,
    )
    tune(recipe, tmp_path)
    assert 0 < record_of(tmp_path)["trained_share"] < 0.2
    whole = load_file(tmp_path / "model" / "model.safetensors")
    assert whole.keys() == load_file(tiny_model / "model.safetensors").keys()


def test_weights_are_drawn_back_until_plain_text_costs_no_more_than_is_allowed(
    tmp_path: Path, tiny_data: Path, tuned: Path
) -> None:
    base = tuned / "model"  # what it has learnt can be forgotten
    settings = {"replay_share": 0.0, "seed": 3, "learning": {"lr": 0.1, "max_steps": 12}}
    rises: dict[float, float] = {}
    changes: dict[float, torch.Tensor] = {}
    name = "model.layers.0.mlp.up_proj.weight"
    before = load_file(base / "model.safetensors")[name]
    for limit in (0.0, 0.05):
        out = tmp_path / str(limit)
        tune(recipe_of(tiny_data, base, max_bits_per_byte_rise=limit, **settings), out)
        record = record_of(out)
        rises[limit] = record["after"]["bits_per_byte"] / record["before"]["bits_per_byte"] - 1
        changes[limit] = load_file(out / "model" / "model.safetensors")[name].float() - before
    assert rises[0.0] > 0.05 >= rises[0.05]
    share = record_of(tmp_path / "0.05")["kept_share"]
    assert 0 < share < 1
    assert torch.allclose(changes[0.05], share * changes[0.0], atol=2e-3)
    assert "kept_share" not in record_of(tmp_path / "0.0")


def test_an_adapter_is_scaled_as_the_weights_are(
    tmp_path: Path, tiny_data: Path, tuned: Path
) -> None:
    recipe = recipe_of(
        *(tiny_data, tuned / "model"),
        method="lora",
        replay_share=0.0,
        max_bits_per_byte_rise=0.02,
        adapter={"rank": 8, "alpha": 32},
        learning={"lr": 0.05, "max_steps": 15},
        held_out_cases=3,
    )
    tune(recipe, tmp_path)
    share = record_of(tmp_path)["kept_share"]
    assert 0 <= share < 1
    base = AutoModelForCausalLM.from_pretrained(tuned / "model", dtype=torch.float32)
    whole = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    written = load_file(tmp_path / "model" / "model.safetensors")
    for name, tensor in whole.state_dict().items():
        if name in written:
            assert torch.allclose(tensor.float(), written[name].float(), atol=1e-2), name


def test_a_limit_needs_plain_text_to_be_read_on(
    tmp_path: Path, tiny_data: Path, tiny_model: Path
) -> None:
    held_out = read_examples(examples_path(tiny_data, Split.HELD_OUT))
    for split in Split:
        path = examples_path(tmp_path / "data", split)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_examples(path, [each for each in held_out if each.task is not Task.PLAIN])
    (tmp_path / "data" / "card.json").write_bytes((tiny_data / "card.json").read_bytes())
    recipe = recipe_of(tmp_path / "data", tiny_model, max_bits_per_byte_rise=0.01)
    with pytest.raises(ConfigError, match="holds no held-out plain text"):
        tune(recipe, tmp_path / "out")


def test_examples_of_a_row_do_not_see_each_other(tiny_data: Path, tiny_model: Path) -> None:
    encoder = Encoder(tiny_model, "fimble")
    examples = read_examples(examples_path(tiny_data, Split.TRAIN))[:6]
    encoded = [encoder.example(each) for each in examples]
    rows = packed_rows(encoded, 512)
    batch = RowCollator(encoder.pad_id)(rows)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
    assert len(rows) < len(encoded)
    num_found = 0
    for number, row in enumerate(rows):
        starts = [n for n, place in enumerate(row["position_ids"]) if place == 0]
        for start, end in zip(starts, [*starts[1:], len(row["input_ids"])], strict=True):
            ids = row["input_ids"][start:end]
            with torch.no_grad():
                alone = model(input_ids=torch.tensor([ids])).logits[0]
            torch.testing.assert_close(logits[number, start:end], alone, atol=1e-4, rtol=1e-3)
            num_found += any(ids == each.ids for each in encoded)
    assert num_found == len(encoded)


def test_only_middles_and_their_end_are_learnt_and_replayed_text_whole(tiny_model: Path) -> None:
    encoder = Encoder(tiny_model, "fimble")
    example = Example(
        Task.CALL_ARGUMENTS, "python", "p", "a.py", prefix="f(", suffix=")\n", middle="a, b"
    )
    [row] = packed_rows([encoder.example(example)], 512)
    learnt = [token for token in row["labels"] if token != IGNORED]
    assert learnt == [*encoder.text("a, b"), encoder.end_id]
    assert row["labels"][-len(learnt) :] == learnt
    replayed = encoder.example(example._replace(task=Task.FIM))
    [row] = packed_rows([replayed], 512)
    assert row["labels"] == [IGNORED, *replayed.ids[1:]]
    plain = encoder.example(example._replace(task=Task.PLAIN))
    assert plain.ids[-1] != encoder.end_id


def test_text_that_spells_a_sentinel_stays_text(tiny_model: Path) -> None:
    encoder = Encoder(tiny_model, "fimble")
    spelled = f"x = '{FIMBLE.end}'"
    example = Example(Task.FIM, "python", "p", "a.py", prefix=spelled, suffix="", middle=spelled)
    encoded = encoder.example(example)
    assert encoded.ids.count(encoder.end_id) == 1
    assert encoder.decode(encoded.ids).count(FIMBLE.end) == 3


def test_a_family_without_its_sentinels_in_the_vocabulary_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelFolderError, match="has no token '<fim_prefix>'"):
        Encoder(tiny_model, "starcoder")
    with pytest.raises(ConfigError, match="allowed are codegemma"):
        ModelConfig(path=tiny_model, fim_format="none")


def test_replay_makes_up_its_share_and_long_examples_are_counted(
    tiny_data: Path, tiny_model: Path
) -> None:
    examples = read_examples(examples_path(tiny_data, Split.TRAIN))
    encoder = Encoder(tiny_model, "fimble")
    recipe = recipe_of(tiny_data, tiny_model, replay_share=0.1)
    seen = mixture(examples, encoder, recipe=recipe)
    assert (seen.num_tasks, seen.num_replayed, seen.num_too_long) == (45, 5, 0)
    assert mixture(examples, encoder, recipe=replace(recipe, replay_share=1.0)).num_tasks == 0
    short = replace(recipe, model=replace(recipe.model, max_tokens=64))
    assert mixture(examples, encoder, recipe=short).num_too_long == 50


def test_no_more_is_drawn_than_the_steps_have_room_for(tiny_data: Path, tiny_model: Path) -> None:
    examples = read_examples(examples_path(tiny_data, Split.TRAIN))
    encoder = Encoder(tiny_model, "fimble")
    drawn = {
        steps: mixture(
            examples,
            encoder,
            recipe=recipe_of(tiny_data, tiny_model, learning={"max_steps": steps}),
        )
        for steps in (0, 1, 1000)
    }
    num_tokens = {n: sum(len(each.ids) for each in of.encoded) for n, of in drawn.items()}
    assert 4 * 512 <= num_tokens[1] < 5 * 512 < num_tokens[0]
    assert drawn[1].num_tasks + drawn[1].num_replayed == len(drawn[1].encoded)
    assert sorted(drawn[1000].encoded) == sorted(drawn[0].encoded)


def test_of_replayed_middles_the_middle_alone_can_be_learnt(
    tiny_data: Path, tiny_model: Path
) -> None:
    examples = read_examples(examples_path(tiny_data, Split.TRAIN))
    encoder = Encoder(tiny_model, "fimble")
    recipe = recipe_of(tiny_data, tiny_model, replay_share=1.0)
    whole = mixture(examples, encoder, recipe=recipe).encoded
    middles = mixture(examples, encoder, recipe=replace(recipe, replay_whole=False)).encoded
    assert [each.ids for each in middles] == [each.ids for each in whole]
    assert {each.loss_start for each in whole} == {1}
    is_fim = [each.ids[-1] == encoder.end_id for each in whole]  # plain texts have no end token
    assert 0 < sum(is_fim) < len(is_fim)
    for fim, each in zip(is_fim, middles, strict=True):
        assert each.loss_start == (each.start if fim else 1)


def test_the_command_names_what_is_wrong(
    tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "sft.toml"
    recipe.write_text(f'name = "t"\ndata = "{tiny_data}"\n[model]\npath = "{tmp_path}"\n')
    assert main(["tune", "sft", str(recipe), "--out", str(tmp_path / "out")]) == 2
    assert "holds neither config.json" in capsys.readouterr().err
    assert main(["tune", "sft", str(recipe), "--out", str(tmp_path / "out")]) == 2


def test_learning_settings_are_checked() -> None:
    learning = SftRecipe(name="t", data=Path(), model=ModelConfig(path=Path())).learning
    with pytest.raises(ConfigError, match="multiple of micro_rows 7"):
        replace(learning, rows=16, micro_rows=7)


def test_a_rise_may_be_more_than_the_whole_but_not_less_than_nothing() -> None:
    recipe = SftRecipe(name="t", data=Path(), model=ModelConfig(path=Path()))
    # A company's recipe allows any rise, and is made one of these only after its data is built.
    assert replace(recipe, max_bits_per_byte_rise=2.0).max_bits_per_byte_rise == 2.0
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match="must be 0 or more"):
            replace(recipe, max_bits_per_byte_rise=wrong)
