"""Vocabularies: sentinels, round trips, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fimble.cli import main
from fimble.config import from_table
from fimble.errors import ConfigError
from fimble.fim import SPECIAL_TOKENS
from training.examples.build import load_tokenizer
from training.vocabulary.learn import VocabularyRecipe
from training.vocabulary.measure import fit_by_language
from training.vocabulary.sample import training_sample

if TYPE_CHECKING:
    from pathlib import Path


def test_sentinels_have_the_lowest_ids_in_their_order(tokenizer_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    assert [tokenizer.id_to_token(index) for index in range(64)] == list(SPECIAL_TOKENS)
    assert tokenizer.encode("<|fim_suffix|>").ids == [SPECIAL_TOKENS.index("<|fim_suffix|>")]


@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.sampled_from([*SPECIAL_TOKENS, "\r\n", "👩‍👩‍👧", "\x00", "\u2028"]))
def test_any_text_is_restored_and_none_of_it_becomes_a_sentinel(
    tokenizer_path: Path, text: str
) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert all(token >= len(SPECIAL_TOKENS) for token in ids)


def test_digits_are_single_tokens_and_no_token_is_longer_than_told(tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    assert len(tokenizer.encode("2048").ids) == 4
    longest = max(len(tokenizer.decode([i])) for i in range(64, tokenizer.get_vocab_size()))
    assert longest <= 24


def test_the_fit_counts_bytes_tokens_and_lines(tokenizer_path: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_path)
    text = "é = 1\n"
    (fit,) = fit_by_language(tokenizer, [("python", text), ("python", text)])
    assert (fit.num_bytes, fit.num_lines) == (14, 2)
    assert fit.num_tokens == 2 * len(tokenizer.encode(text).ids)
    assert fit.bytes_per_token == 14 / fit.num_tokens


def test_the_sample_is_about_as_large_as_told_and_does_not_depend_on_order(corpus: Path) -> None:
    recipe = VocabularyRecipe(corpus=corpus, sample_bytes=20_000)
    sample = training_sample(recipe)
    assert 5_000 < sum(map(len, sample)) < 60_000
    assert sample == training_sample(recipe)
    assert sample != training_sample(VocabularyRecipe(corpus=corpus, sample_bytes=20_000, seed=1))


def test_train_and_measure_from_the_command_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "vocab.toml"
    recipe.write_text(f'corpus = "{corpus}"\nsize = 400\nsample_bytes = 100_000\n')
    out = tmp_path / "vocab"
    assert main(["vocab", "train", str(recipe), "--out", str(out)]) == 0
    assert main(["vocab", "measure", str(out / "tokenizer.json"), "--on", str(corpus)]) == 0
    assert "python" in capsys.readouterr().out
    assert Tokenizer.from_file(str(out / "tokenizer.json")).get_vocab_size() == 400


def test_a_corpus_that_is_not_there_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "vocab.toml"
    recipe.write_text(f'corpus = "{tmp_path}"\n')
    assert main(["vocab", "train", str(recipe), "--out", str(tmp_path / "o")]) == 2
    assert "build the corpus first" in capsys.readouterr().err


def test_a_vocabulary_too_small_for_all_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match="it must be 320 to 65536"):
        from_table(VocabularyRecipe, {"corpus": "x", "size": 300}, where="recipe.toml")
