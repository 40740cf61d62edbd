"""`report.html`: the page from its template, and nothing that the page needs from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from fimble.files import write_whole
from training.corpus.report.excerpts import cut_path, visible
from training.corpus.report.facts import gather
from training.corpus.report.view import view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jinja2 import Environment

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
    write_whole(out / "report.html", render(view(card, facts)).encode())


def render(values: Mapping[str, object]) -> str:
    """Return the page.

    Args:
        values: What the template names.
    """
    style, script = _resource("style.css"), _resource("script.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    template = _environment().get_template("page.html.j2")
    return template.render(values, style=style, script=script, policy=policy) + "\n"


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("training.corpus.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"count": count, "size": size, "percent": percent, "words": words}
    environment.filters.update(filters, visible=visible, path=cut_path)
    return environment


_UNITS = ((1e3, "kB", 999.5e3), (1e6, "MB", 999.5e6), (1e9, "GB", float("inf")))


def count(number: int) -> str:
    """Return a number with separators."""
    return f"{number:,}"


def size(num_bytes: float) -> str:
    """Return bytes in decimal units with three digits or so."""
    if num_bytes < 1000:
        return f"{num_bytes:.0f} B"
    # The next unit begins where this one would be rounded to 1,000.
    scale, unit = next((s, u) for s, u, end in _UNITS if num_bytes < end)
    number = num_bytes / scale
    return f"{number:.1f} {unit}" if number < 99.95 else f"{number:,.0f} {unit}"


def percent(rate: float) -> str:
    """Return a share, 0 to 1, in percent; what is some is never shown as none or as all."""
    if 0 < rate < 0.0005:
        return "<0.1%"
    if 0.9995 <= rate < 1:
        return ">99.9%"
    is_extreme = 0 < rate < 0.0995 or 0.99 < rate < 1
    return f"{rate:.1%}" if is_extreme else f"{rate:.0%}"


def words(name: str) -> str:
    """Return the name of a stage or reason as words."""
    return visible(name.replace("_", " "))


def _resource(name: str) -> str:
    return files("training.corpus.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
