"""The other files of a document's project: code of them that goes before an example.

The documents of a project stand together in a corpus. A neighbourhood is a run of them, bounded in
number and size, so that an index of it is made once, used by all of its documents, and dropped.
Code is chosen by `fimble.snippets`, as the server does, around the middle that is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fimble.snippets.around import Around
from fimble.snippets.project import ProjectIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fimble.fim import Snippet
    from training.examples.documents import Document, Documents

MAX_DOCUMENTS = 600
MAX_BYTES = 4 << 20
"""Text of a neighbourhood; one document alone may have more."""


class Neighbourhood(NamedTuple):
    """Documents `start` to `stop` of a corpus, all of one project."""

    start: int
    stop: int
    num_bytes: int
    """Size of their text."""


def neighbourhoods(documents: Documents) -> Iterator[Neighbourhood]:
    """Yield the neighbourhoods of a corpus, in order; together they are all documents."""
    start, num_bytes, project = 0, 0, None
    doc_id = -1
    for doc_id, (of_project, size) in enumerate(documents.sizes()):
        is_full = doc_id - start >= MAX_DOCUMENTS or num_bytes + size > MAX_BYTES
        if doc_id > start and (of_project != project or is_full):
            yield Neighbourhood(start, doc_id, num_bytes)
            start, num_bytes = doc_id, 0
        project = of_project
        num_bytes += size
    if doc_id >= start:
        yield Neighbourhood(start, doc_id + 1, num_bytes)


class Neighbours:
    """An index of one neighbourhood."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._index = ProjectIndex()
        self._doc_ids: dict[str, int] = {}
        for document in documents:
            self._index.put(document.path, document.text, document.language)
            self._doc_ids[document.path] = document.doc_id

    def snippets(
        self, document: Document, prefix: str, suffix: str, budget_bytes: int
    ) -> list[Snippet]:
        """Return code of other files for a place in a document, the most important last.

        Args:
            document: Whose own text is never returned.
            prefix: Its text before the middle.
            suffix: Its text behind the middle.
            budget_bytes: Size of all snippets with their paths.
        """
        around = Around(document.path, prefix, suffix, document.language)
        return self._index.select(around, budget_bytes)

    def doc_ids(self, snippets: Sequence[Snippet]) -> tuple[int, ...]:
        """Return the documents that snippets come from, in order and each once."""
        return tuple(sorted({self._doc_ids[snippet.path] for snippet in snippets}))
