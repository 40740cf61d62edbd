"""`fimble eval`: run benchmarks, report on runs, say what this machine offers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.heldout_lines import NAME as HELDOUT_LINES
from eval_harness.heldout_lines import heldout_lines
from eval_harness.model_sources import ModelChoice
from eval_harness.models import Sampling
from eval_harness.plan import Phase, Plan
from eval_harness.report.document import report_document, run_document, tables
from eval_harness.results import read_run
from eval_harness.run import run as do_run
from eval_harness.suites import repository
from eval_harness.suites.draw import Draw
from eval_harness.suites.neighbours import sources_named, with_neighbours
from eval_harness.suites.registry import open_suite, suite_names
from fimble.config import read_toml
from fimble.errors import InputError

if TYPE_CHECKING:
    import argparse

    from eval_harness.suites.suite import Suite

DEFAULT_TEMPERATURE_OF_SEVERAL = 0.2
"""As Chen et al. 2021 (arXiv:2107.03374, section 3.3) found best for pass@1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `fimble eval`."""
    verbs = parser.add_subparsers(dest="eval_verb", metavar="VERB", required=True)
    _add_run_arguments(verbs.add_parser("run", help="measure a model on suites"))
    report = verbs.add_parser("report", help="scores of runs, and how they differ")
    report.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="in order of time")
    report.add_argument("--html", type=Path, metavar="FILE", help="write a page for people")
    report.add_argument("--duckdb", type=Path, metavar="FILE", help="write a database")
    report.add_argument("--json", action="store_true", help="print one JSON document")
    for name, text in (
        ("sessions", "simulated people type held-out code in editor sessions"),
        ("feedback", "preferences by execution: a project's tests judge a model's texts"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("recipe", metavar="RECIPE", type=Path, help="TOML recipe")
        verb.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to")
        verb.add_argument("--json", action="store_true", help="print one JSON document")
    judge = verbs.add_parser(
        "judge", help="whether a project's tests pass with texts that another program asks about"
    )
    judge.add_argument("folder", metavar="DIR", type=Path, help="of `fimble eval feedback`")
    doctor = verbs.add_parser("doctor", help="isolation and toolchains of this machine")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join((*suite_names(), HELDOUT_LINES))
    parser.add_argument(
        "suites", nargs="+", metavar="SUITE", help=f"{names}, or a TOML file of your own"
    )
    parser.add_argument(
        "--model",
        required=True,
        help="URL of TGI or of an OpenAI-compatible server, model folder or name, Hugging Face "
        "folder, or `canonical`",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder; a run in it goes on")
    parser.add_argument("--languages", default="", help="separated by commas; all if empty")
    parser.add_argument(
        "-n",
        type=int,
        default=None,
        metavar="N",
        help="answers to each problem, 1 if not given; of heldout-lines, problems of each language",
    )
    parser.add_argument("--temperature", type=float, help="0 if not given; 0.2 with -n above 1")
    parser.add_argument("--seed", type=int, default=0, help="of draws and of answers")
    parser.add_argument("--max-new-tokens", type=int, default=0, metavar="N")
    parser.add_argument("--fim-format", default="", help="sentinels of a model that does not say")
    parser.add_argument("--benchmarks", type=Path, help="folder of benchmark files")
    parser.add_argument(
        "--corpus",
        type=Path,
        help="of `fimble corpus build`: heldout-lines draws from it; of other suites, what "
        "stood in its sources is marked",
    )
    parser.add_argument(
        "--source", default="", help="repository, folder or package that `repository` draws from"
    )
    parser.add_argument(
        "--context",
        default="off",
        metavar="SOURCES",
        help="put code of the project's other files into prompts: `on` as the server does, or some "
        "of imports, similar and beside, with commas between them; `off` if not given",
    )
    parser.add_argument(
        "--per-language", type=int, metavar="N", help="ask only so many problems of each language"
    )
    parser.add_argument("--bits-per-byte", action="store_true", help="of the true answers, too")
    parser.add_argument("--only", choices=("generate", "judge"), help="do one half of the work")
    parser.add_argument("--concurrency", type=int, default=0, help="questions at a time")
    parser.add_argument("--sandbox", metavar="TIER", help="bubblewrap, landlock or container")
    parser.add_argument("--unsafe", action="store_true", help="run programs without isolation")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen verb."""
    if arguments.eval_verb == "doctor":
        from eval_harness.doctor import doctor

        return doctor(is_json=arguments.json)
    if arguments.eval_verb == "report":
        return _report(arguments)
    if arguments.eval_verb == "sessions":
        return _sessions(arguments)
    if arguments.eval_verb == "feedback":
        return _feedback(arguments)
    if arguments.eval_verb == "judge":
        from eval_harness.feedback.judge import judge

        judge(arguments.folder, sys.stdin, sys.stdout)
        return 0
    plan = _plan(arguments)
    do_run(plan)
    found = read_run(plan.out)
    if arguments.json:
        _print_json(run_document(found))
    else:
        sys.stdout.write(f"{tables({str(plan.out): found})}\n")
    return 0


