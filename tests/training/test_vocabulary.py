"""Vocabularies: sentinels, samples, training, and the command."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fimble.cli import main
from fimble.config import from_table, read_toml
from fimble.errors import ConfigError
from fimble.files import sha256_of
from fimble.fim import SPECIAL_TOKENS
from training.examples.build import MARK_IDS, load_tokenizer
from training.vocabulary.learn import Unit, learn
from training.vocabulary.recipe import SampleConfig, VocabularyRecipe
from training.vocabulary.sample import corpus_texts, held_out_texts, training_sample

CODE = (
    "def area(width: int, height: int) -> int:\n"
    "    if width < 0 or height < 0:\n"
    "        raise ValueError(f'{width} x {height}')\n"
    "    return width * height\n\n\n"
)


def write_corpus(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    """Write rows of (project, language, split, text) as a corpus."""
    table = [
        {
            "id": f"{project}/{n}",
            "project": project,
            "language": language,
            "split": split,
            "text": text,
        }
        for n, (project, language, split, text) in enumerate(rows)
    ]
    (folder / "files").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(table), folder / "files" / "part-0000.parquet")
    return folder


@pytest.fixture(scope="module")
def line_tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary whose tokens may hold several words."""
    path = tmp_path_factory.mktemp("lines") / "tokenizer.json"
    learn([CODE] * 3, size=520, max_token_bytes=16, unit=Unit.LINE_WITH_END).save(str(path))
    return path


def test_sentinels_have_the_lowest_ids_in_their_order(
    tokenizer_path: Path, line_tokenizer_path: Path
) -> None:
    for path in (tokenizer_path, line_tokenizer_path):
        tokenizer = Tokenizer.from_file(str(path))
        assert [tokenizer.id_to_token(index) for index in range(64)] == list(SPECIAL_TOKENS)
        assert tokenizer.encode("<|fim_suffix|>").ids == [SPECIAL_TOKENS.index("<|fim_suffix|>")]
        # The bytes follow, so that no text can need an id that is not there.
        assert all(tokenizer.id_to_token(64 + index) for index in range(256))
    assert max(MARK_IDS.values()) < 7


@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.sampled_from([*SPECIAL_TOKENS, "\r\n", "👩‍👩‍👧", "\x00", "\u2028"]))
def test_any_text_is_restored_and_none_of_it_becomes_a_sentinel(
    tokenizer_path: Path, line_tokenizer_path: Path, text: str
) -> None:
    for path in (tokenizer_path, line_tokenizer_path):
        tokenizer = load_tokenizer(path)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert all(token >= len(SPECIAL_TOKENS) for token in ids)


def test_digits_are_single_tokens_and_no_token_is_longer_than_told(
    tokenizer_path: Path, line_tokenizer_path: Path
) -> None:
    for path, limit in ((tokenizer_path, 24), (line_tokenizer_path, 16)):
        tokenizer = load_tokenizer(path)
        assert len(tokenizer.encode("2048").ids) == 4
        texts = [tokenizer.decode([i]) for i in range(64, tokenizer.get_vocab_size())]
        assert max(map(len, texts)) <= limit
        assert not [text for text in texts if len(text) > 1 and any(c.isdigit() for c in text)]


def test_tokens_of_lines_hold_words_and_indentation_and_end_before_code(
    line_tokenizer_path: Path,
) -> None:
    tokenizer = load_tokenizer(line_tokenizer_path)
    tokens = tokenizer.encode(CODE)
    texts = [CODE[start:end] for start, end in tokens.offsets]
    assert len(texts) < CODE.count(" ")  # fewer tokens than words
    assert any("\n    " in text for text in texts)
    assert {text.rpartition("\n")[2].strip() for text in texts if "\n" in text} == {""}


def test_line_ends_stand_apart_from_code_where_they_were_learnt_apart() -> None:
    tokenizer = learn([CODE] * 3, size=520, max_token_bytes=16, unit=Unit.LINE)
    texts = [CODE[start:end] for start, end in tokenizer.encode(CODE).offsets]
    assert "\n    " in texts
    assert not [text for text in texts if "\n" in text and text.strip()]
    assert len(texts) < CODE.count(" ")


