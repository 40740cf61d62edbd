"""`fimble vocab train` and `fimble vocab measure`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.config import read_toml
from fimble.errors import InputError
from fimble.files import sha256_of, write_json, write_whole
from training.recipe import PretrainRecipe
from training.vocabulary.comparison import Comparison, Question, as_json, compare
from training.vocabulary.formats import load, load_all
from training.vocabulary.learn import learn
from training.vocabulary.measure import tally
from training.vocabulary.recipe import VocabularyRecipe
from training.vocabulary.sample import held_out_texts, training_sample

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble vocab`."""
    verbs = parser.add_subparsers(dest="vocab_verb", metavar="VERB", required=True)
    train = verbs.add_parser("train", help="train a vocabulary on a corpus")
    train.add_argument("recipe", type=Path, help="TOML recipe of the vocabulary")
    train.add_argument("--out", type=Path, required=True, help="folder for tokenizer.json")
    measure = verbs.add_parser("measure", help="compare tokenizers on held-out text")
    measure.add_argument(
        "tokenizers",
        metavar="[NAME=]TOKENIZER",
        nargs="+",
        help="tokenizer.json, a folder with one, *.gguf, *.tiktoken, tekken.json",
    )
    measure.add_argument("--on", type=Path, required=True, help="output of `fimble corpus build`")
    measure.add_argument("--report", type=Path, metavar="FILE.html", help="write a page, too")
    measure.add_argument(
        "--model",
        type=Path,
        metavar="RECIPE",
        help="training recipe of a model: what it would cost",
    )
    measure.add_argument(
        "--bytes-per-language",
        type=int,
        default=0,
        metavar="N",
        help="less held-out text; 0 is all",
    )
    measure.add_argument(
        "--sample-bytes",
        type=int,
        default=20_000_000,
        metavar="N",
        help="text of training that tells which tokens are learnt; 0 is none",
    )
    measure.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    return _train(arguments) if arguments.vocab_verb == "train" else _measure(arguments)


def _train(arguments: argparse.Namespace) -> int:
    recipe = read_toml(VocabularyRecipe, arguments.recipe)
    # What is held out is read at the end; a corpus without it shall not cost the wait.
    next(held_out_texts(recipe.corpus))
    taken: Counter[str] = Counter()

    def texts() -> Iterator[str]:
        for each in training_sample(recipe.corpus, recipe.sample):
            taken[each.language] += each.num_bytes
            yield each.text

    tokenizer = learn(
        texts(), size=recipe.size, max_token_bytes=recipe.max_token_bytes, unit=recipe.unit
    )
    path = arguments.out / "tokenizer.json"
    write_whole(path, tokenizer.to_str(pretty=True).encode())
    (counted,) = tally([load(path)], held_out_texts(recipe.corpus), time.thread_time)
    report: dict[str, object] = {
        "size": tokenizer.get_vocab_size(),
        "sha256": sha256_of(path),
        "recipe": json.loads(json.dumps(asdict(recipe), default=str)),
        "sample_bytes": taken.total(),
        "sample_bytes_by_language": dict(sorted(taken.items())),
        "bytes_per_token": {fit.language: round(fit.bytes_per_token, 3) for fit in counted.fits()},
    }
    write_json(arguments.out / "vocabulary.json", report)
    print(json.dumps(report))  # noqa: T201 - the command's result
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    for name in ("bytes_per_language", "sample_bytes"):
        if (value := getattr(arguments, name)) < 0:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 0 or more")
    recipe = None if arguments.model is None else read_toml(PretrainRecipe, arguments.model)
    question = Question(
        corpus=arguments.on,
        bytes_per_language=arguments.bytes_per_language,
        sample_bytes=arguments.sample_bytes,
        shape=None if recipe is None else recipe.model,
    )
    comparison = compare(load_all(arguments.tokenizers), question, time.thread_time)
    if arguments.report is not None:
        from training.vocabulary.report.page import render_comparison

        write_whole(arguments.report, render_comparison(comparison).encode())
    if arguments.json:
        print(json.dumps(as_json(comparison)))  # noqa: T201 - the command's result
    else:
        sys.stdout.write(_table(comparison))
    return 0


def _table(comparison: Comparison) -> str:
    """Return the table for a terminal: bytes per token by language, then what else counts."""
    measured = comparison.measured
    width = max(len("cheap indentation"), *map(len, comparison.languages))
    columns = [max(8, len(each.name)) for each in measured]

    def row(name: str, cells: list[str]) -> str:
        aligned = (f"{cell:>{column}}" for cell, column in zip(cells, columns, strict=True))
        return f"{name:<{width}}  {'  '.join(aligned)}".rstrip() + "\n"

    rows: dict[str, list[str]] = {"bytes per token": [each.name for each in measured]}
    for place, language in enumerate(comparison.languages):
        rows[language] = [f"{each.fits[place].bytes_per_token:.3f}" for each in measured]
    rows["mean"] = [f"{each.bytes_per_token:.3f}" for each in measured]
    rows[""] = [""] * len(measured)
    rows["tokens"] = [f"{each.size:,}" for each in measured]
    rows["tokens per line"] = [f"{each.mean('tokens_per_line'):.2f}" for each in measured]
    rows["cheap indentation"] = [f"{each.mean('cheap_indent_rate'):.1%}" for each in measured]
    rows["not used"] = [f"{len(each.tokens.unused):,}" for each in measured]
    for kind in measured[0].tokens.glitches:
        rows[kind.value] = [f"{len(each.tokens.glitches[kind]):,}" for each in measured]
    rows["files restored"] = [f"{each.mean('restored_rate'):.2%}" for each in measured]
    rows["MB/s"] = [f"{each.megabytes_per_s:.2f}" for each in measured]
    return "".join(row(name, cells) for name, cells in rows.items())
