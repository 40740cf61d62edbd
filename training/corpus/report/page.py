"""`report.html` of a corpus: what the queries answered, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fimble.files import write_whole
from fimble.pages.page import render
from training.corpus.report.excerpts import cut_path
from training.corpus.report.facts import gather
from training.corpus.report.view import view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.corpus.card import Card
    from training.corpus.engine import Engine


def write_report(
    out: Path, card: Card, relations: Mapping[str, Sequence[Path]], engine: Engine
) -> None:
    """Write `report.html` of a build; equal builds give equal bytes.

    Args:
        out: Folder of the corpus.
        card: Its data card.
        relations: Parquet files of `annotated`, `decisions` and `clusters`.
        engine: Answers the questions; it must see `out`.
    """
    facts = gather(relations, engine, out / ".report-queries")
    page = render("training.corpus.report", view(card, facts), {"path": cut_path})
    write_whole(out / "report.html", page.encode())
