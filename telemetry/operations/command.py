"""`fimble telemetry operations`: fetch backends' metrics, and ask about them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from typing import TYPE_CHECKING

import duckdb

from fimble.clock import SystemClock
from fimble.errors import InputError
from telemetry.answers import one_message
from telemetry.operations.store import OperationsStore
from telemetry.operations.views import Days, asking
from telemetry.reader import single_query
from telemetry.tables import Format, write_csv, write_json, write_table

if TYPE_CHECKING:
    import argparse

    from fimble.clock import Clock
    from telemetry.operations.scrape import Sample, Scraper
    from telemetry.warehouse import Warehouse

DEFAULT_QUERY = "from backends order by minute desc, backend limit 60"
FLUSH_S = 60.0
"""A kill loses no more of the metrics than this."""
MAX_WAIT_S = 5.0
MAX_WAITING = 200_000
"""Samples that are kept in memory while the disk refuses them."""
_WRITERS = {Format.TABLE: write_table, Format.CSV: write_csv, Format.JSON: write_json}
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `fimble telemetry operations`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    scraping = verbs.add_parser("scrape", help="fetch metrics until stopped")
    scraping.add_argument(
        "backends", nargs="+", metavar="URL", help="http://HOST:PORT, or NAME=URL"
    )
    scraping.add_argument("--every-s", type=float, default=15.0, metavar="SECONDS")
    scraping.add_argument(
        "--polls", type=int, default=0, metavar="N", help="end after so many; 0 goes on"
    )
    scraping.add_argument("--keep-days", type=int, default=90, metavar="DAYS")
    asking = verbs.add_parser("sql", help="query samples, backends and serving, and all events")
    asking.add_argument("query", nargs="?", default=DEFAULT_QUERY, help="one statement that reads")
    asking.add_argument("--days", type=int, default=1, help="so many days back; 0 means all")
    formats = [each.value for each in _WRITERS]
    asking.add_argument("--format", choices=formats, default=Format.TABLE.value)


def run(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Do what the verb says.

    Raises:
        InputError: An option, an address or the query is wrong, or the folder cannot be written.
    """
    if arguments.verb == "scrape":
        _scrape(warehouse, arguments)
        return
    today = Days.until(None, arguments.days or 1)
    days = Days(first=today.first) if arguments.days else Days()
    with one_message(), asking(warehouse, days) as connection:
        result = connection.execute(single_query(connection, arguments.query))
        names = [column[0] for column in result.description or []]
        _WRITERS[Format(arguments.format)](names, result.fetchall(), sys.stdout)


def _scrape(warehouse: Warehouse, arguments: argparse.Namespace) -> None:
    """Fetch until stopped.

    Raises:
        InputError: See `run`.
    """
    from telemetry.operations.scrape import Scraper, backend_of

    if not arguments.every_s >= 1 or arguments.keep_days < 1 or arguments.polls < 0:
        raise InputError("--every-s and --keep-days must be 1 or more, --polls 0 or more")
    backends = [backend_of(text) for text in arguments.backends]
    if len({each.name for each in backends}) < len(backends):
        raise InputError("two backends have one name; give them names: NAME=URL")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    clock = SystemClock()
    scraper = Scraper(backends, clock=clock, timeout_s=min(MAX_WAIT_S, arguments.every_s))
    store = OperationsStore(warehouse.folder)
    try:
        with store.writing():
            asyncio.run(_Loop(scraper, store, arguments, clock).run())
    except (OSError, duckdb.Error) as error:
        raise InputError(f"cannot write into {store.folder}: {error}") from error


class _Loop:
    """Polls, and the samples that the disk does not have yet."""

    def __init__(
        self, scraper: Scraper, store: OperationsStore, arguments: argparse.Namespace, clock: Clock
    ) -> None:
        self._scraper = scraper
        self._store = store
        self._every_s: float = arguments.every_s
        self._max_polls: int = arguments.polls
        self._keep_days: int = arguments.keep_days
        self._clock = clock
        self._waiting: list[Sample] = []

    async def run(self) -> None:
        """Poll until a signal comes, or often enough; then write what waits.

        Raises:
            OSError: What is left at the end cannot be written.
        """
        import aiohttp  # here, for the start of the other commands

        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
                loop.add_signal_handler(number, stop.set)
        num_polls, next_s, written_s = 0, loop.time(), loop.time()
        async with aiohttp.ClientSession() as session:
            while not stop.is_set() and (num_polls < self._max_polls or not self._max_polls):
                await self._wait(stop, next_s - loop.time())
                self._waiting += await self._scraper.poll(session)
                num_polls += 1
                next_s = max(next_s + self._every_s, loop.time())
                if loop.time() - written_s >= FLUSH_S:
                    await asyncio.to_thread(self._write_if_possible)
                    written_s = loop.time()
        self._write()

    async def _wait(self, stop: asyncio.Event, wait_s: float) -> None:
        """Wait, unless somebody wants us to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.0, wait_s))

    def _write(self) -> None:
        self._store.add(self._waiting)
        self._waiting = []
        self._store.tidy(now_ms=self._clock.wall_ms(), keep_days=self._keep_days)

    def _write_if_possible(self) -> None:
        """Write what waits; where the disk refuses, it waits on, the newest of it."""
        try:
            self._write()
        except (OSError, duckdb.Error) as error:
            _log.warning("cannot write metrics, they wait: %s", error)
            del self._waiting[:-MAX_WAITING]
