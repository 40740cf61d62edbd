"""Which declarations of some files go into a prompt, and how they look there."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from fimble.fim import Snippet
from fimble.snippets.words import encoded, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from fimble.snippets.outline import Declaration


_CONSTRUCTORS = frozenset({"__init__", "__construct"})


class Standing(IntEnum):
    """How a file stands to the one that is written."""

    FOLDER = 0
    """It may be used: only what is named near the place is of interest."""
    IMPORTED = 1
    """It is used: everything public is of interest."""


class Source(NamedTuple):
    """A file whose declarations may be taken."""

    path: str
    names: frozenset[str]
    """What the import names."""
    standing: Standing


class _Rank(IntEnum):
    """How much a declaration is worth; 0 is never taken."""

    NONE = 0
    PUBLIC = 1
    MEMBER = 2
    NAMED = 3
    """The import names it, or it is a member of what is named, and is itself named near."""
    NEAR = 4


class _Candidate(NamedTuple):
    demerit: int
    """The negative rank, so that the best sort first."""
    source: int
    place: int
    """Of the declaration in the outline of its file."""


class DeclarationChoice:
    """The declarations that were chosen so far."""

    def __init__(
        self, near: AbstractSet[int], outline_of: Callable[[str], Sequence[Declaration]]
    ) -> None:
        """Begin with nothing.

        Args:
            near: Words near the place.
            outline_of: Tells what a file declares.
        """
        self._near = near
        self._outline_of = outline_of
        self._chosen: dict[str, set[int]] = {}
        self._best: dict[str, tuple[int, int]] = {}
        self.size_bytes = 0
        """Size of the snippets, with their paths."""

    def take(self, sources: Sequence[Source], budget_bytes: int) -> None:
        """Choose the best declarations of some files, until all that is chosen fills a budget."""
        outlines = [self._outline_of(source.path) for source in sources]
        candidates = sorted(
            candidate
            for number, (source, declared) in enumerate(zip(sources, outlines, strict=True))
            for candidate in self._candidates(number, source, declared)
        )
        for demerit, number, place in candidates:
            path = sources[number].path
            self._add(path, outlines[number], place, budget_bytes)
            if path in self._chosen:
                self._best.setdefault(path, (demerit, number))

    def snippets(self) -> list[Snippet]:
        """Return the snippets, one a file, the file with the most important declaration last."""
        order = sorted(self._chosen, key=lambda path: self._best[path], reverse=True)
        return [
            Snippet(
                path=path,
                text="".join(
                    f"{self._outline_of(path)[place].text}\n"
                    for place in sorted(self._chosen[path])
                ),
            )
            for path in order
        ]

    def _candidates(
        self, number: int, source: Source, declared: Sequence[Declaration]
    ) -> Iterator[_Candidate]:
        """Yield what may be taken of a file; the best sort first."""
        ranks: list[_Rank] = []
        for place, each in enumerate(declared):
            parent = None if each.parent is None else ranks[each.parent]
            ranks.append(self._rank(each, source, parent))
            if ranks[-1]:
                yield _Candidate(-ranks[-1], number, place)

    def _rank(self, declared: Declaration, source: Source, parent: _Rank | None) -> _Rank:
        name = declared.name
        is_near = bool(name) and word(name) in self._near
        is_public = bool(name) and (name in _CONSTRUCTORS or not name.startswith("_"))
        if parent is not None:
            if parent < _Rank.NAMED:
                return _Rank.MEMBER if is_near and parent else _Rank.NONE
            if is_near:
                return _Rank.NAMED
            return _Rank.MEMBER if is_public else _Rank.NONE
        if is_near:
            return _Rank.NEAR
        if name in source.names:
            return _Rank.NAMED
        is_wanted = is_public and source.standing is Standing.IMPORTED
        return _Rank.PUBLIC if is_wanted else _Rank.NONE

    def _add(
        self, path: str, declared: Sequence[Declaration], place: int, budget_bytes: int
    ) -> None:
        """Choose a declaration together with the containers around it, if they fit."""
        chosen = self._chosen.get(path, set())
        wanted: set[int] = set()
        at: int | None = place
        while at is not None and at not in chosen:
            wanted.add(at)
            at = declared[at].parent
        cost = sum(len(encoded(declared[each].text)) + 1 for each in wanted)
        cost += 0 if chosen else len(encoded(path)) + 1
        if wanted and self.size_bytes + cost <= budget_bytes:
            self._chosen[path] = chosen | wanted
            self.size_bytes += cost
