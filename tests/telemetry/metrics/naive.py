"""Metrics the slow way: from recorded lines, in plain Python, without a view or a query."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Thing = dict[str, Any]
Group = tuple[str | None, ...]
TAKEN = {"accepted", "accepted_part"}


def things(spool: Path) -> Iterator[Thing]:
    """Yield every request and every period of typing, with all its events say."""
    for path in sorted(spool.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        start = next(line for line in lines if line["ev"] == "session_started")
        session = {key: start[key] or None for key in ("user_key", "team", "editor")}
        session |= {"session_id": start["session_id"], "version": start["server_version"]}
        requests: dict[str, dict[str, Any]] = defaultdict(dict)
        kept: dict[str, dict[int, int]] = defaultdict(dict)
        for line in lines:
            name = line.get("completion_id") or line.get("opportunity_id")
            match line["ev"]:
                case "typing":
                    yield {**session, **line, "day": day_of(line["ts_wall_ms"])}
                case "retained" if line["state"] != "unknown":
                    kept[name][line["horizon_s"]] = line["kept_chars"]
                case "served" | "opportunity" | "shown" | "resolved" | "undone":
                    requests[name] |= {line["ev"]: True, **line}
                    requests[name].setdefault("day", day_of(line["ts_wall_ms"]))
        for name, request in requests.items():
            looks = [kept[name][at] for at in (600, 0, 300, 120, 30) if at in kept[name]]
            yield {**session, **request, "ev": "request", "kept": looks[0] if looks else None}


def day_of(ms: int) -> int:
    return ms // 86_400_000


def is_shown(request: dict[str, Any]) -> bool:
    told = "outcome" in request and request["outcome"] != "not_shown"
    return "served" in request and ("shown" in request or told)


def is_taken(request: dict[str, Any]) -> bool:
    return request.get("outcome") in TAKEN


def is_seen(request: dict[str, Any]) -> bool:
    return is_shown(request) and (request.get("visible_ms", 0) >= 750 or is_taken(request))


def is_a(outcome: str) -> Callable[[dict[str, Any]], float]:
    return lambda request: request.get("outcome") == outcome


def one(_: dict[str, Any]) -> float:
    return 1


REQUESTS: dict[str, tuple[Callable[[dict[str, Any]], float], Callable[[dict[str, Any]], float]]] = {
    "acceptance_rate": (is_taken, is_shown),
    "acceptance_rate_750": (is_taken, is_seen),
    "accepted_chars_rate": (
        lambda r: r.get("accepted_chars", 0),
        lambda r: r["num_chars"] if is_shown(r) else 0,
    ),
    "cancelled_rate": (lambda r: r.get("reason") == "cancelled", one),
    "error_rate": (lambda r: r.get("reason") == "error", one),
    "kept_chars_rate": (
        lambda r: r["kept"] or 0,
        lambda r: 0 if r["kept"] is None else r["accepted_chars"],
    ),
    "rejected_rate": (is_a("rejected"), is_shown),
    "served_rate": (lambda r: "served" in r, one),
    "shown_rate": (is_shown, lambda r: "served" in r),
    "taken_per_opportunity": (is_taken, one),
    "taken_per_served_rate": (is_taken, lambda r: "served" in r),
    "typed_through_rate": (is_a("typed_through"), is_shown),
    "undone_rate": (lambda r: "undone" in r, is_taken),
    "unresolved_rate": (lambda r: "served" in r and "outcome" not in r, lambda r: "served" in r),
}
TYPING: dict[str, tuple[Callable[[dict[str, Any]], float], Callable[[dict[str, Any]], float]]] = {
    "completed_share": (
        lambda t: t.get("completed_chars", 0),
        lambda t: t.get("completed_chars", 0) + t.get("inserted_chars", 0),
    ),
    "kept_chars_per_active_hour": (
        lambda t: t.get("kept") or 0,
        lambda t: t.get("active_ms", 0) / 3.6e6,
    ),
    "requests_per_active_hour": (
        lambda t: t["ev"] == "request",
        lambda t: t.get("active_ms", 0) / 3.6e6,
    ),
}


def ratio(of: Sequence[Thing], metric: str, by: tuple[str, ...]) -> dict[Group, tuple[float, ...]]:
    """Return users, numerator, denominator, value and half of the interval's width over t."""
    numerator, denominator = {**REQUESTS, **TYPING}[metric]
    sums: dict[Group, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for thing in of:
        if metric in REQUESTS and thing["ev"] == "typing":
            continue
        both = sums[tuple(thing.get(key) or None for key in by)][thing["user_key"]]
        both[0] += numerator(thing)
        both[1] += denominator(thing)
    found: dict[Group, tuple[float, ...]] = {}
    for group, users in sums.items():
        pairs = [pair for pair in users.values() if any(pair)]
        num, den = sum(n for n, _ in pairs), sum(d for _, d in pairs)
        if not pairs:
            continue
        value = num / den if den else math.nan
        spread = sum((n - value * d) ** 2 for n, d in pairs)
        count = len(pairs)
        error = math.sqrt(spread * count / (count - 1)) / den if den and count > 1 else math.nan
        found[group] = (count, num, den, value, error)
    return found


def percentile(
    of: Sequence[Thing], field: str, by: tuple[str, ...], share: float
) -> dict[Group, float]:
    """Return the smallest value at or below which a share of all lies."""
    values: dict[Group, list[float]] = defaultdict(list)
    for thing in of:
        if thing["ev"] == "request" and "served" in thing and thing.get(field, 0) > 0:
            values[tuple(thing.get(key) or None for key in by)].append(thing[field])
    return {
        group: sorted(some)[max(math.ceil(share * len(some)), 1) - 1]
        for group, some in values.items()
    }
