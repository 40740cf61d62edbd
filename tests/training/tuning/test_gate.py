"""What a candidate must show, on made-up scores whose answer is known, and on real models."""

import json
import math
import shutil
from pathlib import Path

import pytest

from fimble.cli import main
from fimble.config import from_table, read_toml
from fimble.errors import ConfigError
from fimble.manifest import load_manifest
from fimble.preferences import Split
from tests.training.tuning.toy_corpus import write_corpus
from training.tuning.company import adapt, split_files
from training.tuning.data import examples_path
from training.tuning.gate import decide
from training.tuning.outcome import read_run
from training.tuning.paired import change
from training.tuning.preference_recipe import PairsRecipe, PreferenceRecipe
from training.tuning.recipe import CompanyRecipe, DataRecipe, GateConfig, GateRecipe, SftRecipe
from training.tuning.record import Task, read_examples, write_examples
from training.tuning.scores import CaseScore

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # peft asks transformers by the old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
PLAIN = CaseScore("plain", "python", "p0", 100.0, 100, is_exact=False, is_stopped=False)


def scores(
    *, exact: int, stopped: int = 300, nats: float = 10.0, groups: int = 30
) -> list[CaseScore]:
    """Return 300 cases, of which the first so many are exact; groups hold some of every kind."""
    return [
        CaseScore(
            task="fim" if n % 2 else "docstring_body",
            language="python",
            group=f"p{n % groups}",
            nats=nats,
            num_bytes=20,
            is_exact=n < exact,
            is_stopped=n < stopped,
        )
        for n in range(300)
    ]


def failed(first: list[CaseScore], second: list[CaseScore], **config: object) -> list[str]:
    decision = decide(first, second, from_table(GateConfig, config, where="test"))
    names = [check.name for check in decision.checks if not check.passed]
    assert decision.passed == (names == [])
    return names


def test_a_candidate_that_is_better_and_nowhere_worse_passes() -> None:
    assert failed(scores(exact=60), scores(exact=90)) == []


def test_an_equal_candidate_does_not_pass() -> None:
    assert failed(scores(exact=60), scores(exact=60)) == ["better_in_something"]


def test_a_gain_within_chance_does_not_pass() -> None:
    first = scores(exact=60)
    second = [each._replace(is_exact=n % 10 in {0, 1}) for n, each in enumerate(first)]
    second[7] = second[7]._replace(is_exact=True)
    assert "better_in_something" in failed(first, second)


def test_a_gain_of_one_kind_does_not_pay_for_a_loss_of_another() -> None:
    assert failed(scores(exact=60), scores(exact=90, stopped=240)) == ["stop_no_worse"]
    lost = [
        each._replace(is_exact=each.task == "fim" and n < 200)
        for n, each in enumerate(scores(exact=0))
    ]
    assert failed(scores(exact=60), lost) == ["exact/docstring_body_not_lost"]


def test_lines_and_longer_middles_are_compared_apart() -> None:
    first = [each._replace(is_line=n < 100) for n, each in enumerate(scores(exact=60))]
    second = [
        each._replace(is_exact=each.is_line, is_stopped=not each.is_line or n % 2 == 0)
        for n, each in enumerate(first)
    ]
    changes = decide(first, second, GateConfig()).changes
    line, block = changes["exact/single_line"], changes["exact/multi_line"]
    assert (line.value, line.num_cases, block.value, block.num_cases) == (0.4, 100, 0, 200)
    assert (changes["stop/single_line"].value, changes["stop/multi_line"].value) == (-0.5, 0)
    lost = [each._replace(is_exact=not each.is_line and n < 200) for n, each in enumerate(first)]
    assert failed(first, lost) == ["exact/single_line_not_lost"]


def test_plain_text_may_cost_one_percent_more_and_not_two() -> None:
    first, second = scores(exact=60), scores(exact=90)
    dearer = PLAIN._replace(nats=100.9)
    assert failed([*first, PLAIN], [*second, dearer]) == []
    assert failed([*first, PLAIN], [*second, dearer._replace(nats=102.0)]) == ["bits_per_byte"]


def test_few_projects_decide_nothing() -> None:
    assert failed(scores(exact=60, groups=4), scores(exact=90, groups=4)) == ["enough_groups"]


def test_fewer_bits_count_where_the_recipe_says_so() -> None:
    first, second = scores(exact=60), scores(exact=60, nats=9.0)
    assert failed(first, second) == ["better_in_something"]
    assert failed(first, second, better_in=["exact", "bits"]) == []
    with pytest.raises(ConfigError, match="allowed are bits, exact, stop"):
        from_table(GateConfig, {"better_in": ["speed"]}, where="test")


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no held-out cases"):
        decide([PLAIN], [PLAIN], GateConfig())


def test_an_interval_widens_where_cases_of_a_group_fall_together() -> None:
    first = [0.0] * 200
    second = [float(n % 20 < 5) for n in range(200)]
    alone = change(first, second, [str(n) for n in range(200)])
    together = change(first, second, [str(n % 20) for n in range(200)])
    assert alone.value == together.value == 0.25
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert (alone.num_better, alone.num_worse, together.num_groups) == (50, 0, 20)
    assert 0.25 - alone.low == pytest.approx(1.96 * math.sqrt(0.25 * 0.75 / 200), rel=0.1)
    assert change(first, second, ["a"] * 200).low == 0.25


