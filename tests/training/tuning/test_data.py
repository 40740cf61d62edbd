"""Instruction data from a small real corpus: what is mined, how it is split."""

import json
from pathlib import Path

import pytest

from fimble.cli import main
from fimble.config import from_table
from fimble.errors import ConfigError, InputError
from fimble.fim import FIMBLE, FORMATS, Mark
from fimble.preferences import Split
from lsp_server.prompting import query_for
from tests.training.tuning.toy_corpus import SHAPES, TESTS, shapes_corpus, write_corpus
from training.tuning.data import build_data, examples_path
from training.tuning.messages import conversation
from training.tuning.recipe import DataRecipe
from training.tuning.record import Example, Task, read_examples, write_examples


def recipe_of(corpus: Path, **settings: object) -> DataRecipe:
    mining = {"fim_rate": 1.0, "plain_rate": 1.0, "snippet_rate": 0.0, "per_task": 9}
    mining |= settings.pop("mining", {})
    table = {"corpus": str(corpus), "mining": mining, **settings}
    return from_table(DataRecipe, table, where="test")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    build_data(recipe_of(shapes_corpus(folder / "corpus"), messages=True), folder / "out")
    return folder / "out"


def test_each_task_asks_for_what_stands_below_its_words(data: Path) -> None:
    examples = read_examples(examples_path(data, Split.TRAIN))
    found = {
        (e.task, e.middle)
        for e in examples
        if e.path == "shapes.py" and e.task not in {Task.FIM, Task.PLAIN}
    }
    loop = "\n    for width, height in sizes:\n        total += area_of(width, height)"
    assert found == {
        (Task.DOCSTRING_BODY, "\n    product = width * height\n    return product"),
        (Task.TEST_BODY, "\n    half = width + height\n    return 2 * half"),
        (
            Task.SIGNATURE_BODY,
            f"\n    # add up all of the areas\n    total = 0{loop}\n\n    return total",
        ),
        (Task.COMMENT_BLOCK, f"\n    total = 0{loop}"),
        (Task.CALL_ARGUMENTS, "width, height"),
    }


def test_an_example_is_the_file_with_its_prompt_cut_to_the_servers_window(data: Path) -> None:
    examples = read_examples(examples_path(data, Split.TRAIN), tasks=[Task.DOCSTRING_BODY])
    assert [e.prefix + e.middle + e.suffix for e in examples if e.path == "shapes.py"] == [SHAPES]


def test_the_body_of_a_tested_function_comes_with_the_test(data: Path) -> None:
    [example] = read_examples(examples_path(data, Split.TRAIN), tasks=[Task.TEST_BODY])
    [snippet] = example.snippets
    assert (snippet.path, snippet.text) == (
        "tests/test_shapes.py",
        TESTS.partition("\n\n\n")[2].rstrip(),
    )
    parts = example.prompt(FIMBLE)
    assert parts[:2] == (Mark.FILE, f"{snippet.path}\n{snippet.text}")


def test_files_that_do_not_parse_give_replayed_text_only(data: Path) -> None:
    examples = read_examples(examples_path(data, Split.TRAIN))
    assert {e.task for e in examples if e.path == "broken.py"} == {Task.FIM, Task.PLAIN}
    assert [e for e in examples if e.path == "style.py"] == []


def test_as_many_pieces_of_a_file_are_replayed_as_are_asked_for(tmp_path: Path) -> None:
    text = "\n\n".join(f"def shape_{n}(width):\n    return width * {n}\n" for n in range(40))
    files = {("shapes", "shapes.py"): text, ("other", "lines.py"): text}
    corpus = write_corpus(tmp_path / "corpus", files)
    found: dict[int, list[Example]] = {}
    for count in (1, 3, 100):
        mining = {"chunk_bytes": 200, "replayed_pieces": count}
        build_data(recipe_of(corpus, mining=mining), tmp_path / str(count))
        found[count] = read_examples(examples_path(tmp_path / str(count), Split.TRAIN))
    plain = {count: [e.middle for e in of if e.task is Task.PLAIN] for count, of in found.items()}
    middles = {count: [e for e in of if e.task is Task.FIM] for count, of in found.items()}
    assert [len(plain[count]) for count in (1, 3)] == [1, 3] == [len(middles[n]) for n in (1, 3)]
    assert set(plain[1]) < set(plain[3]) < set(plain[100])
    assert sum(map(len, plain[100])) == len(text)


