"""Preferences of a model's own texts, and tuning on them within limits."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file

from fimble.cli import main
from fimble.config import from_table
from fimble.errors import ConfigError, InputError
from fimble.fim import FIMBLE, Snippet
from fimble.preferences import Label, Maker, Pair, Split, Why, read_examples, write_examples
from training.tuning.faults import Judge
from training.tuning.pairs import build_pairs
from training.tuning.parent import find_parent
from training.tuning.preference import prefer
from training.tuning.preference_recipe import LimitConfig, PairsRecipe, PreferenceRecipe
from training.tuning.preference_rows import read_rows
from training.tuning.record import Example, Task
from training.tuning.watch import Reading, outside

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # peft asks transformers by the old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
PLACE = Example(
    Task.FIM,
    "python",
    "p",
    "a.py",
    prefix="import os\n\n\ndef size_of(path):\n    total = 1\n    ",
    suffix="\n    return total\n",
    middle="total += os.stat(path).st_size",
    snippets=(Snippet(path="b.py", text="def known_elsewhere():\n    pass\n"),),
)


@pytest.mark.parametrize(
    ("text", "has_ended", "why"),
    [
        (PLACE.middle, True, Why.SAME),
        (PLACE.middle + "  \n", False, Why.SAME),
        (PLACE.middle + "\n    return 3", True, Why.OVERRUN),
        ("total += os.stat(path)", True, Why.STOPPED_EARLY),
        ("", True, Why.STOPPED_EARLY),
        ("total += os.stat(path))", True, Why.PARSE_BREAK),
        ("total += unheard_of(path)", True, Why.UNDEFINED_NAME),
        ("total += known_elsewhere()", True, Why.DIFFERS),
        ("total += len([x for x in path])", True, Why.DIFFERS),
        ("total += path.made_up(made_up=1)", True, Why.DIFFERS),
        ("fresh = os.stat(path)\n    total += fresh.st_size", True, Why.DIFFERS),
        ("total += len('un heard of 🟦')", True, Why.DIFFERS),
    ],
)
def test_a_text_has_the_plainest_of_its_faults(text: str, *, has_ended: bool, why: Why) -> None:
    assert Judge(PLACE).judge(text, has_ended=has_ended) is why


def test_a_text_that_is_cut_off_is_no_early_stop() -> None:
    assert Judge(PLACE).judge("total += os.st", has_ended=False) is not Why.STOPPED_EARLY


@pytest.fixture(scope="module")
def preferences(
    tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, tiny_model: Path
) -> Path:
    out = tmp_path_factory.mktemp("preferences")
    build_pairs(pairs_recipe(tiny_data, tiny_model), out)
    return out


def pairs_recipe(data: Path, model: Path) -> PairsRecipe:
    table = {
        "data": str(data),
        "model": {"path": str(model), "max_tokens": 512},
        "differing_rate": 1.0,
        "sampling": {"per_prompt": 2, "max_new_tokens": 6, "max_prompts": 10},
    }
    return from_table(PairsRecipe, table, where="test")


def recipe_of(data: Path, model: Path, preferences: Path, **settings: object) -> PreferenceRecipe:
    learning = {"lr": 1e-3, "rows": 8, "micro_rows": 8, "log_every_steps": 1, "max_steps": 4}
    limits = {"every_steps": 2, "num_pairs": 6, "max_bits_per_byte_rise": 0.2}
    table = {
        "name": "tiny",
        "data": str(data),
        "preferences": str(preferences),
        "model": {"path": str(model), "max_tokens": 512},
        "held_out_cases": 2,
        "learning": learning | cast("dict[str, Any]", settings.pop("learning", {})),
        "limits": limits | cast("dict[str, Any]", settings.pop("limits", {})),
        **settings,
    }
    return from_table(PreferenceRecipe, table, where="test")


def record_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "tuning.json").read_text())


def test_pairs_prefer_the_projects_code_and_labels_say_the_same(preferences: Path) -> None:
    pairs = list(read_examples(Pair, preferences / "pairs" / "train.jsonl"))
    labels = list(read_examples(Label, preferences / "labels" / "train.jsonl"))
    manifest = json.loads((preferences / "manifest.json").read_text())
    assert manifest["files"]["pairs/train.jsonl"]["num_examples"] == len(pairs) > 10
    assert {pair.origin.maker for pair in pairs} == {Maker.TRUTH}
    faults = manifest["texts_by_fault"]["train"]
    assert sum(faults.values()) - faults.get("same", 0) == len(pairs)
    assert sorted(label.completion for label in labels if label.label) == sorted(
        {(pair.asked, pair.chosen): pair.chosen for pair in pairs}.values()
    )
    assert sorted(each.completion for each in labels if not each.label) == sorted(
        pair.rejected for pair in pairs
    )
    assert all(pair.asked.prompt.endswith(FIMBLE.middle) for pair in pairs)


def test_preferences_of_held_out_projects_stay_apart_and_draws_repeat(
    preferences: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for split, is_held_out in ((Split.TRAIN, False), (Split.HELD_OUT, True)):
        pairs = read_examples(Pair, preferences / "pairs" / f"{split}.jsonl")
        assert {pair.origin.owner == "project-flow" for pair in pairs} == {is_held_out}
    build_pairs(pairs_recipe(tiny_data, tiny_model), tmp_path)
    for name in ("pairs/train.jsonl", "labels/held_out.jsonl"):
        assert (tmp_path / name).read_bytes() == (preferences / name).read_bytes()


def test_dpo_prefers_what_it_is_told_and_keeps_it_likely(
    preferences: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tiny_data, tiny_model, preferences, sft_weight=0.5)
    prefer(recipe, tmp_path / "out")
    record = record_of(tmp_path / "out")
    first, last = record["readings"]
    assert (first["step"], last["step"], record["kept_step"]) == (2, 4, 4)
    assert record["stopped_because"] == ""
    assert last["preferred_share"] == 1.0
    assert last["chosen_drop"] < min(0, last["rejected_drop"])
    assert 0 < first["kl"] < last["kl"] < 0.5
    assert -1 <= last["length_correlation"] <= 1
    assert set(record["mean_tokens"]) == {"wanted", "refused"}
    lines = [json.loads(each) for each in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["watch"]["step"] for line in lines if "watch" in line] == [2, 4]


def test_a_run_outside_its_limits_ends_with_the_last_weights_within(
    preferences: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(
        *(tiny_data, tiny_model, preferences),
        learning={"lr": 0.5, "max_steps": 20},
        limits={"max_kl": 0.01},
    )
    prefer(recipe, tmp_path / "out")
    record = record_of(tmp_path / "out")
    assert record["stopped_because"].startswith(("kl is ", "chosen_drop is ", "bits_per_byte_rise"))
    assert (record["num_steps"], record["kept_step"]) == (2, 0)
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert all(torch.equal(after[name], before[name].to(torch.bfloat16)) for name in before)


def test_kto_learns_from_single_texts_beside_four_bit_weights(
    preferences: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(
        *(tiny_data, tiny_model, preferences), objective="kto", method="qlora", beta=0.5
    )
    prefer(recipe, tmp_path / "out")
    record = record_of(tmp_path / "out")
    assert record["kind"] == "kto"
    assert record["readings"][-1]["preferred_share"] is None
    assert record["readings"][-1]["chosen_drop"] < 0
    labels = list(read_examples(Label, preferences / "labels" / "train.jsonl"))
    assert record["num_examples"] == len(labels)


def test_examples_that_cannot_be_learnt_are_counted_and_left_out(
    preferences: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    pairs = list(read_examples(Pair, preferences / "pairs" / "train.jsonl"))
    odd = [
        replace(pairs[0], chosen=f"x = '{FIMBLE.end}'"),
        replace(pairs[0], chosen="y = 1\n" * 500),
        replace(pairs[0], origin=replace(pairs[0].origin, weight=0.01)),
    ]
    write_examples(tmp_path / "pairs" / "train.jsonl", [*odd, *pairs[:4]])
    recipe = recipe_of(tiny_data, tiny_model, tmp_path, min_weight=0.02)
    parent = find_parent(recipe.model, tmp_path / "parent")
    rows = read_rows(recipe, parent, Split.TRAIN)
    assert (rows.num_sentinels, rows.num_too_long, rows.num_unsure) == (1, 1, 1)
    assert len(rows.rows) == 4


def test_a_suggestion_is_learnt_once_and_as_its_newest_folder_says(
    preferences: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    pairs = list(read_examples(Pair, preferences / "pairs" / "train.jsonl"))[:5]
    by_users = [
        replace(pair, origin=replace(pair.origin, maker=Maker.USER, example_id=f"c-{number}"))
        for number, pair in enumerate(pairs)
    ]
    changed = replace(by_users[1], chosen="kept_later = True")
    write_examples(tmp_path / "old" / "pairs" / "train.jsonl", [*by_users[:3], *pairs[:2]])
    newer = [by_users[0], changed, *by_users[3:], pairs[0]]
    write_examples(tmp_path / "new" / "pairs" / "train.jsonl", newer)
    recipe = recipe_of(
        tiny_data, tiny_model, tmp_path / "new", earlier_preferences=[str(tmp_path / "old")]
    )
    rows = read_rows(recipe, find_parent(recipe.model, tmp_path / "parent"), Split.TRAIN).rows
    learnt = [*newer, by_users[2], pairs[1]]
    assert [row.texts for row in rows] == [(pair.chosen, pair.rejected) for pair in learnt]


@pytest.mark.parametrize("name", ["chosen_drop", "kl", "bits_per_byte_rise"])
def test_a_reading_is_outside_above_its_limit_and_where_it_is_no_number(name: str) -> None:
    within = Reading(
        step=5,
        chosen_drop=-1.0,
        rejected_drop=None,
        preferred_share=None,
        length_correlation=None,
        kl=0.0,
        bits_per_byte=1.0,
        bits_per_byte_rise=0.0,
    )
    limits = LimitConfig(max_chosen_drop=0.25, max_kl=0.25, max_bits_per_byte_rise=0.25)
    assert outside(within, limits) == ""
    assert outside(replace(within, **{name: 0.25}), limits) == ""
    assert outside(replace(within, **{name: 0.26}), limits).startswith(
        f"{name} is 0.2600 at step 5"
    )
    assert outside(replace(within, **{name: math.nan}), limits).startswith(f"{name} is nan")


def test_recipes_that_cannot_work_are_refused(
    preferences: Path,
    tiny_data: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    everything = (tiny_data, tiny_model)
    kto = recipe_of(*everything, preferences, objective="kto", learning={"micro_rows": 1})
    with pytest.raises(ConfigError, match="KTO compares texts of one pass"):
        prefer(kto, tmp_path / "out")
    with pytest.raises(InputError, match="cannot read examples"):
        prefer(recipe_of(*everything, tmp_path), tmp_path / "out")
    with pytest.raises(ConfigError, match="begin anew"):
        recipe_of(*everything, preferences, learning={"checkpoint_every_steps": 3})
    path = tmp_path / "prefer.toml"
    path.write_text('name = "t"\nobjective = "ppo"\n')
    assert main(["tune", "prefer", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "missing key data, model, preferences" in capsys.readouterr().err
