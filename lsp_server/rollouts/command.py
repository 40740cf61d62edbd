"""`fimble rollout`: sign the rules that say which model a user gets, and see what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import ConfigError, InputError
from fimble.files import write_whole
from fimble.identity import user_name
from fimble.rollout import NO_RULE, choose, judge, parse_rollout
from fimble.settings import load_settings
from lsp_server.rollouts.rules_file import path_of, read_rules
from lsp_server.rollouts.signature import (
    make_key,
    public_key,
    read_key,
    verified,
    with_signature,
)

if TYPE_CHECKING:
    import argparse

    from fimble.rollout import Rollout
    from fimble.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="rollout_verb", metavar="VERB", required=True)
    key = verbs.add_parser("key", help="make a private key, and print the public one of it")
    key.add_argument("key", type=Path, help="file of the private key; made where it is not there")
    sign = verbs.add_parser("sign", help="check rules and sign them, in their own first line")
    sign.add_argument("rules", type=Path, help="the rules, TOML")
    sign.add_argument("--key", type=Path, required=True, help="private key: Ed25519, PEM")
    check = verbs.add_parser(
        "check", help="say whether rules are signed, and count on this machine"
    )
    check.add_argument("rules", type=Path, nargs="?", help="default: those that sessions read")
    explain = verbs.add_parser("explain", help="say which rule a user gets, and why")
    explain.add_argument("rules", type=Path, nargs="?", help="default: those that sessions read")
    explain.add_argument("--user", help="default: you")
    explain.add_argument("--team", help="default: yours")
    for verb in (key, sign, check, explain):
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Do it; return 0 where the rules count."""
    said = _VERBS[arguments.rollout_verb](arguments)
    if arguments.json:
        sys.stdout.write(f"{json.dumps(said, indent=2, default=str)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(said))
    return 0


def _key(arguments: argparse.Namespace) -> dict[str, object]:
    key = read_key(arguments.key) if arguments.key.exists() else make_key(arguments.key)
    return {"public_key": public_key(key)}


def _sign(arguments: argparse.Namespace) -> dict[str, object]:
    """Sign rules that can be used; what cannot is never distributed.

    Raises:
        InputError: The rules do not fit or have expired, or the key is none.
    """
    data = _bytes_of(arguments.rules)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{arguments.rules} is not UTF-8: {error}") from error
    rollout = parse_rollout(text, where=str(arguments.rules))
    if rollout.is_expired(SystemClock().wall_ms()):
        raise ConfigError(f"{arguments.rules}: expires is {rollout.expires}, which is over")
    write_whole(arguments.rules, with_signature(data, read_key(arguments.key)))
    return {"signed": arguments.rules, **_about(rollout)}


def _check(arguments: argparse.Namespace) -> dict[str, object]:
    """Return what is known of rules.

    Raises:
        InputError: They do not count here.
    """
    settings = load_settings()
    return {"rules": arguments.rules or path_of(settings.rollout), **_about(_rules(arguments))}


def _explain(arguments: argparse.Namespace) -> dict[str, object]:
    telemetry = load_settings().telemetry
    user = user_name(telemetry.user) if arguments.user is None else arguments.user
    team = telemetry.team if arguments.team is None else arguments.team
    rollout = _rules(arguments)
    chosen = choose(rollout, user=user, team=team)
    rule = chosen.rule
    return {
        "user": user,
        "team": team,
        "rule": rule.name if rule else NO_RULE,
        "model": rule.model if rule else "",
        "tgi_url": rule.tgi_url if rule else "",
        "reason": chosen.flag_reason,
        "rules": [
            {"name": each.rule.name, "applies": each.applies, "because": each.because}
            for each in judge(rollout, user=user, team=team)
        ],
    }


_VERBS = {"key": _key, "sign": _sign, "check": _check, "explain": _explain}


def _rules(arguments: argparse.Namespace) -> Rollout:
    """Return rules that count here: those of a file, or those that sessions read."""
    settings = load_settings()
    _check_keys(settings)
    if arguments.rules is not None:
        where = str(arguments.rules)
        text = verified(_bytes_of(arguments.rules), settings.rollout.keys, where=where)
        rollout = parse_rollout(text, where=where)
    else:
        rollout = _in_force(settings)
    if rollout.is_expired(SystemClock().wall_ms()):
        raise ConfigError(
            f"version {rollout.rules_version} of the rules expired on {rollout.expires}"
        )
    return rollout


def _in_force(settings: Settings) -> Rollout:
    read = read_rules(settings.rollout)
    if read.trouble:
        raise ConfigError(read.trouble)
    if read.is_halted:
        raise ConfigError(f"{path_of(settings.rollout)} is halted on this machine")
    if read.rollout is None:
        raise ConfigError(f"there is no rules file {path_of(settings.rollout)}")
    return read.rollout


def _check_keys(settings: Settings) -> None:
    if not settings.rollout.keys:
        raise ConfigError(
            "fimble.toml names no [rollout] keys, so no rules count; `fimble rollout key` prints "
            "the one that belongs there"
        )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _about(rollout: Rollout) -> dict[str, object]:
    return {
        "name": rollout.name,
        "version": rollout.rules_version,
        "expires": rollout.expires,
        "num_rules": len(rollout.rules),
    }


def _lines(said: dict[str, object]) -> list[str]:
    """Return what is said as lines of a key and a value; lists as lines below."""
    lines: list[str] = []
    for key, value in said.items():
        if isinstance(value, list):
            lines += [
                f"  {'✓' if each['applies'] else '·'} {each['name']}: {each['because']}"
                for each in value
            ]
        else:
            lines.append(f"{key:<12} {value}")
    return lines
