"""Registration of experiments, and the properties of their keyed hash."""

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.context import WindowBudget
from fimble.errors import ConfigError
from fimble.events import Exposed, Unit, field_types
from fimble.experiments import (
    NUM_BUCKETS,
    Arm,
    Assigner,
    Assignment,
    Experiment,
    arms_by_bucket,
    bucket_of,
    halted_file,
    read_experiment,
    read_registry,
)
from fimble.settings import Settings

DAY_MS = 86_400_000
NOON_MS = 1_788_264_000_000  # 2026-09-01, 12:00 UTC
TEXT = """
name = "longer"
unit = "user_day"
main_metric = "taken_per_opportunity"
minimal_effect = 0.02
start = 2026-09-01
stop = 2026-09-15
hypothesis = "longer completions 🙂 help"

[[arms]]
name = "control"
weight = 0.5

[[arms]]
name = "longer"
weight = 0.5
max_new_tokens = 96
window = { prefix_bytes = 4096 }

[[guardrails]]
metric = "slow_rate"
max_worse = 0.01
"""


def experiment(
    name: str = "longer", *, unit: Unit = Unit.USER, weights: tuple[float, ...] = (0.5, 0.5)
) -> Experiment:
    return Experiment(
        name=name,
        arms=tuple(Arm(name=f"arm-{n}", weight=weight) for n, weight in enumerate(weights)),
        unit=unit,
        main_metric="taken_per_opportunity",
        minimal_effect=0.02,
        start=date(2026, 9, 1),
        stop=date(2026, 9, 15),
    )


def drawn(what: Experiment, user: str, request: str = "r", now_ms: int = NOON_MS) -> str | None:
    found = Assigner([what], user_id=user).assign(request_id=request, now_ms=now_ms)
    return found[0].arm if found else None


