"""`fimble eval run` and `fimble eval report`: measure what is served."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.answers import Answer, answer, read_answers
from eval_harness.cases import Case, heldout_lines
from eval_harness.report import as_table, scores
from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.settings import load_settings
from lsp_server.engines.shared import engine_for

if TYPE_CHECKING:
    import argparse

    from fimble.settings import EngineSettings

SUITES = ("heldout-lines",)
RESULTS = "results.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble eval`."""
    verbs = parser.add_subparsers(dest="eval_verb", metavar="VERB", required=True)
    run_verb = verbs.add_parser("run", help="measure a model on a suite")
    run_verb.add_argument("suite", choices=SUITES)
    run_verb.add_argument("--model", required=True, help="model folder or name, or URL of a TGI")
    run_verb.add_argument("--corpus", type=Path, required=True, help="of `fimble corpus build`")
    run_verb.add_argument("--out", type=Path, required=True, help="folder; a run in it goes on")
    run_verb.add_argument(
        "--languages", default="", help="names, separated by commas; all if empty"
    )
    run_verb.add_argument("-n", type=int, default=100, metavar="N", help="cases of each language")
    report = verbs.add_parser("report", help="print the scores of runs")
    report.add_argument("runs", type=Path, nargs="+", metavar="DIR")
    report.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    if arguments.eval_verb == "report":
        return _report(arguments.runs, is_json=arguments.json)
    if arguments.n < 1:
        raise InputError(f"-n is {arguments.n}; it must be 1 or more")
    cases = heldout_lines(arguments.corpus, per_language=arguments.n)
    if arguments.languages:
        cases = _only(cases, set(arguments.languages.split(",")))
    asyncio.run(_answer_all(cases, _engine_settings(arguments.model), arguments.out))
    return _report([arguments.out], is_json=False)


def _only(cases: list[Case], languages: set[str]) -> list[Case]:
    known = {case.language for case in cases}
    if unknown := languages - known:
        raise InputError(
            f"the corpus has no held-out files in {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(known))}"
        )
    return [case for case in cases if case.language in languages]


def _engine_settings(model: str) -> EngineSettings:
    settings = load_settings().engine
    if model.startswith(("http://", "https://")):
        return replace(settings, tgi_url=model)
    return replace(settings, model=model, tgi_url="")


async def _answer_all(cases: list[Case], settings: EngineSettings, out: Path) -> None:
    """Answer what an earlier run in `out` has not answered, appending line by line."""
    out.mkdir(parents=True, exist_ok=True)
    done = {old.case_id for old in read_answers(out / RESULTS)}
    clock, engine = SystemClock(), engine_for(settings)
    try:
        with (out / RESULTS).open("a", encoding="utf-8") as file:
            if file.tell() and not _ends_with_newline(out / RESULTS):
                file.write("\n")  # what a kill cut short must not swallow the next answer
            for number, case in enumerate(cases, start=1):
                if case.case_id in done:
                    continue
                file.write(f"{json.dumps((await answer(case, engine, clock))._asdict())}\n")
                file.flush()
                sys.stderr.write(f"\r{number}/{len(cases)}")
    finally:
        await engine.close()
    sys.stderr.write("\n")


def _ends_with_newline(path: Path) -> bool:
    return path.read_bytes().endswith(b"\n")


def _report(runs: list[Path], *, is_json: bool) -> int:
    tables = {str(folder): scores(_answers_of(folder)) for folder in runs}
    if is_json:
        document = {name: [row._asdict() for row in rows] for name, rows in tables.items()}
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
        return 0
    for name, rows in tables.items():
        sys.stdout.write(f"{name}\n{as_table(rows)}\n")
    return 0


def _answers_of(folder: Path) -> list[Answer]:
    answers = read_answers(folder / RESULTS)
    if not answers:
        raise InputError(f"there are no answers in {folder / RESULTS}; run `fimble eval run` first")
    return answers
