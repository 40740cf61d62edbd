"""How good a filter is, on suggestions that it was not learnt from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from telemetry.filters.rows import Rows

LOSSES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Shares of the kept characters that may be lost, for the table of what hiding would give."""
NUM_BINS = 10
_MAX_LOOKS = 200
_Z = 2.3263478740408408
"""Of the normal distribution: 99% lie below."""


class Bin(NamedTuple):
    """Suggestions of about the same score."""

    num_suggestions: int
    score: float
    """The mean."""
    helped_rate: float
    """Share that was accepted and kept."""


class Trade(NamedTuple):
    """What hiding the lowest scores gives."""

    lost_chars_rate: float
    """Share of the kept characters that may be lost."""
    hidden_rate: float
    acceptance_rate: float
    """Of what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a filter does on a set of suggestions; each counts by how unlikely it was shown."""

    num_suggestions: int
    num_taken: int
    auc: float
    """Probability that an accepted and kept suggestion scores higher than another one."""
    auc_of_mean_logprob: float
    """The same if the model's own probability were the score: what is to be beaten."""
    brier: float
    calibration_error: float
    """Mean distance of score and share, over the bins."""
    bins: list[Bin]
    threshold: float
    hidden_rate: float
    lost_taken_rate: float
    """Share of the accepted ones that would be hidden."""
    lost_chars_rate: float
    """Share of the kept characters that would be lost."""
    acceptance_before: float
    acceptance_after: float
    trades: list[Trade]


def evidence_of(rows: Rows, scores: np.ndarray, threshold: float) -> Evidence:
    """Return what a filter of these scores and this threshold does."""
    weight, is_hidden = rows.weight, scores < threshold
    taken, chars = weight * rows.is_taken, weight * rows.chars_kept
    bins = _bins(scores, rows.helped, weight)
    count = sum(each.num_suggestions for each in bins) or 1
    return Evidence(
        num_suggestions=len(rows),
        num_taken=int(rows.is_taken.sum()),
        auc=auc(scores, rows.helped, weight),
        auc_of_mean_logprob=auc(rows.numbers["mean_logprob"], rows.helped, weight),
        brier=_share(weight * (scores - rows.helped) ** 2, weight),
        calibration_error=sum(b.num_suggestions * abs(b.score - b.helped_rate) for b in bins)
        / count,
        bins=bins,
        threshold=threshold,
        hidden_rate=_share(weight * is_hidden, weight),
        lost_taken_rate=_share(taken * is_hidden, taken),
        lost_chars_rate=_share(chars * is_hidden, chars),
        acceptance_before=_share(taken, weight),
        acceptance_after=_share(taken * ~is_hidden, weight * ~is_hidden),
        trades=[_trade(rows, scores, loss) for loss in LOSSES],
    )


def safe_threshold(rows: Rows, scores: np.ndarray, max_lost_rate: float) -> float:
    """Return the highest threshold that certainly loses few of the accepted suggestions.

    Certainly: the upper end of an interval, at 99% on one side, is within the limit; of Wilson's,
    and of one that takes users for what is independent. 0 hides nothing.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference";
    Deng, Knoblich and Lu 2018, "Applying the delta method in metric analytics", section 3.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    taken = (rows.weight * rows.is_taken)[order]
    of_all = float(taken.sum())
    lost = np.cumsum(taken)
    upper = _wilson_upper(lost, of_all)
    is_last = np.append(ordered[1:] > ordered[:-1], True)  # equal scores are hidden together
    allowed = np.flatnonzero((upper <= max_lost_rate) & is_last)
    step = max(1, len(allowed) // _MAX_LOOKS)
    for last in allowed[::-step].tolist():
        if last + 1 < len(ordered) and _upper_by_user(rows, order[: last + 1]) <= max_lost_rate:
            return float(ordered[last + 1])
    return 0.0


def _upper_by_user(rows: Rows, hidden: np.ndarray) -> float:
    """Return what the share of accepted suggestions that are lost is at most, for other users."""
    taken = rows.weight * rows.is_taken
    lost = np.zeros_like(taken)
    lost[hidden] = taken[hidden]
    of_user, lost_of_user = np.bincount(rows.who, taken), np.bincount(rows.who, lost)
    of_user, lost_of_user = of_user[of_user > 0], lost_of_user[of_user > 0]
    count = len(of_user)
    if count < 2:
        return float(lost.sum() / taken.sum()) if taken.sum() else 1.0
    rate = float(lost_of_user.sum() / of_user.sum())
    residual = float(((lost_of_user - rate * of_user) ** 2).sum())
    return rate + _Z * math.sqrt(residual * count / (count - 1)) / float(of_user.sum())


def _wilson_upper(successes: np.ndarray, trials: float) -> np.ndarray:
    if trials == 0:
        return np.ones_like(successes)
    rate = successes / trials
    centre = rate + _Z**2 / (2 * trials)
    reach = _Z * np.sqrt(rate * (1 - rate) / trials + _Z**2 / (4 * trials**2))
    return (centre + reach) / (1 + _Z**2 / trials)


def auc(scores: np.ndarray, helped: np.ndarray, weight: np.ndarray) -> float:
    """Return the area under the curve, ties counted by half; NaN where all are alike."""
    _, tied = np.unique(scores, return_inverse=True)
    good = np.bincount(tied, weight * helped)
    bad = np.bincount(tied, weight * ~helped)
    pairs = float(good.sum() * bad.sum())
    below = np.cumsum(bad) - bad
    return float((good * (below + bad / 2)).sum() / pairs) if pairs else math.nan


def _bins(scores: np.ndarray, helped: np.ndarray, weight: np.ndarray) -> list[Bin]:
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, NUM_BINS) if len(part)]
    return [
        Bin(
            len(part),
            _share(weight[part] * scores[part], weight[part]),
            _share(weight[part] * helped[part], weight[part]),
        )
        for part in parts
    ]


def _trade(rows: Rows, scores: np.ndarray, loss: float) -> Trade:
    """Return what hiding gives if so many of the kept characters may be lost."""
    order = np.argsort(scores, kind="stable")
    chars = np.cumsum((rows.weight * rows.chars_kept)[order])
    num_hidden = int(np.searchsorted(chars, loss * chars[-1], side="right")) if len(chars) else 0
    hidden, left = order[:num_hidden], order[num_hidden:]
    weight = rows.weight
    return Trade(
        loss,
        float(weight[hidden].sum() / weight.sum()) if len(weight) else 0.0,
        _share((weight * rows.is_taken)[left], weight[left]),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total else 0.0
