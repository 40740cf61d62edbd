"""A clock that a test moves by hand."""


class HandClock:
    """Implements `fimble.clock.Clock`."""

    def __init__(self) -> None:
        self.now_ms = 5000.0

    def wall_ms(self) -> int:
        return int(self.now_ms)

    def monotonic_ms(self) -> float:
        return self.now_ms