def test_each_draw_of_a_file_takes_other_pieces_and_middles(tmp_path: Path) -> None:
    text = "\n\n".join(f"def shape_{n}(width):\n    return width * {n}\n" for n in range(40))
    corpus = write_corpus(tmp_path / "corpus", {("a", "a.py"): text, ("b", "b.py"): text})
    found: dict[int, list[Example]] = {}
    for draws in (1, 3):
        mining = {"chunk_bytes": 200, "replayed_pieces": 100, "replayed_draws": draws}
        build_data(recipe_of(corpus, mining=mining), tmp_path / str(draws))
        examples = read_examples(examples_path(tmp_path / str(draws), Split.TRAIN))
        found[draws] = [e for e in examples if e.task is Task.FIM]
    places = {draws: {(e.prefix, e.middle, e.suffix) for e in of} for draws, of in found.items()}
    assert places[1] < places[3]
    assert len(places[3]) > 2 * len(places[1])


def test_held_out_projects_are_never_trained_on(data: Path) -> None:
    for split, project in ((Split.TRAIN, "shapes"), (Split.HELD_OUT, "other")):
        found = {example.project for example in read_examples(examples_path(data, split))}
        assert found == {project}


def test_the_prompt_is_the_one_that_the_language_server_sends(data: Path) -> None:
    from fimble.context import Window
    from fimble.stops import Site
    from lsp_server.prompting import Spot

    for example in read_examples(examples_path(data, Split.HELD_OUT), tasks=[Task.CALL_ARGUMENTS]):
        site = Site.at(example.prefix, example.suffix, None)
        spot = Spot(prefix=example.prefix, suffix=example.suffix, path=example.path, site=site)
        sent = query_for(spot, Window(example.prefix, example.suffix), FIMBLE, 64)
        assert example.prompt(FIMBLE) == sent.parts


def test_equal_recipes_give_equal_bytes_on_one_process_and_on_two(
    data: Path, tmp_path: Path
) -> None:
    corpus = data.parent / "corpus"
    build_data(recipe_of(corpus, messages=True, jobs=2), tmp_path / "again")
    for path in sorted(data.rglob("*.*")):
        assert (tmp_path / "again" / path.relative_to(data)).read_bytes() == path.read_bytes()
    build_data(recipe_of(corpus, seed=1), tmp_path / "other")
    name = examples_path(data, Split.TRAIN).relative_to(data)
    assert (tmp_path / "other" / name).read_bytes() != (data / name).read_bytes()


def test_the_card_counts_by_task_and_language(data: Path) -> None:
    card = json.loads((data / "card.json").read_text())
    assert card["by_task"]["train"]["call_arguments"] == {"all": 1, "python": 1}
    assert card["num_projects"] == {"train": 1, "held_out": 1}
    lines = (data / "messages" / "train.jsonl").read_text().splitlines()
    counts = card["by_task"]["train"]
    replayed = counts["fim"]["all"] + counts["plain"]["all"]
    assert len(lines) == card["num_examples"]["train"] - replayed


def test_a_cell_keeps_no_more_than_the_recipe_allows(data: Path, tmp_path: Path) -> None:
    card = build_data(recipe_of(data.parent / "corpus", per_cell=1), tmp_path / "one")
    assert set(json.loads(json.dumps(card))["by_task"]["train"]["signature_body"].values()) == {1}


