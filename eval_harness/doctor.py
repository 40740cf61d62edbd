"""What isolation and which toolchains this machine offers, and what installs the rest."""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

from eval_harness.languages.registry import toolchains
from eval_harness.sandbox.tiers import available_tiers
from fimble.languages import LANGUAGES

_SANDBOX_INSTALLS = {"bubblewrap": "apt-get install --yes bubblewrap"}
_MARKS = {True: "yes", False: "no"}


class Finding(NamedTuple):
    """What a machine has of one thing."""

    name: str
    is_there: bool
    says: str
    """Version, or why it is not there."""
    missing: tuple[str, ...] = ()
    install: str = ""
    """The exact command that installs what is missing."""


def sandbox_findings() -> list[Finding]:
    """Return the tiers of isolation, the best first."""
    return [
        Finding(tier, not why_not, why_not or "works", install=_install_of(tier, why_not))
        for tier, why_not in available_tiers().items()
    ]


def language_findings() -> list[Finding]:
    """Return what there is for each language that can be judged, by name."""
    return [
        Finding(name, bool(found.version), found.version or "missing", found.missing, found.install)
        for name, found in sorted(toolchains().items())
    ]


def doctor(*, is_json: bool = False) -> int:
    """Print the findings; exit code 0 where programs of a model can run at all."""
    sandboxes, languages = sandbox_findings(), language_findings()
    can_run = any(tier.is_there for tier in sandboxes)
    if is_json:
        document = {
            "sandboxes": [_record(each) for each in sandboxes],
            "languages": [_record(each) for each in languages],
        }
        sys.stdout.write(f"{json.dumps(document, indent=2, ensure_ascii=False)}\n")
    else:
        sys.stdout.write(_text(sandboxes, languages))
    return 0 if can_run else 1


def _text(sandboxes: list[Finding], languages: list[Finding]) -> str:
    parts = [_table("isolation", sandboxes), _table("language", languages)]
    installs = dict.fromkeys(each.install for each in (*sandboxes, *languages) if each.install)
    if commands := _merged(list(installs)):
        parts.append("\n".join(("To install the rest:", *(f"  {each}" for each in commands))))
    never = sorted({each.name for each in LANGUAGES} - {each.name for each in languages})
    parts.append(f"Answers in these are compared, not run: {', '.join(never)}.")
    return "\n\n".join(parts) + "\n"


def _table(title: str, findings: list[Finding]) -> str:
    rows = [(title, "works", "what there is")]
    for each in findings:
        lacking = f" (lacks {', '.join(each.missing)})" if each.is_there and each.missing else ""
        rows.append((each.name, _MARKS[each.is_there], each.says + lacking))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(
        f"{name:<{widths[0]}}  {works:<{widths[1]}}  {says}" for name, works, says in rows
    )


def _merged(commands: list[str]) -> list[str]:
    """Return the commands with one line for all packages of one installer."""
    start = "apt-get install --yes "
    packages = [
        name for each in commands if each.startswith(start) for name in each[len(start) :].split()
    ]
    others = [each for each in commands if not each.startswith(start)]
    return [*([start + " ".join(dict.fromkeys(packages))] if packages else []), *others]


def _install_of(tier: str, why_not: str) -> str:
    return _SANDBOX_INSTALLS.get(tier, "") if "install" in why_not else ""


def _record(finding: Finding) -> dict[str, object]:
    return {**finding._asdict(), "missing": list(finding.missing)}
