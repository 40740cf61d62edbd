"""Examples out of code alone, without a teacher: what people wrote below what they meant to write.

Candidates are all places of a kind; which of them become examples is drawn by a hash of seed, file
and place, so the same corpus gives the same examples, in whatever order and on however many
processes it is read.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from fimble.context import WindowBudget, window
from fimble.fim import FimOrder, Snippet
from training.examples.build import document_rng
from training.examples.chunks import chunks
from training.examples.neighbours import Neighbours
from training.examples.spans import draw_span
from training.tuning.record import Example, Task
from training.tuning.syntax import SourceTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from training.examples.documents import Document
    from training.tuning.recipe import MiningConfig
    from training.tuning.syntax import Function

_WORD = re.compile(r"[^\W\d]\w*")
_TEST = re.compile(
    r"(?:^|[/_.-])(?:tests?|specs?|__tests__)(?:[/_.-]|$)|Tests?\.\w+$", re.IGNORECASE
)
_WITHOUT_CODE = frozenset({"css", "html", "sql"})
_BUDGET = WindowBudget()
_MIN_NAME_CHARS = 4
"""Shorter names are too often somebody else's."""


class Hole(NamedTuple):
    """A candidate: characters `start` to `end` are missing."""

    task: Task
    start: int
    end: int
    instruction: str
    snippets: tuple[Snippet, ...] = ()


class Tester(NamedTuple):
    """A function that tests another one."""

    path: str
    text: str


class Project(NamedTuple):
    """What is known of the files that stand together."""

    defined: frozenset[str]
    """Names of functions."""
    tests: dict[str, Tester]
    """By the name of what they call, where one function alone has that name."""
    neighbours: Neighbours | None