def test_weights_make_a_rate_of_sums() -> None:
    found = change([1.0, 2.0], [2.0, 5.0], ["a", "b"], weights=[10.0, 30.0])
    assert found.value == pytest.approx(4 / 40)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten files that are alike enough to learn from, and differ enough to be kept."""
    folder = tmp_path_factory.mktemp("ours") / "src"
    words = ("size", "cost", "heat", "load", "mass", "cold", "rate", "flow", "rank", "tone")
    (folder / "billing").mkdir(parents=True)
    for n, word in enumerate(words):
        other = words[(n * 7 + 3) % len(words)]
        lines = [
            f"def {word}_of_{name}({other}, {name}):\n"
            f'    """Return the {word} of one {name} and its {other}."""\n'
            f"    {word} = {other}.get_{name}({name}, {n * 3 + k})\n"
            f"    return {word} + {k}\n"
            for k, name in enumerate(words[n % 5 :: 3])
        ]
        (folder / "billing" / f"{word}.py").write_text("\n\n".join(lines))
    return folder


def test_other_code_that_cannot_say_what_is_forgotten_is_refused_at_once(
    repository: Path, tiny_model: Path, tiny_data: Path, tmp_path: Path
) -> None:
    path = examples_path(tmp_path / "general", Split.HELD_OUT)
    examples = read_examples(examples_path(tiny_data, Split.HELD_OUT))
    write_examples(path, [each for each in examples if each.task is not Task.PLAIN])
    table = {
        "name": "ours",
        "repository": str(repository),
        "general_data": str(tmp_path / "general"),
        "model": {"path": str(tiny_model)},
    }
    with pytest.raises(ConfigError, match=r"general_data is .* has no example of plain"):
        adapt(from_table(CompanyRecipe, table, where="test"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_repository_gives_a_model_that_knows_it_better(
    repository: Path, tiny_model: Path, tiny_data: Path, tmp_path: Path
) -> None:
    table = {
        "name": "ours",
        "repository": str(repository),
        "general_data": str(tiny_data),
        "max_general_rise": 1e-9,
        "model": {"path": str(tiny_model), "max_tokens": 512},
        "method": "lora",
        "jobs": 1,
        "held_out_rate": 0.4,
        "held_out_cases": 4,
        "learning": {"lr": 0.02, "epochs": 1.0, "rows": 4, "micro_rows": 4},
        "mining": {"snippet_rate": 0.0, "fim_rate": 1.0, "plain_rate": 1.0},
        "gate": {"better_in": ["bits"]},
    }
    record = adapt(from_table(CompanyRecipe, table, where="test"), tmp_path)
    assert record["files"]["train"] + record["files"]["held_out"] == 10
    assert record["changes"]["bits"]["high"] < 0
    assert record["after"]["bits_per_byte"] < record["before"]["bits_per_byte"]
    assert (tmp_path / "tuned" / "adapter" / "adapter_model.safetensors").is_file()
    assert record["passed"] == all(check["passed"] for check in record["checks"])
    general = next(c for c in record["checks"] if c["name"] == "general_bits_per_byte")
    before, after = record["general_before"], record["general_after"]
    assert general["found"] == after["bits_per_byte"] / before["bits_per_byte"] - 1
    assert general["passed"] == (after["bits_per_byte"] <= before["bits_per_byte"])
    assert record["kept_share"] == read_run(tmp_path / "tuned")["kept_share"]
    manifest = load_manifest(tmp_path / "ours")
    assert manifest.scores["gate/passed"] == float(record["passed"])
    assert manifest.scores["gate/bits_high"] < 0
    decision = json.loads((tmp_path / "decision.json").read_text())
    assert decision == json.loads(json.dumps(record))


def test_a_repository_without_enough_files_is_one_message(tiny_model: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", {("p", "a.py"): "x = 1\n"})
    table = {"name": "ours", "repository": "src", "model": {"path": str(tiny_model)}}
    recipe = from_table(CompanyRecipe, table, where="test")
    with pytest.raises(ConfigError, match="src leaves 1 files to train on and 0 held-out ones"):
        split_files(corpus, tmp_path / "split", recipe)


def test_the_gate_compares_two_folders_and_notes_its_decision(
    tiny_data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = tmp_path / "candidate"
    shutil.copytree(tiny_model, candidate)
    (candidate / "origin.json").write_text(json.dumps({"scores": {"bits_per_byte": 1.0}}))
    recipe = tmp_path / "gate.toml"
    models = f'[parent]\npath = "{tiny_model}"\n[candidate]\npath = "{candidate}"\n'
    recipe.write_text(f'data = "{tiny_data}"\nheld_out_cases = 2\n{models}')
    assert main(["tune", "gate", str(recipe), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "exact: +0.0000 (+0.0000 to +0.0000)"
    assert printed[3] == "refused: enough_groups, better_in_something"
    decision = json.loads((tmp_path / "out" / "decision.json").read_text())
    assert decision["before"] == decision["after"]
    assert decision["before"]["middle_bits_per_byte/mean"] > 0
    noted = json.loads((candidate / "origin.json").read_text())["scores"]
    assert (noted["bits_per_byte"], noted["gate/passed"], noted["gate/exact_change"]) == (1, 0, 0)


RECIPES = {
    "data": DataRecipe,
    "sft": SftRecipe,
    "qlora": SftRecipe,
    "pairs": PairsRecipe,
    "dpo": PreferenceRecipe,
    "kto": PreferenceRecipe,
    "grpo": PreferenceRecipe,
    "gate": GateRecipe,
    "company": CompanyRecipe,
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_that_we_ship_is_one(name: str) -> None:
    folder = Path(__file__).parents[3] / "training" / "recipes"
    assert sorted(RECIPES) == sorted(
        p.stem.removeprefix("tuning-") for p in folder.glob("tuning-*")
    )
    read_toml(RECIPES[name], folder / f"tuning-{name}.toml")