def registered(tmp_path: Path, text: str, name: str = "e.toml") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_registration_is_read_as_it_is_written(tmp_path: Path, line_end: str) -> None:
    read = read_experiment(registered(tmp_path, TEXT.replace("\n", line_end)))
    assert (read.unit, read.start, read.hypothesis) == (
        Unit.USER_DAY,
        date(2026, 9, 1),
        "longer completions 🙂 help",
    )
    assert (read.start_ms, read.stop_ms) == (NOON_MS - DAY_MS // 2, NOON_MS + 27 * DAY_MS // 2)
    assert [arm.name for arm in read.arms] == ["control", "longer"]
    assert read.guardrails[0].max_worse == 0.01
    applied = read.arms[1].applied(Settings())
    assert applied.completion.max_new_tokens == 96
    assert applied.completion.window == WindowBudget(prefix_bytes=4096)
    assert read.control.applied(Settings()) == Settings()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "longer"\nunit', "unit", "missing key name"),
        ('name = "longer"\nunit', 'name = "Longer!"\nunit', "name is 'Longer!'"),
        ('unit = "user_day"', 'unit = "team"', "allowed are user, user_day, request"),
        ("minimal_effect = 0.02", "minimal_effect = 0.0", "minimal_effect is 0.0"),
        ("minimal_effect = 0.02", "minimal_effect = nan", "minimal_effect is nan"),
        ("stop = 2026-09-15", "stop = 2026-09-01", "it must come after start"),
        ("stop = 2026-09-15", 'stop = "soon"', "stop is 'soon' (str); it must be date"),
        ("weight = 0.5\nmax", "weight = 0.6\nmax", "weights are 0.5, 0.6"),
        ("weight = 0.5\nmax", "weight = -1\nmax", "weight is -1"),
        ('name = "control"', 'name = "longer"', "two arms have the name longer"),
        ("max_worse = 0.01", "max_worse = -0.01", "max_worse is -0.01"),
        ("max_worse", "max_wurst", "unknown key max_wurst"),
        ("start = 2026", "layer_start = 10000\nstart = 2026", "the part of the layer is 10000"),
        ("[[arms]]", "[[arms", "is not valid TOML"),
    ],
)
def test_a_wrong_registration_gets_one_message_that_names_file_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = registered(tmp_path, TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_experiment(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_empty_registration_and_one_arm_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing key arms, main_metric"):
        read_experiment(registered(tmp_path, ""))
    with pytest.raises(ConfigError, match="two arms or more"):
        replace(experiment(), arms=(Arm(name="a", weight=1.0),))


def test_an_assignment_is_what_the_event_records() -> None:
    of_the_event = set(field_types(Exposed)) - {"opportunity_id"}
    assert set(Assignment._fields) == of_the_event


def test_the_bucket_of_a_unit_is_the_same_on_every_machine() -> None:
    """Worked out with the hash function alone; a change would draw all running units anew."""
    found = [bucket_of(salt="s", experiment="e", unit_id=f"user-{n}") for n in range(4)]
    assert found == [bucket_of(salt="s", experiment="e", unit_id=f"user-{n}") for n in range(4)]
    code = (
        "import hashlib\n"
        "key = hashlib.blake2b(b's', digest_size=32).digest()\n"
        "for n in range(4):\n"
        "    h = hashlib.blake2b(b'e\\0user-%d' % n, digest_size=8, key=key).hexdigest()\n"
        "    print(int(h, 16) * 10000 // 2**64)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert [int(line) for line in done.stdout.split()] == found


def test_arms_get_their_weights() -> None:
    what = experiment(weights=(0.6, 0.3, 0.05))
    counts = Counter(drawn(what, f"user-{n}") for n in range(20_000))
    for arm, share in {"arm-0": 0.6, "arm-1": 0.3, "arm-2": 0.05, None: 0.05}.items():
        deviation = math.sqrt(share * (1 - share) * 20_000)
        assert abs(counts[arm] - share * 20_000) < 4 * deviation


@given(
    weights=st.lists(st.integers(1, 100), min_size=2, max_size=6),
    filled=st.floats(0.05, 1.0),
)
@settings(max_examples=25, deadline=None)
def test_the_table_of_buckets_holds_exactly_the_weights(weights: list[int], filled: float) -> None:
    shares = [filled * weight / sum(weights) for weight in weights]
    counts = Counter(arms_by_bucket(tuple(shares)))
    assert all(abs(counts[n] - share * NUM_BUCKETS) <= 1 for n, share in enumerate(shares))
    assert counts[-1] == NUM_BUCKETS - round(sum(shares) * NUM_BUCKETS)


@given(
    num_arms=st.integers(2, 6),
    grown=st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6),
    earlier=st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_units_only_join_while_all_arms_grow(
    num_arms: int, grown: list[float], earlier: list[float]
) -> None:
    late = [share / num_arms for share in grown[:num_arms]]
    early = [share * part for share, part in zip(late, earlier, strict=False)]
    before, after = arms_by_bucket(tuple(early)), arms_by_bucket(tuple(late))
    moved = [n for n, arm in enumerate(before) if arm >= 0 and after[n] != arm]
    assert len(moved) <= 2 * num_arms  # an edge is rounded to a whole bucket


@pytest.mark.parametrize("late", [0.05, 0.5, 0.9, 0.99])
def test_a_rollout_never_takes_the_new_arm_from_a_user(late: float) -> None:
    before, after = arms_by_bucket((0.99, 0.01)), arms_by_bucket((1 - late, late))
    assert all(after[n] == 1 for n, arm in enumerate(before) if arm == 1)


def test_a_user_day_keeps_its_arm_for_the_day_and_a_request_only_for_itself() -> None:
    what = experiment(unit=Unit.USER_DAY)
    midnight_ms = NOON_MS - DAY_MS // 2
    days = [
        {drawn(what, "u", f"r{n}", midnight_ms + day * DAY_MS + n * DAY_MS // 6) for n in range(6)}
        for day in range(14)
    ]
    assert all(len(arms) == 1 for arms in days)
    assert len(set.union(*days)) == 2
    requests = experiment(unit=Unit.REQUEST)
    assert len({drawn(requests, "u", f"r{n}") for n in range(20)}) == 2
    assert len({drawn(requests, "u", "same") for _ in range(5)}) == 1
    users = experiment()
    assert len({drawn(users, "u", f"r{n}", NOON_MS + n * DAY_MS) for n in range(10)}) == 1


def test_nobody_takes_part_before_the_start_and_after_the_stop() -> None:
    what = experiment()
    for now_ms, takes_part in (
        (what.start_ms - 1, False),
        (what.start_ms, True),
        (what.stop_ms - 1, True),
        (what.stop_ms, False),
    ):
        assert (drawn(what, "u", now_ms=now_ms) is not None) is takes_part


def test_arms_of_similarly_named_experiments_are_independent() -> None:
    """Correlations of 10 x 20,000 fair draws; a plain FNV hash reaches 0.88 here."""
    one = experiment("ranker-1")
    others = [experiment(f"ranker-{n}") for n in range(2, 12)]
    users = [f"user-{n}" for n in range(20_000)]
    assigners = [Assigner([one, *others], user_id=user) for user in users]
    arms = [[a.arm for a in each.assign(request_id="r", now_ms=NOON_MS)] for each in assigners]
    signs = [[1 if arm == "arm-1" else -1 for arm in row] for row in arms]
    for n in range(1, 11):
        correlation = sum(row[0] * row[n] for row in signs) / len(users)
        assert abs(correlation) < 4 / math.sqrt(len(users))


def test_experiments_of_one_layer_never_share_a_user() -> None:
    halves = [
        replace(experiment("a"), layer="model", layer_end=5000),
        replace(experiment("b"), layer="model", layer_start=5000),
    ]
    found = Counter(
        tuple(
            a.experiment
            for a in Assigner(halves, user_id=f"u{n}").assign(request_id="r", now_ms=NOON_MS)
        )
        for n in range(4000)
    )
    assert set(found) == {("a",), ("b",)}
    assert abs(found["a",] - 2000) < 4 * math.sqrt(1000)


def test_a_registry_refuses_contradictions_and_leaves_out_what_was_rolled_back(
    tmp_path: Path,
) -> None:
    registered(tmp_path, TEXT, "one.toml")
    registered(tmp_path, f'layer = "l"\n{TEXT}'.replace("longer", "two", 1), "two.toml")
    assert [each.name for each in read_registry(tmp_path)] == ["longer", "two"]
    three = registered(tmp_path, f'layer = "l"\n{TEXT}'.replace("longer", "three", 1), "three.toml")
    with pytest.raises(ConfigError, match="three and two overlap in the layer l"):
        read_registry(tmp_path)
    halted_file(three).touch()
    assert [each.name for each in read_registry(tmp_path)] == ["longer", "two"]
    registered(tmp_path, TEXT, "copy.toml")
    with pytest.raises(ConfigError, match="two files register the experiment longer"):
        read_registry(tmp_path)
    assert read_registry(tmp_path / "none") == ()


def test_a_user_id_may_hold_anything() -> None:
    what = experiment()
    for user in ("", "🙂", "a\0b", "\ud83d", "x" * 1_000_000):
        assert drawn(what, user) in {"arm-0", "arm-1"}


def test_assigning_needs_the_standard_library_alone() -> None:
    code = "import fimble.experiments, sys; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    others = {"numpy", "scipy", "duckdb", "tea_tasting", "aiohttp", "openfeature"}
    assert others.isdisjoint(done.stdout.split())