def rank(key: str) -> str:
    """Return what draws are sorted by."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def is_test(path: str) -> bool:
    """Return whether a file holds tests, by its path."""
    return _TEST.search(path) is not None


def project_of(documents: Sequence[Document], config: MiningConfig) -> Project:
    """Return what some files of one project know of each other."""
    defined: Counter[str] = Counter()
    tests: dict[str, Tester] = {}
    for document in documents:
        if document.language in _WITHOUT_CODE or len(document.text) > config.max_file_chars:
            continue
        functions = list(SourceTree(document.text, document.language).functions())
        if not is_test(document.path):
            defined.update(each.name for each in functions if len(each.name) >= _MIN_NAME_CHARS)
            continue
        for function in functions:
            text = document.text[function.start : function.end]
            if len(text.encode("utf-8", "surrogatepass")) <= config.test_bytes:
                for name in _WORD.findall(document.text[function.body_start : function.end]):
                    tests.setdefault(name, Tester(document.path, text))
    # A name that several functions have, such as `write`, does not say which one is tested.
    tests = {name: test for name, test in tests.items() if defined[name] == 1}
    neighbours = Neighbours(documents) if config.snippet_rate > 0 else None
    return Project(frozenset(defined), tests, neighbours)


def examples_of(
    document: Document, project: Project, config: MiningConfig, *, seed: int
) -> Iterator[Example]:
    """Yield the examples of one file.

    Args:
        document: The file; one that does not parse gives replayed middles only.
        project: From `project_of`, of files with this one among them.
        config: Which and how many.
        seed: Decides which places are drawn.
    """
    key = f"{seed}/{document.project}/{document.path}"
    if document.language not in _WITHOUT_CODE and len(document.text) <= config.max_file_chars:
        tree = SourceTree(document.text, document.language)
        if tree.is_sound:
            yield from _of_tasks(document, tree, project, config, key)
    yield from replayed(document, config, seed=seed)


def holes(
    document: Document, tree: SourceTree, project: Project, config: MiningConfig
) -> Iterator[Hole]:
    """Yield every candidate of a file, of every task."""
    text = document.text
    for function in tree.functions():
        if _is_telling(text[function.body_start : function.body_end], config):
            yield _body_hole(document, function, project)
    for remark in tree.remarks():
        middle = text[remark.code_start : remark.code_end]
        is_said = len(_WORD.findall(remark.text)) >= config.min_comment_words
        if is_said and _is_telling(middle, config) and middle.count("\n") <= config.max_block_lines:
            yield Hole(Task.COMMENT_BLOCK, remark.code_start, remark.code_end, remark.text)
    for call in tree.calls():
        if call.name in project.defined and _WORD.search(text[call.start : call.end]):
            yield Hole(Task.CALL_ARGUMENTS, call.start, call.end, call.name)


def replayed(document: Document, config: MiningConfig, *, seed: int) -> Iterator[Example]:
    """Yield a middle drawn as in pretraining, and a plain text, each of a share of the pieces."""
    if not document.text.strip():
        return
    doc_id = int(rank(f"{document.project}/{document.path}")[:12], 16)
    for draw in range(config.replayed_draws):
        rng = document_rng(seed, draw, doc_id)
        pieces = list(chunks(document.text, (config.chunk_bytes,), rng))
        first = int(rng.integers(0, len(pieces)))
        for number in range(first, first + min(config.replayed_pieces, len(pieces))):
            yield from _of_piece(document, pieces[number % len(pieces)], config, rng)


def _of_piece(
    document: Document, piece: str, config: MiningConfig, rng: np.random.Generator
) -> Iterator[Example]:
    named = {"language": document.language, "project": document.project, "path": document.path}
    if rng.random() < config.plain_rate:
        yield Example(Task.PLAIN, prefix="", suffix="", middle=piece, **named)
    if rng.random() >= config.fim_rate:
        return
    _, span = draw_span(piece, language=document.language, mix=config.spans, rng=rng)
    around = window(piece[: span.start], piece[span.end :], _BUDGET)
    order = FimOrder.SPM if rng.random() < config.spm_share else FimOrder.PSM
    yield Example(
        Task.FIM,
        prefix=around.prefix,
        suffix=around.suffix,
        middle=piece[span.start : span.end],
        order=order.value,
        **named,
    )


def _of_tasks(
    document: Document, tree: SourceTree, project: Project, config: MiningConfig, key: str
) -> Iterator[Example]:
    """Yield up to `per_task` examples of each task, drawn by their hashes."""
    counts: dict[Task, int] = {}
    found = sorted(
        holes(document, tree, project, config),
        key=lambda hole: rank(f"{key}/{hole.task}/{hole.start}"),
    )
    for hole in found:
        counts[hole.task] = counts.get(hole.task, 0) + 1
        if counts[hole.task] <= config.per_task:
            yield example_at(document, hole, project, config, key)


def example_at(
    document: Document, hole: Hole, project: Project, config: MiningConfig, key: str
) -> Example:
    """Return the example of one place, with the prompt that the server would send there."""
    text = document.text
    before, behind = text[: hole.start], text[hole.end :]
    snippets = hole.snippets
    is_drawn = int(rank(f"{key}/{hole.start}/snippets")[:8], 16) < config.snippet_rate * 2**32
    if not snippets and is_drawn and project.neighbours is not None:
        found = project.neighbours.snippets(document, before, behind, config.snippet_bytes)
        snippets = tuple(found)
    around = window(before, behind, _BUDGET)
    return Example(
        task=hole.task,
        language=document.language,
        project=document.project,
        path=document.path,
        prefix=around.prefix,
        suffix=around.suffix,
        middle=text[hole.start : hole.end],
        snippets=snippets,
        instruction=hole.instruction,
        place=hole.start,
    )


def _body_hole(document: Document, function: Function, project: Project) -> Hole:
    """Return the hole of a function's body, and the task that it makes."""
    text = document.text
    start, end = function.body_start, function.body_end
    signature = text[function.start : start].strip()
    test = project.tests.get(function.name)
    if test is not None and not is_test(document.path):
        snippet = Snippet(path=test.path, text=test.text)
        return Hole(Task.TEST_BODY, start, end, test.text, (snippet,))
    if len(_WORD.findall(function.doc)) >= 3:
        return Hole(Task.DOCSTRING_BODY, start, end, function.doc)
    return Hole(Task.SIGNATURE_BODY, start, end, signature)


def _is_telling(middle: str, config: MiningConfig) -> bool:
    """Return whether a body or block is neither trivial nor too long."""
    size = len(middle.encode("utf-8", "surrogatepass"))
    return size <= config.max_middle_bytes and len(set(_WORD.findall(middle))) >= 2
