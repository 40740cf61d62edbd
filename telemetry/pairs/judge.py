"""What one suggestion teaches: a pair, a label, both, or nothing and why.

A label's weight is evidence times certainty. Certainty is 1 where the editor reported the outcome,
0.5 where the server inferred it. Evidence is, of an accepted text, the share that stands at the
last look, or for one that was removed the share that does not; of a rejected one, how long it was
on screen, full at 1.5 seconds. A pair's weight is the certainty, times the same time on screen
where the suggestion was rejected, halved where the place was looked at after half a minute only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fimble.content import FIRST_WITH_SNIPPETS, LATER_CHARS, PREFIX_CHARS, SUFFIX_CHARS
from fimble.context import Window, WindowBudget, window
from fimble.errors import SentinelInTextError
from fimble.events import KEPT_MIN_RATE, CacheHit, Outcome, Source
from fimble.fim import FimFormat
from fimble.languages import by_lsp_id
from fimble.preferences import Asked, Label, Maker, Origin, Pair, Split, Why
from fimble.secrets import holds_secret
from fimble.stops import Site, cut
from telemetry.pairs.left import Left

if TYPE_CHECKING:
    from telemetry.pairs.store import Suggestion

INFERRED_CERTAINTY = 0.5
SURELY_READ_MS = 1500.0
EARLY_LOOK_CERTAINTY = 0.5
LATE_LOOK_S = 600
LEAST_WEIGHT = 0.01
_NO_VERDICTS: dict[str, Left] = {
    Outcome.TYPED_THROUGH: Left.TYPED_THROUGH,
    Outcome.ACCEPTED_PART: Left.IN_PART,
    Outcome.NOT_SHOWN: Left.NOT_SEEN,
}


class Facts(NamedTuple):
    """A row of `consented.sql`: what became of a suggestion."""

    session_id: str
    completion_id: str
    user_key: str
    day: str
    language: str
    model: str
    model_digest: str
    cache: str
    prefix_chars: int
    suffix_chars: int
    num_chars: int
    outcome: str
    outcome_source: str
    visible_ms: float
    is_undone: bool
    kept_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What examples must fulfil."""

    fim_format: FimFormat
    budget: WindowBudget
    min_visible_ms: float
    """A suggestion that was rejected after less was not read."""
    now_ms: int
    """What has expired by then is not used."""


class Verdict(NamedTuple):
    """What a suggestion gives."""

    pair: Pair | Left
    label: Label | Left


def judge(suggestion: Suggestion, facts: Facts | None, terms: Terms) -> Verdict:
    """Return what a suggestion gives.

    Args:
        suggestion: The suggestion with the code around it.
        facts: What became of it; None where nothing was recorded at level `content`.
        terms: What examples must fulfil.
    """
    left = _unusable(suggestion, facts, terms)
    if left is not None or facts is None:
        return Verdict(left or Left.NO_EVENTS, left or Left.NO_EVENTS)
    try:
        terms.fim_format.render((suggestion.served.completion,))
        case = _Case(suggestion, facts, terms, _asked(suggestion, facts, terms))
        return Verdict(_pair(case), _label(case))
    except SentinelInTextError:
        return Verdict(Left.SENTINEL, Left.SENTINEL)


class _Case(NamedTuple):
    suggestion: Suggestion
    facts: Facts
    terms: Terms
    asked: Asked

    @property
    def completion(self) -> str:
        """The text that was suggested."""
        return self.suggestion.served.completion

    @property
    def is_kept(self) -> bool:
        """Whether it was accepted, and half of it or more stands."""
        facts = self.facts
        is_left = facts.kept_rate is not None and facts.kept_rate >= KEPT_MIN_RATE
        return facts.outcome == Outcome.ACCEPTED and is_left and not facts.is_undone

    @property
    def certainty(self) -> float:
        """How sure the outcome is."""
        is_reported = self.facts.outcome_source == Source.EDITOR
        return 1.0 if is_reported else INFERRED_CERTAINTY

    @property
    def sight(self) -> float:
        """How surely a suggestion was read that was not taken."""
        return min(1.0, self.facts.visible_ms / SURELY_READ_MS)


def _unusable(suggestion: Suggestion, facts: Facts | None, terms: Terms) -> Left | None:
    """Return why nothing can be learnt from a suggestion; None where something can."""
    if facts is None or facts.num_chars != len(suggestion.served.completion):
        return Left.NO_EVENTS
    if not facts.user_key:
        return Left.NO_PSEUDONYM
    if suggestion.expires_ms <= terms.now_ms:
        return Left.EXPIRED
    if (left := _without_verdict(facts, terms)) is not None:
        return left
    served = suggestion.served
    # A secret may lie across the cursor, so the texts are looked at as they stand in the file.
    middles = (served.completion, *suggestion.looks.values())
    is_secret = any(holds_secret(f"{served.prefix}{text}{served.suffix}") for text in middles)
    is_secret = is_secret or any(holds_secret(each.text) for each in served.snippets)
    return Left.SECRET if is_secret else None


def _without_verdict(facts: Facts, terms: Terms) -> Left | None:
    """Return why an outcome says nothing about the text; None where it does."""
    if facts.outcome == Outcome.ACCEPTED:
        return None
    if facts.outcome == Outcome.REJECTED:
        return Left.NOT_SEEN if facts.visible_ms < terms.min_visible_ms else None
    return _NO_VERDICTS.get(facts.outcome, Left.NO_VERDICT)


