"""Experiments: what is registered in a file, and which arm a unit gets.

An arm is drawn by a keyed hash: nothing is stored, every process draws the same arm, and arms of
different experiments are independent of one another. The server evaluates this for each request
(microseconds, no file, no network); telemetry analyses what the drawn arms did.

    unit ──keyed hash──► layer bucket ── outside the experiment's part of its layer: takes no part
         ──keyed hash──► bucket 0..9999 ── table of buckets ──► arm, or nobody's: takes no part

Source: hashing into numbered buckets and layers follow Tang et al. 2010, "Overlapping Experiment
Infrastructure", sections 4.1 and 4.2. A plain FNV hash, as some flag services use it, correlates
arms of experiments with similar names; BLAKE2 with a key does not.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import combinations, islice
from typing import TYPE_CHECKING, NamedTuple

from fimble.config import read_toml
from fimble.context import WindowBudget
from fimble.errors import ConfigError
from fimble.events import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fimble.settings import Settings

NUM_BUCKETS = 10_000
HALTED_SUFFIX = ".halted"
"""`NAME.toml.halted` beside a registration means: rolled back, nobody takes part any more."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_DAY_MS = 86_400_000


class Looks(StrEnum):
    """When the result is looked at."""

    ONCE = "once"
    """At the end only: the shortest interval for a given amount of data."""
    DAILY = "daily"
    """As often as one likes: bounds that stay valid however often one looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the variants; what it does not set stays as the user configured it."""

    name: str
    weight: float
    """Share of the units, 0 to 1. Weights that add up to less than 1 leave the rest out."""
    model: str = ""
    """Model folder, or name of a shipped model."""
    tgi_url: str = ""
    """Base URL of another Text Generation Inference server."""
    max_new_tokens: int | None = None
    """Longest completion, in tokens."""
    debounce_ms: int | None = None
    window: WindowBudget | None = None
    """How much text around the cursor a prompt holds."""

    def __post_init__(self) -> None:
        _check_name("arm", self.name)
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"weight is {self.weight}; it must be 0 to 1")

    def applied(self, settings: Settings) -> Settings:
        """Return `settings` with what the arm sets put over them.

        Raises:
            ConfigError: A value is out of its range.
        """
        engine, completion = settings.engine, settings.completion
        tokens, pause_ms = self.max_new_tokens, self.debounce_ms
        return replace(
            settings,
            engine=replace(
                engine.at_tgi(self.tgi_url) if self.tgi_url else engine,
                model=self.model or engine.model,
            ),
            completion=replace(
                completion,
                max_new_tokens=completion.max_new_tokens if tokens is None else tokens,
                debounce_ms=completion.debounce_ms if pause_ms is None else pause_ms,
                window=self.window or completion.window,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A metric that must not get worse."""

    metric: str
    max_worse: float
    """How much worse it may get, in the metric's own unit, above 0; an arm that is certainly worse,
    and by more than this, is rolled back."""

    def __post_init__(self) -> None:
        if not 0 < self.max_worse < float("inf"):
            raise ConfigError(f"max_worse is {self.max_worse}; it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is decided before the first unit is drawn."""

    name: str
    """Lower-case letters, digits, `_`, `.`, `-`; part of every hash, so never used again."""
    arms: tuple[Arm, ...]
    """The first one is the control, which the others are compared with."""
    unit: Unit
    main_metric: str
    """The one metric that decides."""
    minimal_effect: float
    """Smallest change of the main metric that is worth shipping, in its own unit; above 0."""
    start: date
    """First day, UTC."""
    stop: date
    """The day after the last one, UTC."""
    salt: str = ""
    """Key of the hash; another one draws all units anew. Empty means the name."""
    hypothesis: str = ""
    """What is expected, and why; for the reader."""
    guardrails: tuple[Guardrail, ...] = ()
    looks: Looks = Looks.DAILY
    before_days: int = 14
    """Days before the start whose data reduce the variance (CUPED); 0 means not to."""
    slow_ms: float = 400.0
    """A suggestion that takes longer is slow, for the metric `slow_rate`."""
    alpha: float = 0.05
    """Share of experiments without an effect that may be taken for one that has it."""
    power: float = 0.8
    """Share of experiments with the minimal effect that must find it."""
    layer: str = ""
    """Experiments of one layer share the users between them; empty means a layer of its own."""
    layer_start: int = 0
    """First bucket of the layer that is ours, 0 to 9999."""
    layer_end: int = NUM_BUCKETS
    """The bucket after our last one, to 10000."""

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        self._check_arms()
        if not 0 < self.minimal_effect < float("inf"):
            raise ConfigError(f"minimal_effect is {self.minimal_effect}; it must be above 0")
        if self.stop <= self.start:
            raise ConfigError(f"stop is {self.stop}; it must come after start, {self.start}")
        if not (0 < self.alpha <= 0.2 and 0.5 <= self.power < 1):
            raise ConfigError("alpha must be above 0 and at most 0.2, power 0.5 to below 1")
        if not 0 <= self.before_days <= 365:
            raise ConfigError(f"before_days is {self.before_days}; it must be 0 to 365")
        if not 0 < self.slow_ms < float("inf"):
            raise ConfigError(f"slow_ms is {self.slow_ms}; it must be above 0")
        if not 0 <= self.layer_start < self.layer_end <= NUM_BUCKETS:
            raise ConfigError(
                f"the part of the layer is {self.layer_start} to {self.layer_end}; it must lie in "
                f"0 to {NUM_BUCKETS} and hold a bucket"
            )

    def _check_arms(self) -> None:
        if len(self.arms) < 2:
            raise ConfigError(f"there must be two arms or more; there are {len(self.arms)}")
        if double := [name for name, n in Counter(a.name for a in self.arms).items() if n > 1]:
            raise ConfigError(f"two arms have the name {double[0]}")
        total = sum(arm.weight for arm in self.arms)
        if total > 1 + 1e-9 or any(arm.weight == 0 for arm in self.arms):
            raise ConfigError(
                f"weights are {', '.join(f'{arm.weight:g}' for arm in self.arms)}; each must be "
                f"above 0, and they must add up to 1 at most, not {total:g}"
            )

    @property
    def control(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def start_ms(self) -> int:
        """The first instant of the experiment, Unix time."""
        return _midnight_ms(self.start)

    @property
    def stop_ms(self) -> int:
        """The first instant after the experiment, Unix time."""
        return _midnight_ms(self.stop)


class Assignment(NamedTuple):
    """The arm that a request got; the fields are those of `fimble.events.Exposed`."""

    experiment: str
    arm: str
    unit: Unit
    bucket: int
    is_eligible: bool
    flag_reason: str
    propensity: float


class Registered(NamedTuple):
    """An experiment that the server evaluates, and what it needs for that."""

    experiment: Experiment
    arms_by_bucket: tuple[int, ...]
    """Number of the arm that owns a bucket; -1 for nobody's."""
    start_ms: int
    stop_ms: int


def read_experiment(path: Path) -> Experiment:
    """Return the experiment that is registered in a TOML file.

    Raises:
        ConfigError: The file cannot be read or does not fit.
    """
    return read_toml(Experiment, path)


def read_registry(folder: Path) -> tuple[Experiment, ...]:
    """Return the experiments of a folder that were not rolled back, by name.

    Raises:
        ConfigError: A file does not fit, or two experiments contradict one another.
    """
    paths = [path for path in sorted(folder.glob("*.toml")) if not halted_file(path).exists()]
    experiments = tuple(read_experiment(path) for path in paths)
    for one, other in combinations(experiments, 2):
        if one.name == other.name:
            raise ConfigError(f"{folder}: two files register the experiment {one.name}")
        shares_layer = one.layer and one.layer == other.layer
        shares_days = one.start < other.stop and other.start < one.stop
        shares_part = one.layer_start < other.layer_end and other.layer_start < one.layer_end
        if shares_layer and shares_days and shares_part:
            raise ConfigError(
                f"{folder}: {one.name} and {other.name} overlap in the layer {one.layer}: buckets "
                f"{one.layer_start} to {one.layer_end} and {other.layer_start} to "
                f"{other.layer_end}; give each a part of its own"
            )
    return experiments


def halted_file(path: Path) -> Path:
    """Return the file that says, by being there, that the experiment of `path` was rolled back."""
    return path.with_name(path.name + HALTED_SUFFIX)


def bucket_of(*, salt: str, experiment: str, unit_id: str) -> int:
    """Return the bucket of a unit, 0 to 9999."""
    text = f"{experiment}\0{unit_id}".encode(errors="surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, key=_key(salt)).digest()
    return int.from_bytes(digest, "big") * NUM_BUCKETS >> 64


@lru_cache(maxsize=1024)
def _key(salt: str) -> bytes:
    return hashlib.blake2b(salt.encode(), digest_size=32).digest()


@lru_cache(maxsize=256)
def arms_by_bucket(weights: tuple[float, ...]) -> tuple[int, ...]:
    """Return the number of the arm that owns each bucket, -1 for nobody's.

    Each arm grows from a place of its own: first forward to where the next one begins, then, if it
    needs more, backward into what the others leave free at their ends. So an arm whose weight
    grows keeps its units, and takes new ones only from nobody or from an arm that shrinks.
    """
    places = [round(n * NUM_BUCKETS / len(weights)) for n in range(len(weights) + 1)]
    edges = [round(sum(weights[: n + 1]) * NUM_BUCKETS) for n in range(len(weights))]
    sizes = [edge - before for edge, before in zip(edges, [0, *edges], strict=False)]
    owners = [-1] * NUM_BUCKETS
    for arm, size in enumerate(sizes):
        own = min(size, places[arm + 1] - places[arm])
        owners[places[arm] : places[arm] + own] = [arm] * own
    for arm, size in enumerate(sizes):
        missing = max(0, size - (places[arm + 1] - places[arm]))
        backward = (bucket % NUM_BUCKETS for bucket in range(places[arm] - 1, -NUM_BUCKETS, -1))
        for bucket in islice((each for each in backward if owners[each] == -1), missing):
            owners[bucket] = arm
    return tuple(owners)


class Assigner:
    """Draws the arms of one user's requests."""

    def __init__(self, experiments: Iterable[Experiment], *, user_id: str) -> None:
        """Prepare what can be known before the first request.

        Args:
            experiments: Those that may run.
            user_id: Stable and not guessable, as the keyed hash of a user; never written by us.
        """
        self._user_id = user_id
        self._registered = tuple(
            Registered(
                each,
                arms_by_bucket(tuple(arm.weight for arm in each.arms)),
                each.start_ms,
                each.stop_ms,
            )
            for each in experiments
            if _is_in_layer(each, user_id)
        )

    def assign(self, *, request_id: str, now_ms: int) -> tuple[Assignment, ...]:
        """Return the arms of a request: one for each experiment that it takes part in.

        Args:
            request_id: Identifier of the request, the same for all that one burst of typing asks.
            now_ms: Unix time in milliseconds.
        """
        found = (
            _assigned(each, unit_id(each.experiment.unit, self._user_id, request_id, now_ms))
            for each in self._registered
            if each.start_ms <= now_ms < each.stop_ms
        )
        return tuple(assignment for assignment in found if assignment is not None)


def unit_id(unit: Unit, user_id: str, request_id: str, now_ms: int) -> str:
    """Return what is hashed: the user, the user on a day (UTC), or the request."""
    match unit:
        case Unit.USER:
            return user_id
        case Unit.USER_DAY:
            return f"{user_id}\0{now_ms // _DAY_MS}"
        case Unit.REQUEST:
            return f"{user_id}\0{request_id}"


def _is_in_layer(experiment: Experiment, user_id: str) -> bool:
    if not experiment.layer:
        return True
    bucket = bucket_of(salt=experiment.layer, experiment="layer", unit_id=user_id)
    return experiment.layer_start <= bucket < experiment.layer_end


def _assigned(registered: Registered, unit: str) -> Assignment | None:
    experiment = registered.experiment
    salt = experiment.salt or experiment.name
    bucket = bucket_of(salt=salt, experiment=experiment.name, unit_id=unit)
    number = registered.arms_by_bucket[bucket]
    if number < 0:
        return None
    arm = experiment.arms[number]
    return Assignment(
        experiment=experiment.name,
        arm=arm.name,
        unit=experiment.unit,
        bucket=bucket,
        is_eligible=True,
        flag_reason="SPLIT",
        propensity=round(arm.weight / sum(each.weight for each in experiment.arms), 6),
    )


def _midnight_ms(day: date) -> int:
    since = datetime.combine(day, time(), UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(milliseconds=1)


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what} is {name!r}; allowed are up to 64 lower-case letters, digits, _, . and -"
        )
