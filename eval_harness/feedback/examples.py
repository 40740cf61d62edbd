"""From judged holes to pairs, labels and places."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fimble.context import WindowBudget, window
from fimble.errors import SentinelInTextError
from fimble.fim import FORMATS
from fimble.preferences import Asked, Label, Maker, Origin, Pair, Place, Split, Why

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eval_harness.feedback.recipe import FeedbackRecipe
    from eval_harness.models import ModelIdentity
    from eval_harness.problem import Problem


@dataclass(slots=True)
class Examples:
    """What judged holes give."""

    pairs: list[Pair] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    """Every hole that the tests see, whatever the model wrote there."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Holes that give nothing, by reason."""


def examples_of(
    places: Iterable[Mapping[str, Any]],
    problems: Mapping[str, Problem],
    identity: ModelIdentity,
    recipe: FeedbackRecipe,
) -> Examples:
    """Return the examples of judged holes.

    What fails is worse than what passes: than a text of the model's own where one does, which
    differs less, else than the project's code. A hole that the tests do not see says nothing.
    """
    found = Examples()
    fim_format = FORMATS[identity.fim_format or "fimble"]
    for place in places:
        problem = problems[place["problem_id"]]
        if not place["seen_by_tests"]:
            found.left_out["not_seen_by_tests"] += 1
            continue
        around = window(problem.prompt, problem.suffix, WindowBudget())
        try:
            asked = Asked.of(
                fim_format, prefix=around.prefix, suffix=around.suffix, path=problem.path
            )
        except SentinelInTextError:
            found.left_out["sentinel"] += 1
            continue
        _add(found, problem, asked, place["texts"], _Author(identity, recipe))
    return found


class _Author(NamedTuple):
    """Whose texts are judged."""

    identity: ModelIdentity
    recipe: FeedbackRecipe

    def origin(self, problem: Problem, why: Why, what: object) -> Origin:
        owner = f"{problem.project}/{problem.path}"
        split = Split.of(owner, seed=str(self.recipe.seed), held_out_share=self.recipe.held_out)
        return Origin(
            weight=1.0,
            maker=Maker.TESTS,
            why=why,
            split=split,
            owner=owner,
            example_id=_digest(f"{problem.problem_id}/{what}")[:16],
            language=problem.language,
            model=self.identity.name,
            model_digest=self.identity.digest,
        )


def _add(
    found: Examples, problem: Problem, asked: Asked, texts: list[dict[str, Any]], author: _Author
) -> None:
    """Add what one hole gives."""
    found.places.append(
        Place(
            asked=asked,
            place_id=problem.problem_id,
            truth=problem.canonical or "",
            origin=author.origin(problem, Why.TESTS_PASS, "place"),
        )
    )
    passing = [text["text"] for text in texts if text["passes"]]
    better = passing[0] if passing else problem.canonical or ""
    for number, text in enumerate(texts):
        why = Why.TESTS_PASS if text["passes"] else Why.TESTS_FAIL
        origin = author.origin(problem, why, number)
        label = Label(asked=asked, completion=text["text"], label=text["passes"], origin=origin)
        found.labels.append(label)
        if not text["passes"] and better:
            pair = Pair(asked=asked, chosen=better, rejected=text["text"], origin=origin)
            found.pairs.append(pair)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
