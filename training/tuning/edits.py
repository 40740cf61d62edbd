"""Changes from one release to the next, as places in a file that is half changed.

Above the cursor stands the new release, below it the old one: what somebody's file looks like who
works through it from top to bottom. The middle is what the new release has in place of the old.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from fimble.context import WindowBudget, window
from training.tuning.mining import rank
from training.tuning.record import Example, Task
from training.tuning.syntax import SourceTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.examples.documents import Document
    from training.tuning.recipe import MiningConfig

_MAX_FILE_LINES = 5000
"""Longer files take a comparison of lines too long."""


def edits_of(
    before: Document, after: Document, config: MiningConfig, *, seed: int
) -> Iterator[Example]:
    """Yield up to `per_task` changes of one file, drawn by a hash.

    Args:
        before: The file in the older release.
        after: The same path in the newer one.
        config: How many, how long.
        seed: Decides which.
    """
    if before.text == after.text or not _is_sound(after, config):
        return
    old, new = before.text.splitlines(keepends=True), after.text.splitlines(keepends=True)
    if max(len(old), len(new)) > _MAX_FILE_LINES:
        return
    found = [
        (rank(f"{seed}/{after.project}/{after.path}/edit/{new_start}"), old_end, new_start, new_end)
        for tag, _, old_end, new_start, new_end in difflib.SequenceMatcher(
            a=old, b=new, autojunk=False
        ).get_opcodes()
        if tag in {"insert", "replace"} and _is_telling(new[new_start:new_end], config)
    ]
    for _, old_end, new_start, new_end in sorted(found)[: config.per_task]:
        above = "".join(new[:new_start])
        first, middle = new[new_start], "".join(new[new_start:new_end]).rstrip()
        indent = first[: len(first) - len(first.lstrip())]
        # The cursor stands where editors put it, behind the indentation.
        around = window(above + indent, "\n" + "".join(old[old_end:]), WindowBudget())
        yield Example(
            task=Task.RELEASE_EDIT,
            language=after.language,
            project=after.project,
            path=after.path,
            prefix=around.prefix,
            suffix=around.suffix,
            middle=middle[len(indent) :],
            place=len(above) + len(indent),
        )


def _is_sound(document: Document, config: MiningConfig) -> bool:
    if len(document.text) > config.max_file_chars:
        return False
    return SourceTree(document.text, document.language).is_sound


def _is_telling(lines: list[str], config: MiningConfig) -> bool:
    text = "".join(lines)
    is_short = len(text.encode("utf-8", "surrogatepass")) <= config.max_middle_bytes
    return is_short and len(lines) <= config.max_block_lines and any(map(str.strip, lines))
