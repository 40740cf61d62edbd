"""Indexes of the workspace folders, kept by a thread that gives way to everything else.

The thread reads one file at a time and then rests for a multiple of the time that took, so that
keys are never late; what editor sessions ask of it comes before the next file.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from fimble.languages import by_path
from fimble.secrets import holds_secret
from fimble.snippets.project import ProjectIndex
from fimble.text import decode_source, to_lf
from lsp_server.context.walk import is_left_out, source_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fimble.clock import Clock
    from fimble.fim import Snippet
    from fimble.settings import ContextSettings
    from fimble.snippets.around import Around

RESCAN_S = 300.0
"""Files are looked at again after so long, for changes that no editor told of."""
REST_SHARE = 3.0
"""Rest between two files, as a multiple of the time that one took."""
MAX_TOTAL_BYTES = 64 << 20
"""Text of one workspace folder that is kept."""


OpenText = tuple[str, str, str]
"""Path from the workspace folder, text, and language of a document that is open in the editor."""


class Folder:
    """What is known of one workspace folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = ProjectIndex()
        self.stamps: dict[str, tuple[int, int]] = {}
        self.open: dict[str, None] = {}
        self.num_bytes = 0

    def scan(self, max_files: int) -> Iterator[None]:
        """Take in what is new or changed, one file a step, and drop what is gone."""
        found_paths: set[str] = set()
        self.num_bytes = 0
        for found in source_files(self.root, max_files):
            if found is not None:
                self.num_bytes += found.stamp[1]
                if self.num_bytes > MAX_TOTAL_BYTES:
                    break
                found_paths.add(found.path)
                if self.stamps.get(found.path) != found.stamp and found.path not in self.open:
                    self.stamps[found.path] = found.stamp
                    self.read(found.path, found.language)
            yield
        for path in sorted(set(self.stamps) - found_paths):
            del self.stamps[path]
            if path not in self.open:
                self.index.drop(path)

    def read(self, path: str, language: str) -> None:
        """Take in a file as it is on disk."""
        try:
            data = (self.root / path).read_bytes()
        except OSError:
            self.index.drop(path)
            return
        text = decode_source(data)
        if text:
            self.index.put(path, to_lf(text), language)
        else:
            self.index.drop(path)

    def choose(self, around: Around, budget_bytes: int) -> list[Snippet]:
        """Return code of the folder for a place, the most important last; nothing secret."""
        chosen = self.index.select(around, budget_bytes)
        return [each for each in chosen if not holds_secret(each.text)]

    def put_open(self, opened: OpenText) -> None:
        """Take in an open document, unless a walk would leave its file out."""
        path, text, language = opened
        if not is_left_out(self.root, path):
            self.open[path] = None
            self.index.put(path, to_lf(text), language)

    def closed(self, path: str) -> None:
        """A document was closed: what is on disk counts again."""
        if path in self.open:
            del self.open[path]
            self.stamps.pop(path, None)
            if (language := by_path(path)) is not None:
                self.read(path, language.name)


class Worker:
    """The thread."""

    def __init__(self, settings: ContextSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._folders: dict[Path, Folder] = {}
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fimble-context", daemon=True)
        self._is_stopped = False
        self.num_files = 0
        """Files that are known by now."""
        self.is_complete = False
        """Whether every folder was walked to its end."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, without waiting for more than the step under way."""
        self._is_stopped = True
        self._tasks.put(None)
        self._thread.join(timeout=2.0)

    def watch(self, roots: Sequence[Path]) -> None:
        """Know these folders from now on, and no others."""

        def run() -> None:
            kept = {root: self._folders.get(root) or Folder(root) for root in roots}
            self._folders.clear()
            self._folders.update(kept)
            self.is_complete = False

        self._tasks.put(run)

    def closed(self, root: Path, path: str) -> None:
        """A document was closed."""

        def run() -> None:
            if root in self._folders:
                self._folders[root].closed(path)

        self._tasks.put(run)

    def select(
        self,
        root: Path,
        around: Around,
        changed: Sequence[OpenText],
        done: Callable[[list[Snippet]], None],
    ) -> None:
        """Choose code of other files for a place.

        Args:
            root: The workspace folder.
            around: The place.
            changed: Other documents that were changed since they were last sent.
            done: Called by the thread with what was chosen, the most important last.
        """

        def run() -> None:
            folder = self._folders.get(root)
            if folder is None:
                done([])
                return
            for opened in changed:
                folder.put_open(opened)
            done(folder.choose(around, self._settings.budget_bytes))

        self._tasks.put(run)

    def _run(self) -> None:
        walk: Iterator[None] | None = None
        wait_s: float | None = RESCAN_S
        while not self._is_stopped:
            try:
                task = self._tasks.get(timeout=wait_s)
            except queue.Empty:
                if walk is None:
                    self.is_complete = False
            else:
                if task is None:
                    return
                task()
            if not self.is_complete:
                walk = walk or self._walk()
                wait_s = self._step(walk)
            if self.is_complete:
                walk, wait_s = None, RESCAN_S

    def _step(self, walk: Iterator[None]) -> float:
        """Take one step of a walk; return how long to rest, in seconds."""
        started_ms = self._clock.monotonic_ms()
        if next(walk, self) is self:
            self.is_complete = True
        self.num_files = sum(len(folder.index) for folder in self._folders.values())
        return max(0.001, (self._clock.monotonic_ms() - started_ms) / 1000 * REST_SHARE)

    def _walk(self) -> Iterator[None]:
        for folder in list(self._folders.values()):
            yield from folder.scan(self._settings.max_files)
