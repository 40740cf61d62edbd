"""Asks a project's tests about texts: `fimble eval judge` in a process of its own.

Training must not import the harness. Every verdict is kept in `verdicts.jsonl`, so equal texts are
run once, and a run that begins anew asks only about what it writes differently.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fimble.errors import EngineError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

VERDICTS_NAME = "verdicts.jsonl"
_LOG_NAME = "judge.log"


class JudgeFailedError(EngineError):
    """Whoever runs the tests has ended."""


class Verdicts:
    """Whether the tests of a project pass; to be used in a `with` block."""

    def __init__(self, folder: Path, out: Path) -> None:
        """Start to judge.

        Args:
            folder: Of `fimble eval feedback`.
            out: Folder of the run, for verdicts and for what the judge has to say.

        Raises:
            InputError: The project has changed, or its tests do not pass as it is.
            JudgeFailedError: Something else is wrong.
        """
        self._path, self._log = out / VERDICTS_NAME, out / _LOG_NAME
        self._known = _read(self._path)
        self.num_asked = 0
        """Texts that were asked about."""
        self.num_run = 0
        """Of them, those that were asked about for the first time."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fimble", "eval", "judge", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            )
        assert self._process.stdin
        assert self._process.stdout
        self._questions, self._answers = self._process.stdin, self._process.stdout
        try:
            self._answer()  # it comes after a run of the tests on the project as it is
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Verdicts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the judge: it goes when nobody can ask any more."""
        with suppress(BrokenPipeError):  # it has ended already
            self._questions.close()
        self._process.wait()
        self._answers.close()

    def passes(self, texts: Sequence[tuple[str, str]]) -> list[bool]:
        """Return for each place and text whether the tests pass with it.

        Raises:
            InputError: A place is not known.
            JudgeFailedError: The sandbox failed.
        """
        new = [each for each in dict.fromkeys(texts) if each not in self._known]
        self.num_asked += len(texts)
        self.num_run += len(new)
        if new:
            question = {"texts": [{"place_id": place, "text": text} for place, text in new]}
            self._keep(dict(zip(new, self._answer(question)["passes"], strict=True)))
        return [self._known[each] for each in texts]

    def _answer(self, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the next answer, to a question if there is one."""
        if question is not None:
            with suppress(BrokenPipeError):  # then there is no answer either
                self._questions.write(f"{json.dumps(question)}\n")
                self._questions.flush()
        line = self._answers.readline()
        if line.endswith("\n"):
            return json.loads(line)
        code = self._process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip()
        message = _message(said)
        if code == 2:
            raise InputError(message)
        last = message.splitlines()[-1]
        raise JudgeFailedError(f"the judge ended with exit code {code}: {last} (see {self._log})")

    def _keep(self, verdicts: dict[tuple[str, str], bool]) -> None:
        self._known |= verdicts
        with self._path.open("a", encoding="utf-8") as file:
            for (place_id, text), passes in verdicts.items():
                line = {"place_id": place_id, "text": text, "passes": passes}
                file.write(f"{json.dumps(line)}\n")


def _message(said: str) -> str:
    """Return the judge's message, whatever words of the tests stand in it."""
    found = re.search(r"^fimble: (.+)", said, re.MULTILINE | re.DOTALL)
    return (found[1] if found else said) or "it said nothing"


def _read(path: Path) -> dict[tuple[str, str], bool]:
    """Return the verdicts of a run before; a last line that was torn is taken off."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    lines = map(json.loads, whole.splitlines())
    return {(line["place_id"], line["text"]): line["passes"] for line in lines}
