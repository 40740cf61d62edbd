"""What examples are made of suggestions, and which are left out."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fimble.context import WindowBudget
from fimble.events import CacheHit, Outcome, Source
from fimble.fim import FORMATS, Snippet
from fimble.preferences import Label, Split, Why
from telemetry.pairs.gather import Examples, Gathered, HoldOut, gather
from telemetry.pairs.judge import Terms
from telemetry.pairs.left import Left
from telemetry.privacy.forget import forget
from telemetry.reader import reading
from tests.stand_ins.spool_writer import START_MS
from tests.telemetry.pairs.conftest import PREFIX, SUFFIX, Case, Consenting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAY_MS = 86_400_000
TERMS = Terms(
    fim_format=FORMATS["fimble"], budget=WindowBudget(), min_visible_ms=750, now_ms=START_MS
)
ALL = HoldOut(seed="0", held_out_share=0.0, per_user=1000)


def found(consenting: Consenting, *, terms: Terms = TERMS, hold_out: HoldOut = ALL) -> Gathered:
    store = consenting.store
    with reading(store.spool, store.warehouse) as db:
        return gather(db, [consenting.content], terms=terms, hold_out=hold_out)


def apart(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with names and prompts of their own, so that none repeats another."""
    return [
        replace(case, name=f"c{n:02}", prefix=f"{n}\n{case.prefix}") for n, case in enumerate(cases)
    ]


REJECTED = Case(name="", outcome=Outcome.REJECTED)
INFERRED = Case(name="", source=Source.INFERRED)
LABELS = [
    (Case(name=""), True, Why.KEPT, 1.0),
    (Case(name="", kept_rate=0.6), True, Why.KEPT, 0.6),
    (replace(INFERRED, kept_rate=0.8), True, Why.KEPT, 0.4),
    (Case(name="", kept_rate=0.25), False, Why.REMOVED, 0.75),
    (Case(name="", is_undone=True, kept_rate=0.0), False, Why.UNDONE, 1.0),
    (REJECTED, False, Why.REJECTED, 1.0),
    (replace(REJECTED, visible_ms=750), False, Why.REJECTED, 0.5),
    (replace(INFERRED, outcome=Outcome.REJECTED, visible_ms=9000), False, Why.REJECTED, 0.5),
]


def test_a_label_says_whether_a_text_was_wanted_and_how_sure_that_is(
    consenting: Consenting,
) -> None:
    consenting.record(*apart([case for case, *_ in LABELS]))
    got = found(consenting).labels.train
    said = [(each.label, each.origin.why, each.origin.weight) for each in got]
    assert said == [tuple(expected) for _, *expected in LABELS]
    assert {each.completion for each in got} == {"return a + b"}
    assert got[0].asked.prompt == f"<|fim_suffix|>{SUFFIX}<|fim_prefix|>0\n{PREFIX}<|fim_middle|>"


NO_EXAMPLES = [
    (Case(name="", outcome=None), Left.NO_VERDICT),
    (Case(name="", outcome=Outcome.MOVED_AWAY), Left.NO_VERDICT),
    (Case(name="", outcome=Outcome.EXPIRED), Left.NO_VERDICT),
    (Case(name="", outcome=Outcome.NOT_SHOWN), Left.NOT_SEEN),
    (replace(REJECTED, visible_ms=749), Left.NOT_SEEN),
    (Case(name="", outcome=Outcome.TYPED_THROUGH), Left.TYPED_THROUGH),
    (Case(name="", outcome=Outcome.ACCEPTED_PART), Left.IN_PART),
    (Case(name="", kept_rate=None), Left.NOT_LOOKED_AT),
    (Case(name="", prefix="x = '<|fim_suffix|>' + "), Left.SENTINEL),
    (Case(name="", text="'<|endoftext|>'"), Left.SENTINEL),
    # Each record alone is harmless; together they spell a password.
    (Case(name="", prefix='password = "', text="hunter222", suffix='"\n'), Left.SECRET),
    (Case(name="", looks={600: 'password = "hunt'}, suffix='er22222"\n'), Left.SECRET),
]


def test_what_teaches_nothing_or_must_not_is_left_out_with_its_reason(
    consenting: Consenting,
) -> None:
    consenting.record(*apart([case for case, _ in NO_EXAMPLES]))
    got = found(consenting)
    assert got.num_suggestions == len(NO_EXAMPLES)
    assert (got.labels.train, got.pairs.train) == ([], [])
    assert got.labels.left_out == Counter(reason for _, reason in NO_EXAMPLES)


