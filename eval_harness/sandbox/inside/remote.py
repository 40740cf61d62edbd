"""What the tests see of a candidate: functions that ask its process, and stand-ins for objects."""

from __future__ import annotations

import builtins
import marshal
from typing import TYPE_CHECKING, Any

from eval_harness.sandbox.inside import plain
from eval_harness.sandbox.inside.candidate import CALLBACK, ERROR, VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from eval_harness.sandbox.inside.link import Link

# Raised within tests, these would end a loop or the process as if all were well.
_MEANS_MORE = (StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt)


class CandidateError(Exception):
    """The candidate raised what has no counterpart here."""

    def __init__(self, kind: str, message: str, where: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.where = where


class Calls:
    """Calls of the candidate's functions, one at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._given: list[Callable[..., object]] = []
        """Functions of the tests that the candidate may call."""
        self.broken: dict[str, Any] | None = None
        """The verdict, once the candidate broke the rules of the exchange: tests that catch every
        exception must not hide that."""

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function that calls the candidate's of this name."""

        def ask(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, args, kwargs)

        ask.__name__ = name
        return ask

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call, and return what comes back; arguments change as the candidate changed them."""
        try:
            if bytearray in map(type, args):
                raise ValueError  # noqa: TRY301 - `marshal` would make bytes of it
            message = b"m" + marshal.dumps((target, args, kwargs), 2)
        except ValueError:
            message = b"j" + plain.dumps([target, list(args), kwargs], self._name_of)
        self._link.send(message)
        value, after = self.wait()
        if type(after) is list and len(after) == len(args):
            for old, new in zip(args, after, strict=True):
                plain.change(old, new)
        return value

    def begin(self, program: bytes) -> None:
        """Send the program."""
        self._link.send(program)

    def wait(self) -> tuple[Any, Any]:
        """Return the next answer, a value and the arguments after the call."""
        while True:
            kind, first, *rest = self._receive()
            if kind == VALUE:
                return first, rest[0]
            if kind == ERROR:
                raise _as_exception(*map(str, (first, *rest)))
            self._call_back(first, rest[0])

    def _receive(self) -> list[Any]:
        try:
            answer = plain.loads(self._link.receive(), self._named)
            if type(answer) is list and len(answer) in {3, 4} and answer[0] in _KINDS:
                return answer
            problem = f"{str(answer)[:200]}"
        except plain.NotPlainError as error:
            problem = str(error)
        self.broken = {"verdict": "wrong", "detail": f"it sent what is no answer: {problem}"}
        raise CandidateError("ProtocolError", problem, "")

    def _call_back(self, number: int, args: list[Any]) -> None:
        try:
            answer: list[object] = [VALUE, self._given[-number - 1](*args)]
        except Exception as error:  # noqa: BLE001 - goes to the candidate
            answer = [ERROR, f"{type(error).__name__}: {error}"]
        self._link.send(plain.dumps(answer, self._name_of))

    def _name_of(self, value: object) -> int:
        """Return the number of an object: the candidate's are positive, ours negative."""
        if isinstance(value, Remote):
            return object.__getattribute__(value, "_number")
        if not callable(value):
            raise TypeError(f"tests pass a {type(value).__name__}, which cannot cross")
        self._given.append(value)
        return -len(self._given)

    def _named(self, number: int) -> object:
        return self._given[-number - 1] if number < 0 else Remote(self, number)


_KINDS = (VALUE, ERROR, CALLBACK)


class Remote:
    """Stands for an object that only the candidate's process has.

    Equal to no value of the tests, whatever its class says: an answer that counts is data.
    """

    __slots__ = ("_calls", "_number")

    def __init__(self, calls: Calls, number: int) -> None:
        object.__setattr__(self, "_calls", calls)
        object.__setattr__(self, "_number", number)

    def _ask(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        calls: Calls = object.__getattribute__(self, "_calls")
        number: int = object.__getattribute__(self, "_number")
        return calls.call((number, operation), args, kwargs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        mine, its = (object.__getattribute__(side, "_number") for side in (self, other))
        return mine == its or self._ask("eq", other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return id(self)

    def __getattr__(self, name: str) -> Any:
        return self._ask("getattr", name)

    def __setattr__(self, name: str, value: object) -> None:
        self._ask("setattr", name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - as every function
        return self._ask("call", *args, **kwargs)

    def __next__(self) -> Any:
        try:
            return self._ask("next")[0]
        except CandidateError as error:
            if error.kind == "StopIteration":
                raise StopIteration from None
            raise

    def __str__(self) -> str:
        return str(self._ask("str"))

    def __repr__(self) -> str:
        return str(self._ask("repr"))

    def __bool__(self) -> bool:
        return self._ask("bool") is True


def _forward(operation: str) -> Callable[..., Any]:
    def ask(self: Remote, *args: Any) -> Any:
        return Remote._ask(self, operation, *args)  # noqa: SLF001 - our own

    return ask


_FORWARDED = (
    *("len", "iter", "getitem", "setitem", "delitem", "contains", "int", "float", "abs"),
    *("lt", "le", "gt", "ge", "add", "sub", "mul"),
)
for _operation in _FORWARDED:
    setattr(Remote, f"__{_operation}__", _forward(_operation))


def _as_exception(kind: str, message: str, where: str) -> BaseException:
    """Return the built-in exception of that name, where raising it is harmless."""
    known = getattr(builtins, kind, None)
    harmless = isinstance(known, type) and issubclass(known, BaseException)
    if harmless and not issubclass(known, (*_MEANS_MORE, UnicodeError)):
        error: BaseException = known(message)
    else:
        error = CandidateError(kind, message, where)
    error.__dict__["where"] = where
    return error
