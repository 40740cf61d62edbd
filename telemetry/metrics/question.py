"""A question to a metric: by what, of which days, and the SQL that answers it.

Ratios come with an interval that takes users for what is independent, not completions: the
variance of a ratio of sums over users, by the delta method, with Student's t. Groups of fewer than
`MIN_USERS` users are withheld wherever there are several users, so that no table tells what one
person does.

Source: Deng, Knoblich and Lu 2018, "Applying the delta method in metric analytics", section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fimble.errors import InputError
from telemetry.metrics.definition import HOURS, definition
from telemetry.metrics.histogram import PERCENTILES
from telemetry.texts import query, quoted

if TYPE_CHECKING:
    import duckdb

    from telemetry.metrics.definition import Definition

MIN_USERS = 5
"""Groups of fewer users are withheld."""
LEVEL = 0.95
"""Of intervals."""
DIMENSIONS: dict[str, str] = {
    "day": "day",
    "week": "date_trunc('week', day)::date",
    "month": "date_trunc('month', day)::date",
    "language": "language",
    "model": "model",
    "editor": "editor",
    "editor_version": "editor_version",
    "plugin_version": "plugin_version",
    "version": "server_version",
    "team": "team",
    "model_digest": "model_digest",
    "backend": "backend",
    "cache": "cache",
    "trigger": "trigger",
    "scope": "scope",
}
"""What a metric can be asked by, and the expression that tells it; `version` is the server's."""
NOT_OF_TYPING = ("model_digest", "backend", "cache", "trigger", "scope")
"""What is not known of time at the keyboard."""
NOT_DAILY = frozenset({"cache", "scope"})
"""What ratios need each request for, since the view `daily_facts` does not tell it."""
_MAX_DEGREES = 200  # with more, Student's t is the normal distribution to two digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a metric."""

    metric: str
    by: tuple[str, ...] = ()
    """Keys of `DIMENSIONS`."""
    since: date | None = None
    """First day, UTC."""
    until: date | None = None
    """Last day, UTC."""
    only: Mapping[str, str] = field(default_factory=dict)
    """Values of dimensions that count; others are left out. Empty text means: not known."""
    min_users: int = MIN_USERS

    def __post_init__(self) -> None:
        found = definition(self.metric)
        for name in (*self.by, *self.only):
            if name not in DIMENSIONS:
                hint = " (nobody is compared by name)" if name.startswith("user") else ""
                raise InputError(
                    f"metrics cannot be asked by {name!r}{hint}; allowed: {', '.join(DIMENSIONS)}"
                )
            if found.is_of_typing and name in NOT_OF_TYPING:
                raise InputError(
                    f"{self.metric} counts time at the keyboard, of which {name} is not known"
                )
        if len(set(self.by)) < len(self.by):
            raise InputError(f"a metric is asked twice by the same: {','.join(self.by)}")
        if self.since and self.until and self.since > self.until:
            raise InputError(f"the days from {self.since} to {self.until} are none")
        if self.min_users < 1:
            raise InputError(f"the smallest group is {self.min_users} users; it must be 1 or more")


class Value(NamedTuple):
    """One row of the answer for a ratio."""

    group: tuple[object, ...]
    """A value for each of `by`; None where it is not known."""
    num_users: int
    """Users, or sessions where there is one user only, or nobody says whose they are."""
    numerator: float | None
    """None in a group that is withheld, as the values below."""
    denominator: float | None
    value: float | None
    """None where the denominator is 0."""
    low: float | None
    """Lower end of the interval; None with fewer than two users."""
    high: float | None
    is_withheld: bool


class Spread(NamedTuple):
    """One row of the answer for a metric that has percentiles."""

    group: tuple[object, ...]
    num_users: int
    num_values: int | None
    percentiles: tuple[float | None, ...]
    """Of `PERCENTILES`."""
    is_withheld: bool


def ask_ratio(
    connection: duckdb.DuckDBPyConnection, question: Question, *, of_one: bool | None = None
) -> list[Value]:
    """Return the values of a ratio, a row a group; arguments as for `sql_of`."""
    width = len(question.by)
    rows = connection.execute(sql_of(connection, question, of_one=of_one)).fetchall()
    return [Value(row[:width], *row[width:]) for row in rows]


def ask_spread(
    connection: duckdb.DuckDBPyConnection, question: Question, *, of_one: bool | None = None
) -> list[Spread]:
    """Return the percentiles of a metric, a row a group; arguments as for `sql_of`."""
    width = len(question.by)
    rows = connection.execute(sql_of(connection, question, of_one=of_one)).fetchall()
    return [
        Spread(row[:width], row[width], row[width + 1], tuple(row[width + 2 : -1]), row[-1])
        for row in rows
    ]