PAIRS = [
    (Case(name="", kept_rate=0.9, looks={30: "a + b", 600: "return a - b "}), "return a - b", 1.0),
    (Case(name="", kept_rate=0.9, looks={30: "return a - b"}), "return a - b", 0.5),
    (replace(REJECTED, looks={600: "raise Error(😀)\n\n\nx = 1\n"}), "raise Error(😀)", 1.0),
    (
        replace(INFERRED, outcome=Outcome.REJECTED, looks={600: "a\n\n\nb = 1\n"}),
        *("a", 0.5),
    ),
]


def test_a_pair_prefers_what_stands_there_to_what_was_suggested(consenting: Consenting) -> None:
    consenting.record(*apart([case for case, *_ in PAIRS]))
    got = found(consenting).pairs.train
    assert [(e.chosen, e.origin.weight) for e in got] == [tuple(rest) for _, *rest in PAIRS]
    assert {each.rejected for each in got} == {"return a + b"}
    assert got[0].asked.prompt == f"<|fim_suffix|>{SUFFIX}<|fim_prefix|>0\n{PREFIX}<|fim_middle|>"
    assert [each.origin.after_s for each in got] == [600, 30, 600, 600]


NO_PAIRS = [
    (Case(name=""), Left.NOT_LOOKED_AT),
    (Case(name="", looks={600: "return a + b"}), Left.SAME_BUT_BLANKS),
    (Case(name="", looks={600: "return  a+b\n"}), Left.SAME_BUT_BLANKS),
    (replace(REJECTED, looks={600: ""}), Left.NOTHING_ELSE),
    (replace(REJECTED, looks={600: " \n "}), Left.NOTHING_ELSE),
    (replace(REJECTED, looks={600: "rai"}), Left.UNFINISHED),
    (Case(name="", is_undone=True, looks={600: "p"}), Left.UNFINISHED),
    (Case(name="", looks={600: "return a\n" * 500}), Left.UNFINISHED),
    (Case(name="", looks={600: "return '<|fim_pad|>'"}), Left.SENTINEL),
]


def test_a_pair_needs_another_text_that_is_whole(consenting: Consenting) -> None:
    consenting.record(*apart([case for case, _ in NO_PAIRS]))
    got = found(consenting).pairs
    assert (got.train, got.left_out) == ([], Counter(reason for _, reason in NO_PAIRS))


WRITTEN = "raise Error(😀)"
FIRST = replace(REJECTED, name="first", path="a.py", looks={30: WRITTEN})
NEXT = Case(name="next", path="a.py", after_s=20, outcome=None)
BELOW = f"{PREFIX}{WRITTEN}{SUFFIX}def more():\n    "
NEXT_ONES = [
    (replace(NEXT, prefix=BELOW, suffix=""), WRITTEN),
    (replace(NEXT, prefix="", suffix=f"\n{PREFIX}{WRITTEN}{SUFFIX}"), WRITTEN),
    (replace(NEXT, prefix="x = ", path="b.py"), WRITTEN),
    # At the same place: in the middle of it, at its end, and at a line that goes on from it.
    (replace(NEXT, prefix=f"{PREFIX}raise "), None),
    (replace(NEXT, prefix=f"{PREFIX}{WRITTEN}"), None),
    (replace(NEXT, prefix=f"{PREFIX}{WRITTEN}\n    "), None),
    # Something else stood there when its user went on, or it was after the look.
    (replace(NEXT, prefix=BELOW.replace("Error", "KeyError")), None),
    (replace(NEXT, prefix=BELOW, after_s=31), None),
]


@pytest.mark.parametrize(("latest", "chosen"), NEXT_ONES)
def test_a_text_that_ends_at_the_code_behind_it_is_whole_once_its_user_writes_elsewhere(
    consenting: Consenting, latest: Case, chosen: str | None
) -> None:
    consenting.record(FIRST, latest)
    got = found(consenting).pairs
    assert [(e.chosen, e.origin.weight) for e in got.train] == ([(chosen, 0.5)] if chosen else [])
    assert got.left_out[Left.UNFINISHED] == (chosen is None)


def test_at_the_end_of_a_file_nothing_says_that_a_text_is_whole(consenting: Consenting) -> None:
    consenting.record(
        replace(FIRST, suffix="\n"), replace(NEXT, prefix=f"{PREFIX}{WRITTEN}\n", suffix="")
    )
    assert found(consenting).pairs.left_out[Left.UNFINISHED] == 1


