"""What the server allows; `/info` reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one server; but for the first, the defaults are TGI's."""

    max_concurrent_requests: int = 16
    """Further requests are refused. TGI's 128 suit a GPU that runs them side by side."""
    max_best_of: int = 2
    max_stop_sequences: int = 4
    max_top_n_tokens: int = 5
    max_body_bytes: int = 2_000_000
    max_input_tokens: int
    max_total_tokens: int
