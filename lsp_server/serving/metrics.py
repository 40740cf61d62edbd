"""Numbers about the server in Prometheus' text format, under TGI's names.

Source: text-generation-inference v3.3.7, router/src/server.rs (descriptions and buckets), and
https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lsp_server.serving.limits import Limits
    from lsp_server.serving.worker import EngineThread

DURATION_BUCKETS_S = tuple(0.0001 * 1.5**power for power in range(1, 36))


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def record(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the samples."""
        total = 0
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            total += count
            label = "+Inf" if bound is None else f"{bound:.12g}"
            yield f'{name}_bucket{{le="{label}"}} {total}'
        yield f"{name}_sum {self._sum:.12g}"
        yield f"{name}_count {total}"


class Timing(NamedTuple):
    """How long the parts of one request took, in seconds."""

    total_s: float
    validation_s: float
    queue_s: float
    inference_s: float
    per_token_s: float


class Metrics:
    """What the server counts."""

    def __init__(self, limits: Limits) -> None:
        self.requests = 0
        self.successes = 0
        self.failures: dict[str, int] = {}
        """By TGI's kind: validation, overloaded, generation, dropped."""
        hundredths = [(place + 1) / 100 for place in range(100)]
        inputs = tuple(limits.max_input_tokens * part for part in hundredths)
        totals = tuple(limits.max_total_tokens * part for part in hundredths)
        self._histograms = {
            "tgi_request_duration": Histogram(DURATION_BUCKETS_S),
            "tgi_request_validation_duration": Histogram(DURATION_BUCKETS_S),
            "tgi_request_queue_duration": Histogram(DURATION_BUCKETS_S),
            "tgi_request_inference_duration": Histogram(DURATION_BUCKETS_S),
            "tgi_request_mean_time_per_token_duration": Histogram(DURATION_BUCKETS_S),
            "tgi_request_input_length": Histogram(inputs),
            "tgi_request_max_new_tokens": Histogram(totals),
            "tgi_request_generated_tokens": Histogram(totals),
        }

    def accepted(self, *, input_tokens: int, max_new_tokens: int) -> None:
        """Count a request that passed validation."""
        self._histograms["tgi_request_input_length"].record(input_tokens)
        self._histograms["tgi_request_max_new_tokens"].record(max_new_tokens)

    def succeeded(self, timing: Timing, *, generated_tokens: int) -> None:
        """Count a request that was answered."""
        self.successes += 1
        durations = {
            "tgi_request_duration": timing.total_s,
            "tgi_request_validation_duration": timing.validation_s,
            "tgi_request_queue_duration": timing.queue_s,
            "tgi_request_inference_duration": timing.inference_s,
            "tgi_request_mean_time_per_token_duration": timing.per_token_s,
        }
        for name, value in durations.items():
            self._histograms[name].record(value)
        self._histograms["tgi_request_generated_tokens"].record(generated_tokens)

    def failed(self, kind: str) -> None:
        """Count a request that was not answered."""
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def render(self, engine: EngineThread) -> str:
        """Return everything as Prometheus reads it."""
        counters = engine.counters
        return "".join(
            f"{line}\n"
            for line in (
                *_plain(
                    "counter",
                    {
                        "tgi_request_count": self.requests,
                        "tgi_request_success": self.successes,
                        "fimble_prompt_tokens_total": counters.prompt_tokens,
                        "fimble_cached_tokens_total": counters.cached_tokens,
                        "fimble_prefilled_tokens_total": counters.prefilled_tokens,
                        "fimble_generated_tokens_total": counters.generated_tokens,
                        "fimble_cancelled_requests_total": counters.cancelled_requests,
                    },
                ),
                "# TYPE tgi_request_failure counter",
                *(
                    f'tgi_request_failure{{err="{kind}"}} {count}'
                    for kind, count in sorted(self.failures.items())
                ),
                *_plain(
                    "gauge",
                    {
                        "tgi_queue_size": engine.num_waiting,
                        "tgi_batch_current_size": engine.num_running,
                    },
                ),
                *(
                    line
                    for name, histogram in self._histograms.items()
                    for line in (f"# TYPE {name} histogram", *histogram.lines(name))
                ),
            )
        )


def _plain(kind: str, values: Mapping[str, int]) -> Iterator[str]:
    for name, value in values.items():
        yield f"# TYPE {name} {kind}"
        yield f"{name} {value}"
