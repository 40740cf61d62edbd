"""CrossCodeEval: the rest of a statement that needs other files of its repository.

Records with retrieved chunks (`line_completion_rg1_bm25.jsonl` and the like) bring them along as
context, the best last; those without are asked without.

Source: https://github.com/amazon-science/cceval, arXiv:2310.11248
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval_harness.problem import Extent, Kind, Problem
from eval_harness.suites.shapes.template import language_of
from fimble.fim import Snippet
from fimble.languages import by_path

if TYPE_CHECKING:
    from eval_harness.suites.records import Record


def problem(record: Record, language: str) -> Problem:
    """Return the problem that asks for the rest of a statement."""
    about = record.record("metadata")
    path, truth = about.text("file"), record.text("groundtruth")
    row = by_path(path)
    suffix = record.text("right_context", "")
    return Problem(
        problem_id=about.text("task_id"),
        group=about.text("repository", "") or path,
        language=language or (row.name if row else language_of(about)),
        kind=Kind.INFILL if suffix else Kind.COMPLETE,
        extent=Extent.SPAN if "\n" in truth.strip("\n") and suffix else Extent.LINE,
        prompt=record.text("prompt"),
        suffix=suffix,
        canonical=truth,
        path=path,
        context=_context(record),
    )


def _context(record: Record) -> tuple[Snippet, ...]:
    """Return the chunks of other files, the most important last; upstream has it first."""
    if record.fields.get("crossfile_context") is None:
        return ()
    chunks = record.record("crossfile_context").records("list")
    return tuple(
        Snippet(path=chunk.text("filename"), text=f"{chunk.text('retrieved_chunk')}\n")
        for chunk in reversed(chunks)
    )
