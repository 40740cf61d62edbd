"""A clock that a test moves by hand."""


class HandClock:
    """Implements `fimble.clock.Clock`; both of its times are `now_ms`."""

    def __init__(self, now_ms: float = 5000.0) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return int(self.now_ms)

    def monotonic_ms(self) -> float:
        return self.now_ms