def _asked(suggestion: Suggestion, facts: Facts, terms: Terms) -> Asked:
    """Return the prompt that the engine got, or what it would get today.

    Raises:
        SentinelInTextError: The code spells a sentinel.
    """
    around = _window(suggestion, facts, terms)
    return Asked.of(
        terms.fim_format,
        prefix=around.prefix,
        suffix=around.suffix,
        path=suggestion.served.path,
        snippets=suggestion.served.snippets,
        is_prompt_as_sent=_is_as_sent(suggestion, facts),
    )


def _window(suggestion: Suggestion, facts: Facts, terms: Terms) -> Window:
    """Return the text around the cursor that the engine got, or what it would get today.

    Of a new generation, events say how much of the code it got. An answer from memory was
    generated elsewhere.
    """
    served = suggestion.served
    if _is_window_as_sent(suggestion, facts):
        start = len(served.prefix) - facts.prefix_chars
        return Window(served.prefix[start:], served.suffix[: facts.suffix_chars])
    return window(served.prefix, served.suffix, terms.budget)


def _is_as_sent(suggestion: Suggestion, facts: Facts) -> bool:
    has_all = suggestion.version >= FIRST_WITH_SNIPPETS
    return has_all and _is_window_as_sent(suggestion, facts)


def _is_window_as_sent(suggestion: Suggestion, facts: Facts) -> bool:
    served = suggestion.served
    is_recorded = facts.prefix_chars <= len(served.prefix) <= PREFIX_CHARS
    is_recorded = is_recorded and facts.suffix_chars <= len(served.suffix) <= SUFFIX_CHARS
    return facts.cache == CacheHit.MISS and is_recorded


def _label(case: _Case) -> Label | Left:
    """Return whether the text was wanted."""
    facts = case.facts
    if facts.outcome == Outcome.REJECTED:
        return _labelled(case, Why.REJECTED, case.certainty * case.sight)
    if facts.is_undone:
        return _labelled(case, Why.UNDONE, case.certainty)
    if facts.kept_rate is None:
        return Left.NOT_LOOKED_AT
    if case.is_kept:
        return _labelled(case, Why.KEPT, case.certainty * facts.kept_rate)
    return _labelled(case, Why.REMOVED, case.certainty * (1 - facts.kept_rate))


def _labelled(case: _Case, why: Why, weight: float) -> Label:
    origin = _origin(case, why, weight, None)
    is_wanted = why is Why.KEPT
    return Label(asked=case.asked, completion=case.completion, label=is_wanted, origin=origin)


def _pair(case: _Case) -> Pair | Left:
    """Return the suggestion together with what stands in its place."""
    found = _standing(case)
    if found is None:
        return Left.NOT_LOOKED_AT
    after_s, chosen = found
    if chosen is None:
        return Left.UNFINISHED
    if not chosen.strip():
        return Left.NOTHING_ELSE
    if "".join(chosen.split()) == "".join(case.completion.split()):
        return Left.SAME_BUT_BLANKS
    case.terms.fim_format.render((chosen,))
    is_rejected = case.facts.outcome == Outcome.REJECTED
    weight = case.certainty * (case.sight if is_rejected else 1.0)
    weight *= 1.0 if after_s >= LATE_LOOK_S else EARLY_LOOK_CERTAINTY
    why = Why.WRITTEN_INSTEAD if is_rejected else Why.REWRITTEN
    return Pair(
        asked=case.asked,
        chosen=chosen,
        rejected=case.completion,
        origin=_origin(case, why, weight, after_s),
    )


def _standing(case: _Case) -> tuple[int, str | None] | None:
    """Return what stands in place of the suggestion, and when it was seen; None if nobody looked.

    The place of an accepted text ends where that ends. What is written instead may go on, so the
    last look that shows where it ends is taken; the text is None where none does. It also ends
    where the code behind it begins, once its user writes elsewhere.
    """
    looks = sorted(case.suggestion.looks.items(), reverse=True)
    if not looks:
        return None
    if case.is_kept:
        after_s, stands = looks[0]
        return after_s, _edited(stands)
    left = case.suggestion.left
    seen = [(s, _finished(stands, case, is_left=s in left)) for s, stands in looks]
    return next((each for each in seen if each[1]), seen[0])


def _edited(stands: str) -> str | None:
    """Return what an accepted text has become; None where it was not recorded to its end."""
    return stands.rstrip() if len(stands) < LATER_CHARS else None


def _finished(stands: str, case: _Case, *, is_left: bool) -> str | None:
    """Return what was written at the place, ended where a completion ends there; else None."""
    served = case.suggestion.served
    site = Site.at(served.prefix, served.suffix, by_lsp_id(served.language))
    if not stands.strip():
        return ""
    found = cut(stands, site)
    if found.reason is not None:
        return found.text
    return _edited(stands) if is_left else None


def _origin(case: _Case, why: Why, weight: float, after_s: int | None) -> Origin:
    facts = case.facts
    return Origin(
        weight=round(max(weight, LEAST_WEIGHT), 4),
        maker=Maker.USER,
        why=why,
        split=Split.TRAIN,  # until users are told apart
        owner=facts.user_key,
        example_id=facts.completion_id,
        language=facts.language,
        model=facts.model,
        model_digest=facts.model_digest,
        outcome=facts.outcome,
        outcome_source=facts.outcome_source,
        visible_ms=facts.visible_ms,
        kept_rate=facts.kept_rate,
        after_s=after_s,
        day=facts.day,
        expires_ms=case.suggestion.expires_ms,
        content_version=case.suggestion.version,
    )