def test_a_smaller_vocabulary_is_the_start_of_a_larger_one() -> None:
    small, large = (json.loads(learn([CODE] * 3, size=size).to_str()) for size in (360, 400))
    assert large["model"]["merges"][: 360 - 320] == small["model"]["merges"]


def test_a_sample_takes_languages_as_training_does_unless_told_otherwise(tmp_path: Path) -> None:
    rows = [(f"p{n % 7}", "python", "train", f"x = {n}\n" * 50) for n in range(800)]
    rows += [(f"s{n % 7}", "sql", "train", f"select {n}" * 36 + "\n") for n in range(200)]
    corpus = write_corpus(tmp_path / "corpus", rows)

    def shares(**config: object) -> dict[str, float]:
        taken: Counter[str] = Counter()
        sample = from_table(SampleConfig, {"num_bytes": 100_000, **config}, where="test")
        for each in training_sample(corpus, sample):
            taken[each.language] += each.num_bytes
        return {language: size / taken.total() for language, size in taken.items()}

    assert shares()["sql"] == pytest.approx(0.2, abs=0.05)
    assert shares(language_exponent=0.5)["sql"] == pytest.approx(1 / 3, abs=0.07)
    assert shares(language_exponent=0.0)["sql"] == pytest.approx(0.5, abs=0.07)
    assert shares(weights={"sql": 4.0})["sql"] == pytest.approx(0.5, abs=0.07)


def test_projects_count_alike_as_far_as_their_sizes_allow(tmp_path: Path) -> None:
    rows = [("huge", "python", "train", f"huge = {n}\n" * 20) for n in range(1000)]
    rows += [("small", "python", "train", f"small = {n}\n" * 20) for n in range(100)]
    rows += [("tiny", "python", "train", "tiny = 1\n" * 20)]
    corpus = write_corpus(tmp_path / "corpus", rows)
    taken: Counter[str] = Counter()
    config = SampleConfig(num_bytes=40_000, even_projects=True)
    for each in training_sample(corpus, config):
        taken[each.project] += each.num_bytes
    assert taken["tiny"] == 180  # all there is
    assert taken["small"] == pytest.approx(20_000, rel=0.2)
    assert taken["huge"] == pytest.approx(20_000, rel=0.2)


def test_the_sample_is_about_as_large_as_told_and_does_not_depend_on_order(
    corpus: Path, tmp_path: Path
) -> None:
    config = SampleConfig(num_bytes=100_000)
    sample = list(training_sample(corpus, config))
    assert sum(each.num_bytes for each in sample) == pytest.approx(100_000, rel=0.5)
    assert sample == list(training_sample(corpus, config))
    assert sample != list(training_sample(corpus, SampleConfig(num_bytes=100_000, seed=1)))
    table = pq.read_table(corpus / "files" / "part-0000.parquet")
    (tmp_path / "files").mkdir()
    for part in range(3):
        rows = list(range(part, len(table), 3))[::-1]
        pq.write_table(table.take(rows), tmp_path / "files" / f"part-{part}.parquet")
    assert sorted(training_sample(tmp_path, config)) == sorted(sample)


def test_less_held_out_text_is_a_part_of_all_of_it(corpus: Path) -> None:
    whole = set(held_out_texts(corpus))
    part = list(held_out_texts(corpus, 50_000))
    assert set(part) < whole
    assert 50_000 <= sum(each.num_bytes for each in part) < 150_000


