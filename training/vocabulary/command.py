"""`fimble vocab train` and `fimble vocab measure`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from fimble.config import read_toml
from fimble.errors import InputError
from fimble.files import write_json
from training.vocabulary.learn import VocabularyRecipe, learn
from training.vocabulary.measure import Fit, fit_by_language
from training.vocabulary.sample import corpus_texts, training_sample

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble vocab`."""
    verbs = parser.add_subparsers(dest="vocab_verb", metavar="VERB", required=True)
    train = verbs.add_parser("train", help="train a vocabulary on a corpus")
    train.add_argument("recipe", type=Path, help="TOML recipe of the vocabulary")
    train.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json")
    measure = verbs.add_parser("measure", help="compare tokenizers on held-out text")
    measure.add_argument("tokenizers", type=Path, nargs="+", help="tokenizer.json files")
    measure.add_argument("--on", type=Path, required=True, help="output of `fimble corpus build`")
    measure.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    return _train(arguments) if arguments.vocab_verb == "train" else _measure(arguments)


def _train(arguments: argparse.Namespace) -> int:
    recipe = read_toml(VocabularyRecipe, arguments.recipe)
    texts = training_sample(recipe)
    tokenizer = learn(texts, size=recipe.size, max_token_bytes=recipe.max_token_bytes)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out / "tokenizer.json"))
    fits = _fits(tokenizer, recipe.corpus)
    report: dict[str, object] = {
        "size": tokenizer.get_vocab_size(),
        "sample_bytes": sum(len(text.encode()) for text in texts),
        "bytes_per_token": {fit.language: round(fit.bytes_per_token, 3) for fit in fits},
    }
    write_json(arguments.out / "vocabulary.json", report)
    print(json.dumps(report))  # noqa: T201 - the command's result
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    results = {str(path): _fits(_load(path), arguments.on) for path in arguments.tokenizers}
    if arguments.json:
        table = {
            path: {fit.language: fit.bytes_per_token for fit in fits}
            for path, fits in results.items()
        }
        print(json.dumps(table))  # noqa: T201 - the command's result
        return 0
    for path, fits in results.items():
        sys.stdout.write(f"{path}\n  language      bytes/token  tokens/line\n")
        for fit in fits:
            sys.stdout.write(
                f"  {fit.language:<12}  {fit.bytes_per_token:11.3f}  {fit.tokens_per_line:11.2f}\n"
            )
    return 0


def _fits(tokenizer: Tokenizer, corpus: Path) -> list[Fit]:
    tokenizer.encode_special_tokens = True
    held_out = ((language, text) for _, language, text in corpus_texts(corpus, "validation"))
    return fit_by_language(tokenizer, held_out)


def _load(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise InputError(f"cannot read the tokenizer {path}: {error}") from error
