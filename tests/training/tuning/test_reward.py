"""Learning from a project's own tests: a tiny model writes, real tests in a real sandbox judge."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from fimble.cli import main
from fimble.config import from_table
from fimble.errors import ConfigError, InputError
from fimble.preferences import Place, Split, read_examples
from training.tuning.encoding import Encoder
from training.tuning.preference import prefer
from training.tuning.preference_recipe import PreferenceRecipe
from training.tuning.rows import IGNORED
from training.tuning.scores import padded
from training.tuning.verdicts import Verdicts

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
CODE = '''\
"""What {noun}s cost. 💶

There are large ones and small ones. A price is that of one of them, in cents; whoever takes several
pays for each. Nothing is said here about tax, which is added where the bill is written.
"""


def {noun}_total(price, count):
    return price * count
'''
TESTS = """\
import unittest

from {noun} import {noun}_total


class TotalTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual({noun}_total(10, 3), 30)
        self.assertEqual({noun}_total(7, 0), 0)
"""
NOUNS = ("apple", "melon", "peach", "grape")
WRONG = "None"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "__init__.py").write_text("")
    for noun in NOUNS:
        (folder / f"{noun}.py").write_text(CODE.format(noun=noun), encoding="utf-8")
        path = folder / "tests" / f"test_{noun}.py"
        path.write_text(TESTS.format(noun=noun), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """What the tests see, found without asking a model; the files of one noun are held out."""
    folder = tmp_path_factory.mktemp("feedback")
    recipe = folder / "feedback.toml"
    recipe.write_text(
        f'source = "{project}"\nmodel = "canonical"\nsamples = 1\nplaces = 8\nheld_out = 0.3\n'
        "seed = 7\n"
    )
    assert main(["eval", "feedback", str(recipe), "--out", str(folder / "out")]) == 0
    return folder / "out"


def read_places(folder: Path, split: Split) -> list[Place]:
    return list(read_examples(Place, folder / "places" / f"{split}.jsonl"))


@pytest.fixture(scope="module")
def doubtful_model(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, places: Path
) -> Path:
    """A model that writes the project's code in two of five cases, and what fails in three."""
    folder = tmp_path_factory.mktemp("doubtful") / "model"
    shutil.copytree(tiny_model, folder)
    encoder = Encoder(folder, "fimble")
    rows, labels = [], []
    for place in [each for split in Split for each in read_places(places, split)]:
        prompt = encoder.parts(place.asked.parts(encoder.fim_format))
        for text in (*[place.truth] * 2, *[WRONG] * 3):
            written = [*encoder.text(text), encoder.end_id]
            rows.append(prompt + written)
            labels.append([IGNORED] * len(prompt) + written)
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    order = random.Random(0)
    for _ in range(400):
        batch = order.sample(range(len(rows)), 10)
        ids = padded([rows[n] for n in batch], encoder.pad_id)
        loss = model(input_ids=ids, labels=padded([labels[n] for n in batch], IGNORED)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


def recipe_of(data: Path, model: Path, places: Path, **settings: Any) -> PreferenceRecipe:  # noqa: ANN401
    learning = {"lr": 2e-3, "rows": 32, "micro_rows": 32, "log_every_steps": 1, "max_steps": 24}
    table = {
        "name": "tiny",
        "objective": "grpo",
        "data": str(data),
        "preferences": str(places),
        "model": {"path": str(model), "max_tokens": 512},
        "beta": 0.01,
        "held_out_cases": 2,
        "learning": learning | settings.pop("learning", {}),
        "limits": {
            "every_steps": 5,
            "num_pairs": 4,
            "max_kl": 5.0,
            "max_bits_per_byte_rise": 1.0,
            "max_chosen_drop": 1.0,
        },
        "reward": {"max_new_tokens": 16} | settings.pop("reward", {}),
        **settings,
    }
    return from_table(PreferenceRecipe, table, where="test")


def record_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "tuning.json").read_text())