def test_the_prompt_holds_what_the_engine_got_or_says_that_it_does_not(
    consenting: Consenting,
) -> None:
    long = "".join(f"x{n} = 'é😀'\n" for n in range(230)) + "y = "
    sent = Case(name="a", prefix=long[-4000:], sent_chars=(1234, 5), text="1")
    consenting.record(sent, replace(sent, name="b", text="2", cache=CacheHit.CACHE))
    as_sent, anew = found(consenting).labels.train
    assert as_sent.asked.is_prompt_as_sent is True
    assert (as_sent.asked.prefix, as_sent.asked.suffix) == (long[-1234:], SUFFIX[:5])
    assert anew.asked.is_prompt_as_sent is False
    assert len(anew.asked.prefix.encode()) <= WindowBudget().prefix_bytes
    assert long.endswith(anew.asked.prefix)
    assert (
        anew.asked.prompt
        == f"<|fim_suffix|>{SUFFIX}<|fim_prefix|>{anew.asked.prefix}<|fim_middle|>"
    )


def test_the_prompt_names_the_file_and_holds_code_of_others(consenting: Consenting) -> None:
    others = (Snippet(path="b.py", text="B = 1\n"), Snippet(path="ü/c.py", text="C = '😀'\n"))
    consenting.record(Case(name="a", path="pkg/a.py", snippets=others), session_id="s1")
    [label] = found(consenting).labels.train
    assert label.asked.prompt == (
        "<|file_sep|>b.py\nB = 1\n<|file_sep|>ü/c.py\nC = '😀'\n<|file_sep|>pkg/a.py\n"
        f"<|fim_suffix|>{SUFFIX}<|fim_prefix|>{PREFIX}<|fim_middle|>"
    )
    assert (label.asked.path, label.asked.snippets) == ("pkg/a.py", others)
    path = consenting.content / "s1-0.jsonl"
    table = json.loads(path.read_text()) | {"v": 1}
    path.write_text(json.dumps(table))  # of a release that recorded neither
    [label] = found(consenting).labels.train
    assert (label.asked.snippets, label.asked.path) == ((), "")
    assert (label.asked.is_prompt_as_sent, label.origin.content_version) == (False, 1)


def test_only_consent_that_lasts_counts(consenting: Consenting) -> None:
    consenting.record(Case(name="a", text="1"), session_id="s1", level="keys")
    consenting.record(Case(name="b", text="2"), session_id="s2", user="")
    consenting.record(Case(name="c", text="3"), session_id="s3")
    before_end = replace(TERMS, now_ms=START_MS + 30 * DAY_MS - 1)
    got = found(consenting, terms=before_end)
    assert [each.completion for each in got.labels.train] == ["3"]
    assert got.labels.left_out == {Left.NO_EVENTS: 1, Left.NO_PSEUDONYM: 1}
    got = found(consenting, terms=replace(TERMS, now_ms=START_MS + 30 * DAY_MS))
    assert got.labels.left_out[Left.EXPIRED] == 1


def test_who_is_forgotten_is_never_in_it(consenting: Consenting) -> None:
    consenting.record(Case(name="a", text="1"), session_id="s1", user="u1")
    consenting.record(Case(name="b", text="2"), session_id="s2", user="u2")
    copied = (consenting.content / "s1-0.jsonl").read_bytes()
    store = consenting.store
    store.merge()
    done = forget(
        [store.spool, consenting.content],
        *(store.warehouse, store.clock),
        user_keys=["u1"],
        wait_s=0,
    )
    assert done is not None
    assert done.num_sessions == 1
    assert [each.origin.owner for each in found(consenting).labels.train] == ["u2"]
    assert found(consenting).num_suggestions == 1
    (consenting.content / "s1-0.jsonl").write_bytes(copied)  # from a copy somebody kept
    got = found(consenting)
    assert [each.origin.owner for each in got.labels.train] == ["u2"]
    assert got.labels.left_out == {Left.NO_EVENTS: 1}


def test_repeated_texts_count_once_and_contradictions_not_at_all(consenting: Consenting) -> None:
    unsure = replace(Case(name="a"), source=Source.INFERRED)
    other = Case(name="x", text="return b", outcome=Outcome.REJECTED)
    consenting.record(unsure, Case(name="b"), Case(name="c", kept_rate=0.9), other)
    consenting.record(replace(other, name="y", outcome=Outcome.ACCEPTED), session_id="s2")
    got = found(consenting).labels
    assert [each.origin.example_id for each in got.train] == ["b"]
    assert got.left_out == {Left.DUPLICATE: 2, Left.CONTRADICTED: 2}