def test_train_from_the_command_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "vocab.toml"
    recipe.write_text(
        f'corpus = "{corpus}"\nsize = 400\nunit = "line"\n[sample]\nnum_bytes = 100_000\n'
    )
    out = tmp_path / "vocab"
    assert main(["vocab", "train", str(recipe), "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "vocabulary.json").read_text())
    assert printed["size"] == Tokenizer.from_file(str(out / "tokenizer.json")).get_vocab_size()
    assert printed["size"] == 400
    assert printed["sha256"] == sha256_of(out / "tokenizer.json")
    assert printed["recipe"]["sample"]["num_bytes"] == 100_000
    assert printed["sample_bytes_by_language"] == {"python": printed["sample_bytes"]}
    assert 1.2 < printed["bytes_per_token"]["python"] < 4
    again = tmp_path / "again"
    assert main(["vocab", "train", str(recipe), "--out", str(again)]) == 0
    assert (again / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()


def refusal(
    arguments: list[str], capsys: pytest.CaptureFixture[str], *, says: str, code: int = 2
) -> None:
    """Assert that a command ends with one message, and nothing on standard output."""
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_corpus_that_cannot_be_used_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer_path: Path
) -> None:
    recipe, out = tmp_path / "vocab.toml", str(tmp_path / "out")

    def train(corpus: Path, says: str) -> None:
        recipe.write_text(f'corpus = "{corpus}"\n')
        refusal(["vocab", "train", str(recipe), "--out", out], capsys, says=says)

    def measure(corpus: Path, says: str) -> None:
        arguments = ["vocab", "measure", str(tokenizer_path), "--on", str(corpus)]
        refusal(arguments, capsys, says=says)

    train(tmp_path, "build the corpus first")
    measure(tmp_path, "build the corpus first")
    only_train = write_corpus(tmp_path / "a", [("p", "python", "train", CODE)])
    says = "has no files in the split `validation`, only in train"
    train(only_train, says)
    measure(only_train, says)
    only_held_out = write_corpus(tmp_path / "b", [("p", "python", "validation", CODE)])
    train(only_held_out, "has no files in the split `train`, only in validation")
    measure(only_held_out, "has no files in the split `train`, only in validation")
    empty = write_corpus(tmp_path / "c", [("p", "python", "train", CODE)])
    pq.write_table(
        pq.read_table(empty / "files" / "part-0000.parquet").slice(0, 0),
        empty / "files" / "part-0000.parquet",
    )
    measure(empty, "only in none")
    (empty / "files" / "part-0000.parquet").write_bytes(b"PAR1 is not all of it")
    measure(empty, "cannot read")
    pq.write_table(pa.table({"text": ["x"]}), empty / "files" / "part-0000.parquet")
    measure(empty, "cannot read")


def test_a_weight_for_a_language_that_is_not_there_is_one_message(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "vocab.toml"
    recipe.write_text(f'corpus = "{corpus}"\n[sample.weights]\ncobol = 2.0\n')
    refusal(
        ["vocab", "train", str(recipe), "--out", str(tmp_path / "out")],
        capsys,
        says="there is no cobol in the corpus; it has python",
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"size": 300}, "it must be 320 to 65536"),
        ({"size": 70_000}, "it must be 320 to 65536"),
        ({"max_token_bytes": 0}, "it must be 1 or more"),
        ({"unit": "letter"}, "allowed are word, line, line_with_end"),
        ({"sample": {"num_bytes": 0}}, "it must be 1 or more"),
        ({"sample": {"language_exponent": 1.5}}, "it must lie in 0..1"),
        ({"sample": {"weights": {"c": 0.0}}}, "it must be above 0"),
        ({"sample_bytes": 1}, "unknown key sample_bytes"),
    ],
)
def test_a_recipe_out_of_range_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_table(VocabularyRecipe, {"corpus": "x", **table}, where="recipe.toml")


def test_the_recipes_that_we_ship_can_be_read() -> None:
    recipes = sorted((Path(__file__).parents[2] / "training" / "recipes").glob("vocab-*.toml"))
    sizes = {path.stem: read_toml(VocabularyRecipe, path).size for path in recipes}
    assert sizes["vocab-release-16k"] == sizes["vocab-16k"] == 16_384
    assert all(size % 128 == 0 for size in sizes.values())


def test_texts_come_with_their_project_and_split(corpus: Path) -> None:
    projects = {each.project for each in corpus_texts(corpus, "train")}
    assert projects == {"fimble", "training"}
    assert {each.project for each in held_out_texts(corpus)} == {"tests"}
