"""Who wrote the code: the list that permissive licences ask us to pass on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.corpus.card import Card


def attribution(card: Card) -> str:
    """Return a Markdown document that names every package with its licence and share."""
    lines = [
        f"# Attribution of the corpus `{card.name}`",
        "",
        "Source code of these packages is in the corpus, under the licences named here; a file's",
        "own SPDX line goes before its package's licence and is recorded with the file.",
        "",
        "| package | licence | split | files | bytes |",
        "|---|---|---|---:|---:|",
    ]
    lines += [
        f"| {each.source} | {each.licence} | {each.split} | {each.kept.files} | {each.kept.bytes} |"
        for each in card.sources
        if each.kept.files
    ]
    return "\n".join(lines) + "\n"
