"""The process that holds a candidate's program, and only that: runs it, and answers calls.

Whatever the program does to this process, it can only change what it answers.
"""

from __future__ import annotations

import _socket as socket
import builtins
import contextlib
import functools
import marshal
import os
import sys
import traceback
import types
from typing import Any, NoReturn

from eval_harness.sandbox.inside import plain
from eval_harness.sandbox.inside.link import Link, LinkClosedError

VALUE, ERROR, CALLBACK = 0, 1, 2
FILE = "candidate.py"
_MAX_DETAIL_CHARS = 1500
_REHEARSALS = 10
_PLAY = '''
from typing import Any, Dict, List, Optional, Tuple


def helper(text: str) -> List[str]:
    return [c for c in text.split(" ") if c]


class Thing:
    def __init__(self, value: Any) -> None:
        self.value = value


def play(first: Any, second: Any, third: Any) -> Any:
    """Use what programs use."""
    found: Dict[str, Any] = {}
    total = 0
    for number in range(20):
        if number % 2 == 0 and number > 3:
            total += number // 2
        else:
            found[str(number)] = Thing(number).value
    words = sorted(helper("b c a"), key=lambda word: -ord(word))
    while total > 100:
        total -= 1
    if isinstance(first, list):
        first.append(len(first))
    return [first, second, third, total, "-".join(words).upper(), max(found.values()), 0.5 * total]


def refuse(first: Any, second: Any, third: Any) -> Any:
    raise ValueError(f"{first!r}")
'''


class Candidate:
    """The program's module, and objects of it that the examiner knows by number."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._module = types.ModuleType("candidate")
        self._objects: list[Any] = []

    def serve(self) -> NoReturn:
        """Run the program, then answer calls for as long as there are any.

        Raises:
            LinkClosedError: There are no more.
        """
        self._reply(self._attempt(self._define))
        while True:
            self._reply(self._attempt(self._call))

    def _reply(self, answer: list[Any]) -> None:
        self._link.send(plain.write(answer))

    def _attempt(self, step: Any) -> list[Any]:
        """Return what a step returns, or what it raised, whatever that is."""
        try:
            return step()
        except LinkClosedError:
            raise
        except BaseException as error:  # noqa: BLE001 - a program may raise anything
            return _described(error)

    def _define(self) -> list[Any]:
        code = marshal.loads(self._link.receive())  # noqa: S302 - from us
        sys.modules["candidate"] = self._module
        exec(code, self._module.__dict__)  # noqa: S102 - what this process is for
        return [VALUE, None, None]

    def _call(self) -> list[Any]:
        message = self._link.receive()
        if message[:1] == b"m":
            target, args, kwargs = marshal.loads(memoryview(message)[1:])  # noqa: S302 - from us
        else:
            target, args, kwargs = plain.loads(message[1:], self._named)
        before = marshal.dumps(args, 2) if message[:1] == b"m" and _is_mutable(args) else b""
        value = self._function(target)(*args, **kwargs)
        after = None
        if before and _marshalled(args) != before:
            after = plain.encode(list(args), self._name_of)
        return [VALUE, plain.encode(value, self._name_of), after]

    def _function(self, target: Any) -> Any:
        """Return what is called: a name of the module, or an operation on an object."""
        if isinstance(target, str):
            try:
                return self._module.__dict__[target]
            except KeyError:
                raise NameError(f"name {target!r} is not defined") from None
        number, operation = target
        subject = self._objects[number]
        if operation == "getattr":
            return functools.partial(getattr, subject)
        if operation == "call":
            return subject
        return functools.partial(_OPERATIONS[operation], subject)

    def _name_of(self, value: object) -> int:
        self._objects.append(value)
        return len(self._objects) - 1

    def _named(self, number: int) -> object:
        """Return an object of ours, or what calls back a function of the examiner's."""
        if number >= 0:
            return self._objects[number]

        def call_back(*args: object) -> object:
            self._reply([CALLBACK, number, plain.encode(list(args), self._name_of)])
            kind, value = plain.loads(self._link.receive(), self._named)
            if kind != VALUE:
                raise RuntimeError(value)
            return value

        return call_back


def _set_item(subject: Any, key: Any, value: Any) -> None:
    subject[key] = value


def _delete_item(subject: Any, key: Any) -> None:
    del subject[key]


_OPERATIONS: dict[str, Any] = {
    "len": len,
    "iter": iter,
    "next": lambda subject: [next(subject)],
    "getitem": lambda subject, key: subject[key],
    "setitem": _set_item,
    "delitem": _delete_item,
    "contains": lambda subject, item: item in subject,
    "str": str,
    "repr": repr,
    "bool": bool,
    "int": int,
    "float": float,
    "abs": abs,
    "eq": lambda subject, other: bool(subject == other),
    "lt": lambda subject, other: bool(subject < other),
    "le": lambda subject, other: bool(subject <= other),
    "gt": lambda subject, other: bool(subject > other),
    "ge": lambda subject, other: bool(subject >= other),
    "add": lambda subject, other: subject + other,
    "sub": lambda subject, other: subject - other,
    "mul": lambda subject, other: subject * other,
    "setattr": setattr,
}


def prepare() -> None:
    """Make the process that forks look like a fresh interpreter; its forks need not do it."""
    sys.path[:] = [path for path in sys.path if path.startswith(sys.base_prefix)]
    sys.argv[:] = [FILE]
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # `site`, which we go without, has them
    _rehearse()


def serve(link: int) -> NoReturn:
    """Serve one program."""
    try:
        Candidate(Link(link)).serve()
    except LinkClosedError:
        os._exit(0)


def _rehearse() -> None:
    """Serve a program of ours a few times.

    The interpreter rewrites code that has run before, and remembers where attributes were found:
    all forks share that, and need not find out themselves.
    """
    program = marshal.dumps(compile(_PLAY, FILE, "exec", dont_inherit=True))
    calls = [
        b"m" + marshal.dumps((name, args, {}), 2)
        for name in ("play", "refuse")
        for args in ((3, 1.5, "🎉"), ([1, [2]], (3, "x"), {"a": [None, True]}))
    ]
    for _ in range(_REHEARSALS):
        ours, theirs = socket.socketpair()
        Link(ours.fileno()).send(program, *calls)
        ours.shutdown(socket.SHUT_WR)
        with contextlib.suppress(LinkClosedError):
            Candidate(Link(theirs.fileno())).serve()
        ours.close()
        theirs.close()
    del sys.modules["candidate"]


def _is_mutable(args: Any) -> bool:
    return any(type(arg) in {list, dict, set, tuple, bytearray} for arg in args)


def _marshalled(args: Any) -> bytes:
    try:
        return marshal.dumps(args, 2)
    except ValueError:
        return b""  # it put an object in there


def _described(error: BaseException) -> list[Any]:
    """Return an exception as its nearest built-in class, a message and where it was raised."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    try:
        text = "".join(traceback.format_exception(error, limit=-4))[-_MAX_DETAIL_CHARS:]
        message = str(error)[:_MAX_DETAIL_CHARS]
    except BaseException:  # noqa: BLE001 - a program's own `__str__`
        text = message = type(error).__name__
    return [ERROR, kinds[0], message, text]