def logged(out: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize(("method", "lr"), [("full", 2e-3), ("lora", 4e-3)])
def test_what_passes_the_tests_becomes_likely(
    method: str, lr: float, tiny_data: Path, doubtful_model: Path, places: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tiny_data, doubtful_model, places, method=method, learning={"lr": lr})
    out = tmp_path / "out"
    prefer(recipe, out)
    record, rewards = record_of(out), logged(out, "reward")
    assert len(rewards) == record["num_steps"] == record["kept_step"] == 24
    # Three steps take every place once.
    first, last = sum(rewards[:3]) / 3, sum(rewards[-3:]) / 3
    assert first < 0.6
    assert last > first + 0.25
    # Held-out places were asked about before and after, by the same tests.
    assert record["before"]["tests_passed"] < record["after"]["tests_passed"]
    assert record["readings"][-1]["kl"] > 0
    assert record["num_run"] < record["num_judged"]
    verdicts = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert len(verdicts) == record["num_run"]
    truths = {place.place_id: place.truth for side in Split for place in read_places(places, side)}
    assert {each["passes"] for each in verdicts} == {True, False}
    assert all(each["passes"] for each in verdicts if each["text"] == truths[each["place_id"]])


@pytest.mark.slow
def test_a_run_that_was_killed_begins_anew_and_asks_about_nothing_again(
    tiny_data: Path, doubtful_model: Path, places: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tiny_data, doubtful_model, places, learning={"max_steps": 2})
    out = tmp_path / "out"
    prefer(recipe, out)
    before = record_of(out)
    weights = (out / "model" / "model.safetensors").read_bytes()
    (out / "tuning.json").write_text(json.dumps({"recipe_sha256": before["recipe_sha256"]}))
    with (out / "verdicts.jsonl").open("a") as file:
        file.write('{"place_id": "torn')
    prefer(recipe, out)
    record = record_of(out)
    assert record["num_judged"] == before["num_judged"] > before["num_run"] > 0
    assert record["num_run"] == 0
    assert (out / "model" / "model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_a_place_takes_any_text_that_passes_and_unknown_places_none(
    places: Path, tmp_path: Path
) -> None:
    by_truth = {place.truth: place.place_id for place in read_places(places, Split.TRAIN)}
    product = by_truth["price * count"]
    texts = ["count * price", "price + count", "price * count", "price *", ""]
    with Verdicts(places, tmp_path) as verdicts:
        asked = [(product, text) for text in texts]
        assert verdicts.passes(asked) == [True, False, True, False, False]
        assert verdicts.passes(asked[:1]) == [True]
        assert (verdicts.num_asked, verdicts.num_run) == (6, 5)
        with pytest.raises(InputError, match="there is no place 'nowhere' that the tests see"):
            verdicts.passes([("nowhere", "1")])


@pytest.mark.slow
def test_who_judges_ends_with_who_asks(places: Path, tmp_path: Path) -> None:
    """A learner that is killed leaves no process behind."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from training.tuning.verdicts import Verdicts\n"
        "Verdicts(Path(sys.argv[1]), Path(sys.argv[2])); print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(places), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as learner:
        assert learner.stdout
        said = learner.stdout.readline()
        started = processes_of(places)
        learner.kill()
    assert (said, len(started)) == ("ready\n", 1)
    deadline = time.monotonic() + 20
    while processes_of(places) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(places) == []


def processes_of(places: Path) -> list[str]:
    """Return the processes that judge in a folder of feedback, by number."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if b"judge" in words and str(places).encode() in words:
            found.append(folder.name)
    return found


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("return price * count\n", "return price * count  # cents\n", "is not what .* was made of"),
        ("", "", "cannot read .*recipe.json"),
    ],
)
def test_another_project_than_that_of_the_places_judges_nothing(
    places: Path, project: Path, tmp_path: Path, old: str, new: str, part: str
) -> None:
    changed, folder = tmp_path / "shop", tmp_path / "feedback"
    shutil.copytree(project, changed)
    shutil.copytree(places, folder)
    if old:
        code = (changed / "apple.py").read_text(encoding="utf-8")
        assert old in code
        (changed / "apple.py").write_text(code.replace(old, new), encoding="utf-8")
        recipe = folder / "recipe.json"
        recipe.write_text(recipe.read_text().replace(str(project), str(changed)))
    else:
        (folder / "recipe.json").unlink()
    with pytest.raises(InputError, match=part):
        Verdicts(folder, tmp_path)


def test_why_nobody_judges_is_said_whole(places: Path, tmp_path: Path) -> None:
    folder = tmp_path / "feedback"
    shutil.copytree(places, folder)
    path = folder / "recipe.json"
    recipe = json.loads(path.read_text())
    recipe["tests"] = "python -c \"raise SystemExit('fimble: out of luck')\""
    path.write_text(json.dumps(recipe))
    with pytest.raises(InputError, match=r"^the tests do not pass .*: fimble: out of luck$"):
        Verdicts(folder, tmp_path)


def test_recipes_that_cannot_learn_from_tests_are_refused(
    tiny_data: Path, tiny_model: Path, places: Path, tmp_path: Path
) -> None:
    everything = (tiny_data, tiny_model, places)
    with pytest.raises(ConfigError, match=r"rows is 12; GRPO takes a multiple of .*per_prompt 8"):
        recipe_of(*everything, learning={"rows": 12, "micro_rows": 12})
    with pytest.raises(ConfigError, match="per_prompt is 1; texts are compared"):
        recipe_of(*everything, reward={"per_prompt": 1})
    with pytest.raises(ConfigError, match="GRPO learns from one project's tests"):
        recipe_of(*everything, earlier_preferences=[str(places)])
    large = recipe_of(*everything, learning={"rows": 800, "micro_rows": 8})
    with pytest.raises(ConfigError, match=r"gives 12 places to train on; a step of .* takes 100"):
        prefer(large, tmp_path / "out")
    with pytest.raises(InputError, match=r"cannot read examples from .*manifest.json"):
        prefer(recipe_of(tiny_data, tiny_model, tmp_path), tmp_path / "out")
