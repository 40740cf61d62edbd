"""A project's tests judge what a model writes in it: a script answers, the tests are real."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from eval_harness.feedback.run import read_places
from eval_harness.prompts import prompt_parts
from eval_harness.suites.draw import Draw
from eval_harness.suites.registry import open_suite
from fimble.cli import main
from fimble.fim import FORMATS
from fimble.preferences import Label, Maker, Pair, Place, Split, Why, read_examples
from tests.stand_ins.openai_app import OpenAiScript, openai_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eval_harness.problem import Problem

PRICES = '''\
"""What things cost. 💶"""


def total(price, count):
    """Return what several of a thing cost."""
    if count < 0:
        raise ValueError("fewer than none")
    without_tax = price * count
    return without_tax + without_tax // 5


def never_tested(value):
    shown = str(value) + "!"
    return shown * 3
'''
TESTS = """\
import unittest

import prices


class TotalTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(prices.total(10, 3), 36)
        self.assertEqual(prices.total(7, 0), 0)
        with self.assertRaises(ValueError):
            prices.total(1, -1)
"""
WRONG = "max(price, 2)"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "prices.py").write_text(PRICES, encoding="utf-8")
    (folder / "tests" / "test_prices.py").write_text(TESTS, encoding="utf-8")
    (folder / "tests" / "__init__.py").write_text("")
    return folder


@pytest.fixture
def holes(project: Path) -> dict[str, Problem]:
    draw = Draw(source=str(project), per_language=100)
    problems = open_suite("repository", draw=draw).problems
    return {each.problem_id: each for each in problems if each.path == "prices.py"}


@pytest.fixture
def model(holes: dict[str, Problem]) -> Iterator[OpenAiScript]:
    """Says something wrong and the truth, in turns."""
    layout = FORMATS["starcoder"]
    truths = {
        layout.render(prompt_parts(hole, order=layout.orders[0])): hole.canonical or ""
        for hole in holes.values()
    }
    num_asked = Counter[str]()

    def answer(prompt: str) -> list[str]:
        num_asked[prompt] += 1
        return [WRONG if num_asked[prompt] % 2 else truths[prompt]]

    with openai_server(OpenAiScript(answer=answer)) as script:
        yield script


def write_recipe(folder: Path, project: Path, url: str, *lines: str) -> Path:
    path = folder / "feedback.toml"
    text = f'source = "{project}"\nmodel = "{url}/v1"\nfim_format = "starcoder"\nsamples = 2\n'
    path.write_text(text + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def feedback(recipe: Path, out: Path) -> int:
    return main(["eval", "feedback", str(recipe), "--out", str(out), "--json"])


@pytest.mark.e2e
@pytest.mark.slow
def test_what_fails_the_tests_is_worse_than_what_passes(
    project: Path,
    holes: dict[str, Problem],
    model: OpenAiScript,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, out = write_recipe(tmp_path, project, model.server.url), tmp_path / "out"
    assert feedback(recipe, out) == 0
    manifest = json.loads(capsys.readouterr().out)
    places = read_places(out)
    assert {place["problem_id"] for place in places} == set(holes)
    seen = {place["problem_id"] for place in places if place["seen_by_tests"]}
    within = PRICES.encode().index(b"def never_tested")
    untested = {name for name in holes if int(name.rpartition("/")[2].partition("-")[0]) > within}
    assert len(untested) >= 5
    assert not untested & seen
    verdicts = {
        (place["problem_id"], text["text"]): text["passes"]
        for place in places
        for text in place["texts"]
    }
    for name in seen:
        assert verdicts[name, holes[name].canonical or ""]
    (product,) = [name for name in seen if holes[name].canonical == "price * count"]
    assert not verdicts[product, WRONG]

    pairs = list(read_examples(Pair, out / "pairs" / "train.jsonl"))
    pairs += read_examples(Pair, out / "pairs" / "held_out.jsonl")
    assert len(pairs) == sum(not passes for passes in verdicts.values()) > 5
    assert {pair.origin.why for pair in pairs} == {Why.TESTS_FAIL}
    (pair,) = [pair for pair in pairs if pair.asked.suffix.startswith("\n    return without_tax +")]
    assert (pair.chosen, pair.rejected, pair.origin.maker) == ("price * count", WRONG, Maker.TESTS)
    labels = list(read_examples(Label, out / "labels" / "train.jsonl"))
    labels += read_examples(Label, out / "labels" / "held_out.jsonl")
    for label in labels:
        assert label.origin.split is Split.of(label.origin.owner, seed="0", held_out_share=0.1)
    assert {label.label for label in labels} == {True, False}
    assert len(labels) == len(verdicts) == manifest["num_texts"]
    assert manifest["num_passing"] == sum(verdicts.values())
    kept = list(read_examples(Place, out / "places" / "train.jsonl"))
    kept += read_examples(Place, out / "places" / "held_out.jsonl")
    assert {place.place_id: place.truth for place in kept} == {
        name: holes[name].canonical for name in seen
    }

    written = (out / "pairs" / "train.jsonl").read_bytes()
    lines = (out / "places.jsonl").read_bytes().splitlines(keepends=True)
    (out / "places.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:10])  # killed here
    num_asked = len(model.server.bodies)
    assert feedback(recipe, out) == 0
    last_seen = json.loads(lines[-1])["seen_by_tests"]
    assert len(model.server.bodies) == num_asked + (2 if last_seen else 0)
    assert (out / "pairs" / "train.jsonl").read_bytes() == written


def test_a_project_whose_tests_fail_says_nothing(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "tests" / "test_prices.py").write_text(TESTS.replace("36", "37"))
    recipe = write_recipe(tmp_path, project, "http://127.0.0.1:9")
    assert feedback(recipe, tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "the tests do not pass as the project is (exited, exit code 1)" in message
    assert "36 != 37" in message


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('languages = ["python", "rust"]', "languages names rust; allowed are javascript"),
        ('tests = "no-such-program-here -q"', "'no-such-program-here', which is not on this"),
        ('exclude = ["*"]', "has no file with a hole outside of *"),
        ("samples = 0", "samples is 0; it must be above 0"),
        ('tests = " "', "tests is empty; it must be a command"),
    ],
)
def test_bad_recipes_are_one_message(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, part: str
) -> None:
    text = write_recipe(tmp_path, project, "http://127.0.0.1:9", line).read_text()
    recipe = tmp_path / "feedback.toml"
    recipe.write_text(text.replace("samples = 2\n", "") if line.startswith("samples") else text)
    assert feedback(recipe, tmp_path / "out") == 2
    assert part in capsys.readouterr().err


def test_a_folder_of_another_recipe_is_left_alone(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, project, "http://127.0.0.1:9")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "recipe.json").write_text("{}")
    assert feedback(recipe, tmp_path / "out") == 2
    assert "was made by another recipe" in capsys.readouterr().err


def test_a_run_does_not_go_on_when_the_project_has_changed(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The folder of the run may lie in the project: what is written there changes nothing.
    recipe, out = write_recipe(tmp_path, project, "http://127.0.0.1:9"), project / "out"
    for _ in range(2):
        assert feedback(recipe, out) != 0  # nobody answers at that address
        assert "has changed" not in capsys.readouterr().err
    (project / "prices.py").write_text(f"# Once more.\n{PRICES}", encoding="utf-8")
    assert feedback(recipe, out) == 2
    assert f"{project} has changed since {out} was begun" in capsys.readouterr().err
