"""Rollouts: which model a user gets, by rules that a team signs and every machine evaluates itself.

    users and teams by name ──► a share of all users ──► everybody

A rule names users and teams, or takes a share of all users by a keyed hash; the first rule that
applies decides. The hash is keyed by the rule's name: a share that grows keeps its users, and two
rules draw independently. Evaluation needs no network, no file and no state.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, NamedTuple

from fimble.config import check_shares, from_table
from fimble.errors import ConfigError
from fimble.events import Unit
from fimble.experiments import NUM_BUCKETS, Arm, Assignment, bucket_of
from fimble.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_RULE = "none"
"""What events call the rule of a user whom none applies to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who gets a model; who is named gets it, and so does a share of all others."""

    name: str
    """Key of the hash: lower-case letters, digits, `_`, `.`, `-`; never used again."""
    users: tuple[str, ...] = ()
    """Names as in `telemetry.user`, or login names."""
    teams: tuple[str, ...] = ()
    """As in `telemetry.team`."""
    user_share: float = 0.0
    """Share of all users, 0 to 1."""
    model: str = ""
    """Model folder, or name of a shipped model; with no `tgi_url` either, the rule leaves its users
    what they configured."""
    tgi_url: str = ""
    """Base URL of a Text Generation Inference server."""

    def __post_init__(self) -> None:
        self.arm().applied(Settings())  # refuses letters and addresses that cannot be
        check_shares(self, ("user_share",))
        if self.name == NO_RULE:
            raise ConfigError(f"name is {NO_RULE!r}, which stands for users without a rule")

    def arm(self) -> Arm:
        """Return what the rule sets, as experiments set it."""
        return Arm(name=self.name, weight=1.0, model=self.model, tgi_url=self.tgi_url)

    def bucket(self, user: str) -> int:
        """Return where a user's hash falls, 0 to 9999; the rule applies below its share."""
        return bucket_of(salt=self.name, experiment="rollout", unit_id=user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The rules of a team, as they were signed."""

    name: str
    """What events call it, such as the model that is rolled out."""
    rules_version: int
    """1 or more; machines refuse a lower one than they have seen."""
    expires: date
    """From this day on, UTC, no rule counts."""
    rules: tuple[Rule, ...] = ()
    """The first that applies decides; none: everybody has what is configured."""

    def __post_init__(self) -> None:
        Arm(name=self.name, weight=1.0)  # the same letters as names of experiments
        if self.rules_version < 1:
            raise ConfigError(f"rules_version is {self.rules_version}; it must be 1 or more")
        if double := [n for n, count in Counter(r.name for r in self.rules).items() if count > 1]:
            raise ConfigError(f"two rules have the name {double[0]}")

    def is_expired(self, now_ms: int) -> bool:
        """Return whether the rules do not count any more."""
        ends = datetime.combine(self.expires, time(), UTC)
        return now_ms >= ends.timestamp() * 1000


class Judged(NamedTuple):
    """A rule, and what it says of a user."""

    rule: Rule
    applies: bool
    because: str


class Chosen(NamedTuple):
    """What the rules say of a user."""

    rollout: Rollout
    rule: Rule | None
    """None where none applies."""
    flag_reason: str
    """As OpenFeature calls it: `TARGETING_MATCH`, `SPLIT`, or `DEFAULT` where no rule applies."""
    propensity: float
    """Probability that a user whom no rule names gets this; 1 for users who are named."""

    def applied(self, settings: Settings) -> Settings:
        """Return `settings` with what the rule sets put over them."""
        return settings if self.rule is None else self.rule.arm().applied(settings)

    def assignment(self) -> Assignment:
        """Return what events say.

        No bucket: it is a hash of the user's name, and would tell who a pseudonym belongs to. Not
        eligible: who is named was not drawn, and shares change.
        """
        return Assignment(
            experiment=self.rollout.name,
            arm=self.rule.name if self.rule else NO_RULE,
            unit=Unit.USER,
            bucket=0,
            is_eligible=False,
            flag_reason=self.flag_reason,
            propensity=self.propensity,
        )


def parse_rollout(text: str, *, where: str) -> Rollout:
    """Return the rules in a TOML text.

    Args:
        text: The text.
        where: File, for messages.

    Raises:
        ConfigError: It is not TOML, or does not fit.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    return from_table(Rollout, table, where=where)


def choose(rollout: Rollout, *, user: str, team: str) -> Chosen:
    """Return what the rules say of a user.

    Args:
        rollout: The rules.
        user: Name of the user.
        team: Name of the user's team; may be empty.
    """
    left = 1.0
    for judged in judge(rollout, user=user, team=team):
        rule = judged.rule
        if judged.applies:
            is_named = _is_named(rule, user, team)
            reason = "TARGETING_MATCH" if is_named else "SPLIT"
            return Chosen(
                rollout, rule, reason, 1.0 if is_named else round(left * rule.user_share, 6)
            )
        left *= 1 - rule.user_share
    return Chosen(rollout, None, "DEFAULT", round(left, 6))


def judge(rollout: Rollout, *, user: str, team: str) -> Iterator[Judged]:
    """Yield what each rule says of a user, in their order."""
    for rule in rollout.rules:
        if _is_named(rule, user, team):
            what = f"user {user}" if user in rule.users else f"team {team}"
            yield Judged(rule, applies=True, because=f"{what} is named")
            continue
        bucket, limit = rule.bucket(user), round(rule.user_share * NUM_BUCKETS)
        is_in = bucket < limit
        because = f"bucket {bucket} is {'' if is_in else 'not '}below {limit}"
        yield Judged(rule, applies=is_in, because=because)


def _is_named(rule: Rule, user: str, team: str) -> bool:
    return user in rule.users or (bool(team) and team in rule.teams)
