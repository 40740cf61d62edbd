"""The spool's listings: whoever writes meanwhile, no segment comes without those before it."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

from fimble.spool import adopt_orphans, all_segments, closed_segments, without_gaps
from tests.stand_ins.spool_writer import lines_of, open_segment, session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.telemetry.conftest import Store


def test_segments_come_as_they_were_written(tmp_path: Path) -> None:
    names = ["a-9.jsonl", "a-10.jsonl", "a-11.jsonl.open", "b-0.jsonl", "b-1.jsonl"]
    for name in (*reversed(names), ".b-2.jsonl.open.part", "b-3.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in all_segments(tmp_path)] == names
    assert [path.name for path in closed_segments(tmp_path)] == [*names[:2], *names[3:]]
    assert all_segments(tmp_path / "nowhere") == []


def test_a_listing_that_misses_a_segment_is_made_good(tmp_path: Path) -> None:
    """A system that lists a folder in pieces may tell of the second of two new files only."""
    numbers = count()

    def listing() -> Iterator[Path]:
        yield from tmp_path.glob("*")
        unseen, seen = (tmp_path / f"s-{next(numbers)}.jsonl" for _ in range(2))
        unseen.touch()
        seen.touch()
        yield seen

    found = [path.name for path in without_gaps(listing)]
    assert found == ["s-0.jsonl", "s-1.jsonl"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_writer_that_died_before_its_first_line_leaves_nothing(store: Store) -> None:
    empty = store.put("died-0.jsonl.open", [])
    left = store.put("left-0.jsonl.open", lines_of(session(1, seed=1), "left"))
    assert adopt_orphans(store.spool) == 1
    assert [path.name for path in store.spool.iterdir()] == ["left-0.jsonl"]
    assert not empty.exists()
    assert not left.exists()


@pytest.mark.skipif(os.name == "nt", reason="an open file is not renamed there")
def test_a_writer_that_lives_keeps_its_empty_segment(store: Store) -> None:
    path, descriptor = open_segment(store.spool, "live", 0)
    assert adopt_orphans(store.spool) == 0
    assert path.exists()
    os.close(descriptor)
