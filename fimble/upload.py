"""How segments go to a collector: one definition for who sends and who receives.

    PUT /v1/segments/<name>   body: the segment, gzip; 201 taken, 200 had it already
    POST /v1/forget           body: {"user_keys": [...]}; 200 when nothing is left
    GET /v1/health            200

Every request but the last carries `Authorization: Bearer <token>`. A segment carries the SHA-256 of
its plain bytes, so that a damaged or altered one is refused, and a repeated one is recognised.
`429` and `503` say in `Retry-After` how many seconds to wait; the spool is the buffer meanwhile.
"""

from __future__ import annotations

import re

SEGMENTS_PATH = "/v1/segments/"
FORGET_PATH = "/v1/forget"
HEALTH_PATH = "/v1/health"
SHA256_HEADER = "X-Fimble-Sha256"
MAX_SEGMENT_BYTES = 4 << 20
"""Of the plain bytes; sessions close a segment at a megabyte."""
SEGMENT_NAME = re.compile(r"[A-Za-z0-9_]{1,64}-[0-9]{1,9}\.jsonl")
"""Names of closed segments, see `fimble.spool`."""
