"""`fimble telemetry show` and `fimble telemetry forget`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING

from fimble.clock import SystemClock
from fimble.errors import InputError
from fimble.identity import identities, renew, user_name
from fimble.locks import try_lock
from fimble.paths import content_dir, data_dir, spool_dir, state_dir
from fimble.settings import load_settings
from fimble.spool import session_of
from fimble.upload import FORGET_PATH
from telemetry.collector.receipts import Receipts
from telemetry.privacy.forget import digest_of, forget
from telemetry.privacy.show import stored_lines

if TYPE_CHECKING:
    import argparse

    from telemetry.warehouse import Warehouse

WAIT_S = 60.0
_USER_KEY = re.compile(r"[0-9a-f]{32}")


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to choose."""
    parser.add_argument("--session", default="", metavar="ID", help="of this session only")


def add_forget_arguments(parser: argparse.ArgumentParser) -> None:
    """Add whom to forget."""
    parser.add_argument(
        "user",
        nargs="?",
        default="",
        help="a user_key, or a name that this machine's keys hash; without it: you",
    )


def show(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Print what is stored, one JSON object a line."""
    for line in stored_lines([spool_dir(), content_dir()], warehouse):
        if arguments.session in line:
            sys.stdout.write(f"{line}\n")


def forget_user(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Forget a user on this machine and at the collector, and begin a new pseudonym.

    Raises:
        InputError: This machine knows no pseudonym of the user, a merge holds the warehouse, or
            the collector did not do it.
    """
    settings = load_settings().telemetry
    keys = user_keys_of(arguments.user, settings.user)
    if settings.collector_url:
        from telemetry.collector.requests import ask_to_forget  # brings aiohttp

        asyncio.run(ask_to_forget(settings, keys))
    _check_collector()
    folders = [spool_dir(), content_dir(), spool_dir() / "refused"]
    done = forget(folders, warehouse, SystemClock(), user_keys=keys, wait_s=WAIT_S)
    if done is None:
        raise InputError(
            f"another process has been merging into {warehouse.folder} for {WAIT_S:.0f} s"
        )
    gone = warehouse.manifest().forgotten
    receipts = data_dir() / "receipts.jsonl"
    if receipts.exists():
        Receipts(receipts).drop(lambda name: digest_of(session_of(name)) in gone)
    if not _USER_KEY.fullmatch(arguments.user):
        renew(state_dir())
    sys.stdout.write(
        f"forgot {done.num_sessions} sessions with {done.num_events} merged events; "
        "restart open editors, whose sessions are not recorded any more\n"
    )


def _check_collector() -> None:
    """Make sure that no collector holds this data folder.

    Raises:
        InputError: One does; it knows what it took, and has to forget by itself.
    """
    lock = data_dir() / "collector.lock"
    if not lock.exists():
        return
    descriptor = os.open(lock, os.O_RDWR)
    try:
        if not try_lock(descriptor):
            raise InputError(
                f"a collector works on {data_dir()}; ask it: POST {FORGET_PATH} "
                'with {"user_keys": ["..."]}'
            )
    finally:
        os.close(descriptor)


def user_keys_of(said: str, configured: str) -> list[str]:
    """Return the pseudonyms that are meant.

    Raises:
        InputError: This machine knows none.
    """
    if _USER_KEY.fullmatch(said):
        return [said]
    found = [each.user_key for each in identities(state_dir(), said or user_name(configured))]
    if not found:
        raise InputError(
            f"this machine has no key, so nothing was recorded under a pseudonym: "
            f"{state_dir()} holds none. At level metrics nothing says whose events are whose; "
            "deleting spool and warehouse deletes them all"
        )
    return found
