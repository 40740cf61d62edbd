"""Which languages can be judged, and what this machine has for each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fimble.errors import InputError

if TYPE_CHECKING:
    from eval_harness.languages.language import Judge, MakeJudge, Toolchain
    from eval_harness.sandbox.job import Sandbox

JUDGED = (
    "bash", "c", "cpp", "csharp", "go", "java", "javascript", "lua", "perl", "php", "python", "r",
    "ruby", "rust", "typescript",
)  # fmt: skip
"""Languages that have a file here, of that name."""


def judge_for(language: str, sandbox: Sandbox) -> Judge:
    """Return the judge of a language, whose programs run in `sandbox`.

    Raises:
        InputError: We cannot judge that language.
    """
    if language not in JUDGED:
        raise InputError(f"{language!r} cannot be judged; there are {', '.join(JUDGED)}")
    module = importlib.import_module(f"eval_harness.languages.{language}")
    make_judge: MakeJudge = module.make_judge
    return make_judge(sandbox)


def toolchains() -> dict[str, Toolchain]:
    """Return what there is for each language."""
    found: dict[str, Toolchain] = {}
    for language in JUDGED:
        module = importlib.import_module(f"eval_harness.languages.{language}")
        found[language] = module.look_up()
    return found
