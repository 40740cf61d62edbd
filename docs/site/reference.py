"""The reference pages, written from the code that they are about.

python -m docs.site.reference      # `make reference`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from docs.site.licences import third_party_page
from docs.site.parsers import Usage, options, usages
from docs.site.tables import about, fields, summary, table, tables
from eval_harness.feedback.recipe import FeedbackRecipe
from eval_harness.sessions.recipe import SessionsRecipe
from eval_harness.suites.description import Description
from eval_harness.suites.files import shipped, shipped_names
from eval_harness.suites.registry import suite_names
from fimble import events
from fimble.experiments import Experiment
from fimble.settings import Settings
from telemetry.metrics.dictionary import dictionary
from training.corpus.recipe import Recipe
from training.recipe import PretrainRecipe
from training.tuning import preference_recipe as preferences
from training.tuning import recipe as tuning
from training.vocabulary.recipe import VocabularyRecipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

FOLDER = Path(__file__).parents[1] / "reference"
NOTE = "<!-- Written by `make reference` from the code: change it there. -->\n"
RECIPES: tuple[tuple[str, str, type[object]], ...] = (
    ("Corpus", "fimble corpus build", Recipe),
    ("Vocabulary", "fimble vocab train", VocabularyRecipe),
    ("Pretraining", "fimble train", PretrainRecipe),
    ("Instruction data", "fimble tune data", tuning.DataRecipe),
    ("Supervised tuning", "fimble tune sft", tuning.SftRecipe),
    ("Preferences", "fimble tune pairs", preferences.PairsRecipe),
    ("Preference tuning", "fimble tune prefer", preferences.PreferenceRecipe),
    ("Gate", "fimble tune gate", tuning.GateRecipe),
    ("Your own code", "fimble tune company", tuning.CompanyRecipe),
    ("Sessions", "fimble eval sessions", SessionsRecipe),
    ("Feedback", "fimble eval feedback", FeedbackRecipe),
    ("Experiment", "fimble telemetry experiment plan", Experiment),
)
WORDS: tuple[type[Enum], ...] = (
    *(events.Outcome, events.Source, events.Trigger, events.CacheHit, events.NotServed),
    *(events.AcceptKind, events.Kept, events.Unit),
)


def commands_page() -> str:
    """Return every command with its options."""
    head = (
        "# Commands\n\nExit codes: 0 done, 2 bad input (one message on standard error), 1 our"
        " fault. `--json` prints one JSON document to standard output; logs and progress go to"
        " standard error. Each command has `--help`.\n"
    )
    return "\n".join([NOTE, head, *map(_command, usages())])


def _command(usage: Usage) -> str:
    extra = f"Needs `pip install 'fimble[{usage.extra}]'`.\n" if usage.extra else ""
    text = usage.help[:1].upper() + usage.help[1:]
    rows = [
        (f"`{option.name}`{' (required)' if option.is_required else ''}", option.help)
        for option in options(usage.parser)
    ]
    parts = [f"## {usage.name}\n", f"{text}.\n", extra, table("argument", "", rows=rows)]
    return "\n".join(part for part in (parts if rows else parts[:-1]) if part)


def _keys(cls: type[object]) -> str:
    rows = [(f"`{f.name}`", f.kind, f.default, f.about) for f in fields(cls)]
    return table("key", "value", "default", "", rows=rows) if rows else ""


def configuration_page() -> str:
    """Return the tables and keys of `fimble.toml`."""
    head = (
        "# fimble.toml\n\n`fimble doctor` says where the file lies, and what is wrong with it."
        " Every key has a default. Editors may send the same tables as options under `fimble`, but"
        " cannot make telemetry record more than the file allows.\n"
    )
    return "\n".join([NOTE, head, *_tables_of(Settings)])


def _tables_of(cls: type[object], level: str = "##") -> list[str]:
    return [
        f"{level} `{head}`\n\n{summary(inner)}\n\n{_keys(inner)}" for head, inner in tables(cls)
    ]


def recipes_page() -> str:
    """Return the tables and keys of every recipe."""
    head = (
        "# Recipes\n\nTOML files that commands take; those that were used are in"
        " `training/recipes/`. An unknown key is an error that names it. That of `fimble loop`"
        " holds those of its stages: [the loop](../loop.md).\n"
    )
    parts = [NOTE, head]
    for title, command, cls in RECIPES:
        parts += [f"## {title}\n\n`{command} RECIPE`. {summary(cls)}\n", _keys(cls)]
        parts += _tables_of(cls, "###")
    return "\n".join(parts)


def events_page() -> str:
    """Return every event with its fields, and the words that they hold."""
    head = summary_of_events()
    parts = [NOTE, f"# Events\n\n{head}\n"]
    for cls in get_args(events.Event):
        rows = [(f"`{f.name}`", f.kind, f.about) for f in fields(cls)]
        parts.append(f"## {cls.kind}\n\n{summary(cls)}\n\n{table('field', 'value', '', rows=rows)}")
    for word in WORDS:
        said = about(word)
        rows = [(f"`{member.value}`", said.get(member.name, "")) for member in word]
        parts.append(f"## {word.__name__}\n\n{summary(word)}\n\n{table('word', '', rows=rows)}")
    return "\n".join(parts)


def summary_of_events() -> str:
    """Return what `fimble.events` says of itself, its drawing as a block of code."""
    paragraphs = (events.__doc__ or "").strip().split("\n\n")
    drawn = [f"```text\n{p}\n```" if p.startswith("    ") else p for p in paragraphs]
    return "\n\n".join(drawn)


def suites_page() -> str:
    """Return every suite of `fimble eval run`."""
    head = (
        "# Suites\n\nWhat `fimble eval run` knows by name. Which files go where:"
        " [benchmark files](../benchmarks.md).\n"
    )
    rows = []
    for name in shipped_names():
        suite = shipped(name)
        languages = ", ".join(dict.fromkeys(each.language for each in suite.data))
        rows.append((f"`{name}`", suite.about, languages, suite.licence, suite.source))
    drawn = ", ".join(
        f"`{n}`" for n in (*suite_names(), "heldout-lines") if n not in shipped_names()
    )
    own = f"## A suite of your own\n\nA TOML file with these keys.\n\n{_keys(Description)}"
    listed = table("suite", "asks", "languages", "licence", "source", rows=rows)
    others = (
        f"Drawn from other suites, repositories or a corpus: {drawn}; see"
        " [evaluation](../evaluation.md).\n"
    )
    return "\n".join([NOTE, head, listed, others, own, *_tables_of(Description, "###")])


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "configuration.md": configuration_page,
    "recipes.md": recipes_page,
    "events.md": events_page,
    "suites.md": suites_page,
    "../metrics.md": dictionary,
    "../../THIRD_PARTY.md": third_party_page,
}


def main() -> int:
    """Write the pages, and say which have changed."""
    for name, page in PAGES.items():
        path, text = (FOLDER / name).resolve(), page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(FOLDER.parents[1])}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
