"""How many users a server carries: a ladder of numbers first, then halves between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

_T = TypeVar("_T")
FINENESS = 8
"""The search ends where the bounds are closer than one user, or an eighth of the lower."""


class Carried(NamedTuple):
    """What was found."""

    users: int
    """The most that fitted, with all fewer ones that were tried."""
    too_many: int | None
    """The fewest that did not fit; None where all that were tried did."""


def carried(measured: dict[int, _T], fits: Callable[[_T], bool]) -> Carried:
    """Return what is known after some numbers were tried."""
    users = 0
    for number in sorted(measured):
        if not fits(measured[number]):
            return Carried(users, number)
        users = number
    return Carried(users, None)


async def search(
    measure: Callable[[int], Awaitable[_T]], measured: dict[int, _T], fits: Callable[[_T], bool]
) -> Carried:
    """Try numbers of users between the bounds that are known, until they are close.

    Args:
        measure: Tries a number of users.
        measured: What was tried before; what is tried now is added.
        fits: Whether so many users are served in time.
    """
    found = carried(measured, fits)
    while found.too_many is not None and found.too_many - found.users > max(
        1, found.users // FINENESS
    ):
        number = (found.users + found.too_many) // 2
        measured[number] = await measure(number)
        found = carried(measured, fits)
    return found


async def climb_ladder(
    measure: Callable[[int], Awaitable[_T]],
    ladder: Iterable[int],
    *,
    is_beyond: Callable[[_T], bool],
) -> dict[int, _T]:
    """Try numbers from the fewest up, until one is beyond what anybody would bear.

    Args:
        measure: Tries a number of users.
        ladder: Numbers of users.
        is_beyond: Whether more users say nothing more.
    """
    measured: dict[int, _T] = {}
    for number in sorted(set(ladder)):
        measured[number] = await measure(number)
        if is_beyond(measured[number]):
            break
    return measured
