"""How much simulated people would take of models, without editors: the same places for each.

The people of `fimble eval sessions` look up at the start of a place, at line starts, and at a
quarter of the word ends; here models answer at those places from their weights, greedily, and the
answer is cut and judged as there. No server, no telemetry, no waiting: a fraction of the processor
time of sessions, and pairs of answers instead of two groups of people. What it cannot say: what a
server leaves unshown, and what people see before the next key.

    python -m bench.training.taken build/loop/corpus build/loop/pretraining/model \
        build/loop/turn-1/model build/loop/turn-2/model
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from eval_harness.heldout_lines import heldout_files
from eval_harness.sessions.person import LOOK_RATE, right_part
from eval_harness.sessions.places import places_in
from fimble.context import WindowBudget, window
from fimble.fim import FIMBLE
from fimble.languages import by_name
from fimble.preferences import Asked
from fimble.stops import Site, StopReason, finish
from training.tuning.encoding import Encoder
from training.tuning.paired import change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fimble.languages import Language

MAX_NEW_TOKENS = 40
AT_ONCE = 32


class Look(NamedTuple):
    """A place where somebody looks up."""

    project: str
    path: str
    language: Language
    prefix: str
    suffix: str
    true: str
    """What the person is going to write."""


class Answer(NamedTuple):
    """What a model suggests there."""

    num_chars: int
    num_taken: int
    num_tokens: int


def looks(corpus: Path, seed: int) -> Iterator[Look]:
    """Yield where people look up in the held-out files of a corpus."""
    for project, name, path, text in sorted(heldout_files(corpus)):
        language = by_name(name)
        if language is None:
            continue
        rng = random.Random(f"{seed} {project} {path}")
        for place in places_in(text, language, rng):
            lines = text.split("\n")
            start = sum(len(line) + 1 for line in lines[: place.line]) + place.column
            suffix = text[start + len(place.text) :]
            for number in _cursors(place.text, rng):
                head, true = text[:start] + place.text[:number], place.text[number:]
                yield Look(project, path, language, head, suffix, true)


def _cursors(text: str, rng: random.Random) -> Iterator[int]:
    """Yield how much of a text stands there when somebody looks up."""
    yield 0
    for number in range(1, len(text)):
        char = text[number - 1]
        is_line_start = text[:number].rpartition("\n")[2].strip() == "" and "\n" in text[:number]
        if is_line_start:
            if not text[number].isspace():
                yield number
        elif not (char.isalnum() or char == "_") and rng.random() < LOOK_RATE:
            yield number


@torch.no_grad()
def answers(folder: Path, asked: list[Look]) -> list[Answer]:
    """Return what the model in a Hugging Face folder suggests at each place."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    encoder = Encoder(folder, FIMBLE.name)
    settings = GenerationConfig(
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
        eos_token_id=sorted(encoder.end_ids),
        pad_token_id=encoder.pad_id,
    )
    prompts = [_prompt(each, encoder) for each in asked]
    order = sorted(range(len(asked)), key=lambda number: len(prompts[number]))
    found: dict[int, Answer] = {}
    for first in range(0, len(order), AT_ONCE):
        batch = order[first : first + AT_ONCE]
        longest = max(len(prompts[number]) for number in batch)
        gaps = [longest - len(prompts[number]) for number in batch]
        rows = [[encoder.pad_id] * gap + prompts[n] for gap, n in zip(gaps, batch, strict=True)]
        masks = [[0] * gap + [1] * (longest - gap) for gap in gaps]
        written = model.generate(
            torch.tensor(rows), attention_mask=torch.tensor(masks), generation_config=settings
        )
        for number, row in zip(batch, written[:, longest:].tolist(), strict=True):
            found[number] = _answer(row, encoder, asked[number])
    return [found[number] for number in range(len(asked))]


def _prompt(look: Look, encoder: Encoder) -> list[int]:
    around = window(look.prefix, look.suffix, WindowBudget())
    asked = Asked.of(
        FIMBLE,
        prefix=around.prefix,
        suffix=around.suffix,
        path=look.path,
        snippets=(),
        is_prompt_as_sent=True,
    )
    return encoder.parts(asked.parts(FIMBLE))


def _answer(row: list[int], encoder: Encoder, look: Look) -> Answer:
    end = next((n for n, token in enumerate(row) if token in encoder.end_ids), None)
    reason = StopReason.LENGTH if end is None else StopReason.END_TOKEN
    site = Site.at(look.prefix, look.suffix, look.language)
    text = finish(encoder.decode(row[:end]), site, reason).text
    if not text.strip():
        return Answer(0, 0, 0)
    return Answer(len(text), len(right_part(text, look.true)), len(encoder.text(text)))


def main() -> None:
    """Print a line for each model, and its difference to the first one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = list(looks(arguments.corpus, arguments.seed))
    groups = [each.project for each in asked]
    first: list[float] = []
    for folder in arguments.models:
        found = answers(folder, asked)
        taken = [float(each.num_taken > 0) for each in found]
        shown = [each for each in found if each.num_chars]
        num_shown = max(1, len(shown))
        print(
            f"{folder}: {len(shown)} of {len(asked)} shown, {sum(taken) / num_shown:.1%} of them "
            f"accepted, {sum(each.num_taken for each in shown)} of "
            f"{sum(each.num_chars for each in shown)} characters, "
            f"{sum(each.num_tokens for each in shown) / num_shown:.1f} tokens each"
        )
        if first:
            moved = change(first, taken, groups)
            print(f"  accepted a look: {moved.value:+.1%} ({moved.low:+.1%} to {moved.high:+.1%})")
        first = first or taken


if __name__ == "__main__":
    main()