def is_of_one(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether there is one user at most: who sees his own data only sees all of it."""
    sql = "select count(distinct user_key) from sessions"
    row = connection.execute(sql).fetchone()
    return row is None or row[0] <= 1


def sql_of(
    connection: duckdb.DuckDBPyConnection, question: Question, *, of_one: bool | None = None
) -> str:
    """Return the statement that answers a question.

    Args:
        connection: Where the views are; asked whether there are several users.
        question: What is asked.
        of_one: The answer to that, where it is known.
    """
    found = definition(question.metric)
    of_one = is_of_one(connection) if of_one is None else of_one
    shape = _ratio if found.is_ratio else _spread
    return shape(
        found,
        question,
        unit="session_id" if of_one else "who",
        withheld="false" if of_one else f"num_users < {question.min_users:d}",
    )


def _ratio(found: Definition, question: Question, *, unit: str, withheld: str) -> str:
    """Return the statement for a ratio: sums by user, then their sums and moments by group."""
    keys = ", ".join(question.by)
    first = f"{keys}, " if keys else ""
    of_what = "true" if found.is_of_typing else "requests > 0"  # so that typing is not even read
    form = "double" if HOURS in {found.numerator, found.denominator} else "bigint"
    names = ("numerator", "denominator", "value", "low", "high")
    shown = ", ".join(f"case when not is_withheld then {name} end as {name}" for name in names)
    return f"""\
with {_facts(question)}counted as (
{found.sql}),
by_user as (
    select {_keys(question)}{unit} as unit,
        coalesce(sum(numerator), 0)::double as num, coalesce(sum(denominator), 0)::double as den
    from counted where {of_what} and {_condition(question)} group by all
        having num > 0 or den > 0
),
moments as (
    select {first}count(*) as num_users, sum(num)::{form} as numerator,
        sum(den)::{form} as denominator, sum(num) / nullif(sum(den), 0) as value,
        sum(num * num) as num_sq, sum(num * den) as num_den, sum(den * den) as den_sq
    from by_user {f"group by {keys}" if keys else "having count(*) > 0"}
),
judged as (
    select *, {withheld} as is_withheld,
        sqrt(greatest(num_sq - 2 * value * num_den + value * value * den_sq, 0)
            * num_users / nullif(num_users - 1, 0)) / nullif(denominator, 0)
            * ({list(_quantiles())!r})[least(num_users - 1, {_MAX_DEGREES})] as reach,
        {_bounded("value - reach", found)} as low, {_bounded("value + reach", found)} as high
    from moments
)
select {first}num_users, {shown}, is_withheld from judged order by all"""  # noqa: S608 - our own words, and literals by `quoted`


def _facts(question: Question) -> str:
    """Return what puts sums by session and day in the place of requests, wherever they will do."""
    if NOT_DAILY & {*question.by, *question.only}:
        return ""
    return f"facts as (from daily_facts), hourly_facts as (\n{query('hourly_facts')}),\n"


@cache
def _quantiles() -> tuple[float, ...]:
    """Return those of Student's t by degrees of freedom, from 1 on; the last one is for more."""
    share = (1 - LEVEL) / 2
    from scipy.special import ndtri, stdtrit  # not `scipy.stats`, which takes a second to import

    return (*stdtrit(np.arange(1, _MAX_DEGREES), 1 - share).tolist(), float(ndtri(1 - share)))


def _bounded(expression: str, found: Definition) -> str:
    """Return an end of an interval within what the metric can be."""
    least = f"greatest({expression}, 0)"
    bounded = f"least({least}, 1)" if found.unit == "share" else least
    return f"case when reach is not null then {bounded} end"


def _spread(found: Definition, question: Question, *, unit: str, withheld: str) -> str:
    """Return the statement for percentiles: a histogram by group, then its ranks."""
    keys = ", ".join(question.by)
    first, apart = (f"{keys}, ", f"partition by {keys} ") if keys else ("", "")
    names = [f"p{100 * share:g}" for share in PERCENTILES]
    told = ", ".join(
        f"told_ms(min(bucket) filter (where so_far >= ceil({share} * of_all))) as {name}"
        for share, name in zip(PERCENTILES, names, strict=True)
    )
    same = " and ".join(f"h.{name} is not distinct from u.{name}" for name in question.by)
    shown = ", ".join(
        f"case when not is_withheld then {name} end as {name}" for name in ("num_values", *names)
    )
    return f"""\
with {_units(found, question, unit)},
users as (select {first}count(distinct unit) as num_users from chosen {_grouped(keys)}),
buckets as (
    select {_keys(question)}bucket, sum(num_served)::bigint as num
    from latency where measure = {quoted(found.value)} and {_condition(question)} group by all
),
ranks as (
    select *, sum(num) over ({apart}order by bucket) as so_far,
        sum(num) over ({apart}) as of_all
    from buckets
),
histograms as (select {first}sum(num)::bigint as num_values, {told} from ranks {_grouped(keys)}),
judged as (
    select h.*, u.num_users, {withheld} as is_withheld
    from histograms as h inner join users as u on {same or "true"}
)
select {first}num_users, {shown}, is_withheld from judged order by all"""  # noqa: S608 - our own words, and literals by `quoted`


def _units(found: Definition, question: Question, unit: str) -> str:
    """Return what tells whose values a group has: counts by session wherever they will do."""
    if NOT_DAILY & {*question.by, *question.only}:
        before, source, has_some = f"counted as (\n{found.sql}),\n", "counted", "true"
    else:
        before, source, has_some = "", "daily", f"num_{found.value} > 0"
    where = f"{has_some} and {_condition(question)}"
    unit_of = f"{_keys(question)}{unit} as unit"
    return f"{before}chosen as (select distinct {unit_of} from {source} where {where})"  # noqa: S608 - as above


def _grouped(keys: str) -> str:
    return f"group by {keys}" if keys else "having count(*) > 0"


def _keys(question: Question) -> str:
    """Return the columns that a question groups by, each under its name there."""
    return "".join(f"{_told(name)} as {name}, " for name in question.by)


def _told(name: str) -> str:
    """Return what a dimension is told by; days are days, and what is empty is not known."""
    expression = DIMENSIONS[name]
    return expression if name in {"day", "week", "month"} else f"nullif({expression}, '')"


def _condition(question: Question) -> str:
    """Return which rows count."""
    parts = ["true"]
    if question.since:
        parts.append(f"day >= {quoted(question.since.isoformat())}::date")
    if question.until:
        parts.append(f"day <= {quoted(question.until.isoformat())}::date")
    parts += [
        f"coalesce({DIMENSIONS[name]}::varchar, '') = {quoted(value)}"
        for name, value in question.only.items()
    ]
    return " and ".join(parts)
