"""An editor session that records without end: the server's own outbox, in a process of its own.

`python outbox_writer.py SPOOL SEED` says on standard output its session, then again and again how
many of its events the disk has, until it is killed.
"""

import sys
import time
from itertools import count
from pathlib import Path

from fimble.clock import SystemClock
from fimble.events import SessionEnded
from lsp_server.outbox import Outbox
from tests.stand_ins.spool_writer import session

PAUSE_S = 0.1
SEGMENT_BYTES = 40_000


def main() -> None:
    """Record until killed."""
    spool, seed = Path(sys.argv[1]), int(sys.argv[2])
    name = f"s{seed:08x}"
    outbox = Outbox(spool, session_id=name, clock=SystemClock(), segment_bytes=SEGMENT_BYTES)
    sys.stdout.write(f"{name}\n")
    for number in count():
        for event in session(3, seed=seed * 100_000 + number)[int(number > 0) :]:
            if not isinstance(event, SessionEnded):
                outbox.put(event)
        time.sleep(PAUSE_S)
        sys.stdout.write(f"{outbox.num_written}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