def _sessions(arguments: argparse.Namespace) -> int:
    """Let simulated people type, and say what they took."""
    from eval_harness.sessions.recipe import SessionsRecipe
    from eval_harness.sessions.run import run_sessions

    record = run_sessions(read_toml(SessionsRecipe, arguments.recipe), arguments.out)
    if arguments.json:
        _print_json(record)
    else:
        sys.stdout.write(
            f"{record['num_drawn']} suggestions came onto the screen, {record['num_judged']} were "
            f"read, {record['num_taken']} accepted, {record['num_taken_parts']} in part\n"
        )
    return 0


def _feedback(arguments: argparse.Namespace) -> int:
    """Let a project's tests judge a model's texts, and say how many passed."""
    from eval_harness.feedback.recipe import FeedbackRecipe
    from eval_harness.feedback.run import run_feedback

    manifest = run_feedback(read_toml(FeedbackRecipe, arguments.recipe), arguments.out)
    if arguments.json:
        _print_json(manifest)
    else:
        num_pairs = manifest["files"]["pairs/train.jsonl"]["num_examples"]
        sys.stdout.write(
            f"{manifest['num_seen_by_tests']} of {manifest['num_places']} holes are seen by the "
            f"tests; {manifest['num_passing']} of {manifest['num_texts']} texts pass; "
            f"{num_pairs} pairs to train on\n"
        )
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    num_samples = 1 if arguments.n is None else arguments.n
    per_language = arguments.per_language
    if arguments.suites == [HELDOUT_LINES] and arguments.n is not None:
        per_language, num_samples = per_language or arguments.n, 1
    for flag, value in (("-n", arguments.n), ("--per-language", per_language)):
        if value is not None and value < 1:
            raise InputError(f"{flag} is {value}; it must be 1 or more")
    temperature = arguments.temperature
    if temperature is None:
        temperature = 0.0 if num_samples == 1 else DEFAULT_TEMPERATURE_OF_SEVERAL
    names = dict.fromkeys(arguments.suites)
    return Plan(
        suites=tuple(_suite(name, arguments, per_language) for name in names),
        model=ModelChoice(
            name=arguments.model,
            fim_format=arguments.fim_format,
            sampling=Sampling(
                temperature=temperature,
                seed=arguments.seed,
                max_new_tokens=arguments.max_new_tokens,
            ),
        ),
        out=arguments.out,
        num_samples=num_samples,
        phase=Phase(arguments.only or "all"),
        concurrency=arguments.concurrency,
        wants_bits=arguments.bits_per_byte,
        tier=arguments.sandbox,
        is_unsafe_allowed=arguments.unsafe,
    )


def _suite(name: str, arguments: argparse.Namespace, per_language: int | None) -> Suite:
    languages = frozenset(filter(None, arguments.languages.split(","))) or None
    draw = Draw(source=arguments.source, seed=arguments.seed)
    if per_language:
        draw = dataclasses.replace(draw, per_language=per_language)
    if name == HELDOUT_LINES:
        corpus = dataclasses.replace(draw, source=str(arguments.corpus or ""))
        return heldout_lines(corpus, languages)
    sources = sources_named(arguments.context)
    suite = open_suite(
        name,
        benchmarks=arguments.benchmarks,
        languages=languages,
        draw=draw,
        corpus=arguments.corpus,
    )
    if sources:
        suite = with_neighbours(suite, sources)
    is_drawn = name == repository.NAME  # it has drawn so many by itself
    return sample(suite, per_language, arguments.seed) if per_language and not is_drawn else suite


def sample(suite: Suite, per_language: int, seed: int) -> Suite:
    """Return a suite with so many problems of each language, chosen by hash, in their order."""

    def place(key: str) -> str:
        return hashlib.sha256(f"{seed}/{key}".encode()).hexdigest()

    chosen: set[str] = set()
    for language in suite.languages:
        keys = [problem.key for problem in suite.problems if problem.language == language]
        chosen.update(sorted(keys, key=place)[:per_language])
    problems = tuple(problem for problem in suite.problems if problem.key in chosen)
    if len(problems) == len(suite.problems):
        return suite
    digest = hashlib.sha256(f"{suite.digest}/{per_language}/{seed}".encode()).hexdigest()
    return dataclasses.replace(suite, problems=problems, digest=digest)


def _report(arguments: argparse.Namespace) -> int:
    runs = {str(folder): read_run(folder) for folder in arguments.runs}
    if arguments.html:
        from eval_harness.report.page import write_page

        write_page(arguments.html, runs)
    if arguments.duckdb:
        from eval_harness.report.landing import write_database

        write_database(arguments.duckdb, runs)
    if arguments.json:
        _print_json(report_document(runs))
    else:
        sys.stdout.write(f"{tables(runs)}\n")
    return 0


def _print_json(document: object) -> None:
    sys.stdout.write(f"{json.dumps(document, indent=2, ensure_ascii=False)}\n")