def test_users_are_held_out_whole_and_none_gives_more_than_the_cap(
    consenting: Consenting,
) -> None:
    for user in range(9):
        cases = [Case(name=f"{user}-{n}", text=f"f({user}, {n})") for n in range(5)]
        consenting.record(*cases, user=f"u{user}", session_id=f"s{user}")
    split = HoldOut(seed="7", held_out_share=0.5, per_user=3)
    got = found(consenting, hold_out=split).labels
    train, held_out = ({e.origin.owner for e in part} for part in (got.train, got.held_out))
    users = {f"u{user}" for user in range(9)}
    assert held_out == {user for user in users if split.split_of(user) is Split.HELD_OUT} != set()
    assert train == users - held_out != set()
    assert (len(got.train), len(got.held_out)) == (3 * len(train), 3 * len(held_out))
    assert got.left_out == {Left.OVER_CAP: 18}


def test_the_seed_decides_who_is_held_out_and_the_share_how_many() -> None:
    def held_out(seed: str, share: float) -> set[int]:
        split = HoldOut(seed=seed, held_out_share=share, per_user=1)
        return {n for n in range(4000) if split.split_of(f"u{n}") is Split.HELD_OUT}

    assert held_out("0", 0.0) == set()
    assert held_out("0", 1.0) == set(range(4000))
    assert abs(len(held_out("0", 0.25)) - 1000) < 110  # four standard deviations
    assert held_out("0", 0.1) < held_out("0", 0.25)
    assert len(held_out("0", 0.25) & held_out("1", 0.25)) < 350


def as_sets(examples: Examples[Label]) -> list[tuple[str, str]]:
    return [(each.origin.example_id, each.asked.prompt) for each in examples.train]


def test_neither_the_order_of_lines_nor_copies_of_files_change_anything(
    consenting: Consenting, tmp_path: Path
) -> None:
    cases = [
        Case(name=f"c{n}", text=f"f({n})", kept_rate=0.9, looks={600: f"g({n})"}) for n in range(9)
    ]
    consenting.record(*cases)
    split = replace(ALL, per_user=5)
    first = found(consenting, hold_out=split)
    path = consenting.content / "s1-0.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    path.write_text("".join(lines[:7]))
    (consenting.content / "s1-1.jsonl.open").write_text("".join(lines[5:]) + '{"torn')
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "s1-0.jsonl").write_text("".join(lines))
    with reading(consenting.store.spool, consenting.store.warehouse) as db:
        again = gather(db, [copy, consenting.content, tmp_path / "no"], terms=TERMS, hold_out=split)
    assert as_sets(again.labels) == as_sets(first.labels)
    assert again.pairs == first.pairs
    assert (first.bad_lines, again.bad_lines) == ({}, {"damaged_line": 1})


def test_lines_that_are_no_content_are_counted_and_nothing_else_is_lost(
    consenting: Consenting,
) -> None:
    consenting.record(Case(name="a"))
    path = consenting.content / "s1-0.jsonl"
    good = json.loads(path.read_text())
    first = {k: v for k, v in good.items() if k not in {"path", "snippets"}} | {"v": 1}
    damaged: list[object] = [
        *({**good, "snippets": None}, {**good, "snippets": [{"path": "a"}]}, {**first, "v": 2}),
        *({**good, "completion": 3}, {**good, "prefix": "\ud800"}, {**good, "session_id": "s2"}),
        *([], 17, {**good, "expires_ms": None}),
    ]
    unknown = [{**good, "v": 3}, {**good, "ev": "content_other"}, {}]
    lines = [json.dumps(each) for each in (*damaged, *unknown)]
    path.write_text("\n".join([*lines, "[" * 100_000, json.dumps(good)]) + "\n")
    got = found(consenting)
    assert got.bad_lines == {"damaged_line": len(damaged) + 1, "unknown_line": len(unknown)}
    assert [each.completion for each in got.labels.train] == ["return a + b"]


def test_an_empty_store_gives_nothing(consenting: Consenting) -> None:
    got = found(consenting)
    assert (got.num_suggestions, got.labels.train, got.pairs.held_out) == (0, [], [])