def test_a_conversation_holds_the_code_and_the_answer_and_nothing_else() -> None:
    example = Example(
        Task.CALL_ARGUMENTS, "python", "p", "a.py", prefix="f(", suffix=")\n", middle="é, 🟦"
    )
    record = conversation(example)
    assert record is not None
    assert record["messages"] == [
        {
            "role": "user",
            "content": "Write the arguments of this call. Answer with nothing but the code that "
            "belongs at <HERE>.\n`a.py`:\n```python\nf(<HERE>)\n```",
        },
        {"role": "assistant", "content": "é, 🟦"},
    ]
    assert conversation(example._replace(suffix="<HERE>")) is None
    assert conversation(example._replace(task=Task.PLAIN)) is None


def test_a_file_in_the_midst_of_a_release_is_new_above_the_cursor_and_old_below(
    tmp_path: Path,
) -> None:
    old = "def f(a):\n    b = a + 1\n    return b\n\n\ndef g(a):\n    return a\n"
    new = old.replace("b = a + 1", "b = a + 2  # é").replace("    return a\n", "    return -a\n")
    before = write_corpus(tmp_path / "1", {("p", "m.py"): old, ("p", "same.py"): old})
    after = write_corpus(tmp_path / "2", {("p", "m.py"): new, ("p", "same.py"): old})
    settings = {"releases": [{"before": str(before), "after": str(after)}]}
    build_data(recipe_of(after, **settings), tmp_path / "out")
    path = examples_path(tmp_path / "out", Split.TRAIN)
    edits = read_examples(path, tasks=[Task.RELEASE_EDIT])
    assert [(e.prefix, e.middle, e.suffix) for e in edits] == [
        ("def f(a):\n    ", "b = a + 2  # é", "\n" + old.partition("+ 1\n")[2]),
        (new.partition("return -a")[0], "return -a", "\n"),
    ]


def test_other_families_get_their_own_layout_and_no_code_of_other_files_without_a_mark() -> None:
    example = Example(Task.FIM, "python", "p", "a.py", prefix="a", suffix="b", middle="m")
    example = example._replace(order="spm")
    assert example.prompt(FORMATS["qwen"])[0] is Mark.FILE
    assert example.prompt(FORMATS["starcoder"]) == (
        *(Mark.PREFIX, "a"),
        *(Mark.SUFFIX, "b", Mark.MIDDLE),
    )
    assert example._replace(order="psm").prompt(FIMBLE) == (
        *(Mark.FILE, "a.py\n", Mark.PREFIX, "a"),
        *(Mark.SUFFIX, "b", Mark.MIDDLE),
    )


def test_wrong_files_are_one_message(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match="fimble tune data"):
        read_examples(tmp_path / "none.parquet")
    with pytest.raises(ConfigError, match=r"files/\*\.parquet"):
        build_data(recipe_of(tmp_path), tmp_path / "out")
    with pytest.raises(InputError, match="examples hold"):
        read_examples(data.parent / "corpus" / "files" / "part-0000.parquet")


def test_examples_survive_a_file(tmp_path: Path) -> None:
    example = Example(Task.FIM, "go", "p", "a.go", prefix="\n", suffix="🟦", middle="", order="psm")
    write_examples(tmp_path / "a.parquet", [example])
    assert read_examples(tmp_path / "a.parquet") == [example]


def test_the_command_prints_counts(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "data.toml"
    recipe.write_text(f'corpus = "{data.parent / "corpus"}"\n[mining]\nfim_rate = 0.0\n')
    assert main(["tune", "data", str(recipe), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("train: docstring_body 1, signature_body 2, test_body 1, ")
    corpus = data.parent / "corpus"
    assert said.err == f"train: reading {corpus}\nheld_out: reading {corpus}\n"
    recipe.write_text("corpus = 3\n")
    assert main(["tune", "data", str(recipe), "--out", str(tmp_path / "out")]) == 2
    assert "corpus is 3 (int)" in capsys.readouterr().err
