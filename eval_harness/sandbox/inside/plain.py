"""Values that cross between the examiner and the candidate: data, never behaviour.

A candidate's `__eq__`, `__hash__` or `__len__` must not decide whether its tests pass, so what it
returns is written out as data and built anew on the other side from exact built-in types. Instances
of their subclasses cross as what they hold. What is no data crosses as a number that stands for it.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Encoder = tuple[type, str, Any]

_AS_THEY_ARE = frozenset({str, bool, float, type(None)})
_WHOLE = slice(None)
_LONG_BITS = 10_000
"""Decimal digits of longer numbers are refused by Python's own reader."""
_TAG = "_"
_ENCODER = json.JSONEncoder(check_circular=False)
_DECODER = json.JSONDecoder()
_EMPTY: dict[object, object] = {}
_KEYS = type(_EMPTY.keys())


class NotPlainError(Exception):
    """The other side sent what no honest encoder writes."""


def dumps(value: object, name_of: Callable[[object], int]) -> bytes:
    """Return a value as text.

    Args:
        value: Anything.
        name_of: Returns the number that stands for what is no data.
    """
    return write(encode(value, name_of))


def write(encoded: object) -> bytes:
    """Return as text what `encode` returned."""
    return _ENCODER.encode(encoded).encode()


def loads(text: bytes, named: Callable[[int], object]) -> Any:
    """Return the value that `dumps` wrote.

    Args:
        text: From the other side, which may be hostile.
        named: Returns what a number stands for here.

    Raises:
        NotPlainError: It is not what `dumps` writes.
    """
    try:
        value, end = _DECODER.raw_decode(text.decode())
        plain = decode(value, named) if b"{" in text else value
    except NotPlainError:
        raise
    except Exception as error:
        raise NotPlainError(f"{type(error).__name__}: {error}") from error
    if end != len(text):
        raise NotPlainError("something follows the answer")
    return plain


def encode(value: Any, name_of: Callable[[object], int]) -> Any:
    """Return a value as JSON has it; what JSON lacks as an object with a tag."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is int:
        return value if value.bit_length() < _LONG_BITS else {_TAG: "int", "v": hex(value)}
    if kind is list:
        return [encode(item, name_of) for item in value]
    if kind is type and value in _TYPES:
        return {_TAG: "type", "v": value.__name__}
    for encoders in (_ENCODERS, _encoders_of_imported):
        for base, tag, write in encoders if isinstance(encoders, tuple) else encoders():
            if isinstance(value, base):
                return write(value, tag, name_of)
    return {_TAG: "object", "v": name_of(value)}


def decode(value: Any, named: Callable[[int], object]) -> Any:
    """Return the value that `encode` took apart."""
    kind = type(value)
    if kind is list:
        return [decode(item, named) for item in value]
    if kind is not dict:
        return value
    if value[_TAG] == "object":
        number = value["v"]
        if type(number) is not int:
            raise NotPlainError(f"an object's number is {number!r}")
        return named(number)
    return _DECODERS[value[_TAG]](value["v"], named)


def change(old: Any, new: Any) -> None:
    """Make a mutable value hold what another holds, down to what is within it."""
    if type(old) is not type(new):
        return
    if type(old) is list:
        old[:] = [_kept(*pair) for pair in zip(old, new, strict=False)] + new[len(old) :]
    elif type(old) is dict:
        kept = {key: _kept(old[key], item) if key in old else item for key, item in new.items()}
        old.clear()
        old.update(kept)
    elif type(old) is set:
        old.clear()
        old.update(new)
    elif type(old) is bytearray:
        old[:] = new
    elif type(old) is tuple:
        for before, after in zip(old, new, strict=False):
            change(before, after)


_MUTABLE = (list, dict, set, bytearray, tuple)


def _kept(old: Any, new: Any) -> Any:
    """Return the old container, changed; or the new value."""
    if type(old) is type(new) and type(old) in _MUTABLE:
        change(old, new)
        return new if type(old) is tuple else old
    return new


def _items(items: Any, tag: str, name_of: Callable[[object], int]) -> dict[str, Any]:
    return {_TAG: tag, "v": [encode(item, name_of) for item in items]}


def _pairs(value: Any, tag: str, name_of: Callable[[object], int]) -> dict[str, Any]:
    pairs = [[encode(k, name_of), encode(v, name_of)] for k, v in dict.items(value)]
    return {_TAG: tag, "v": pairs}


def _stamp(value: Any, tag: str, name_of: Callable[[object], int]) -> dict[str, Any]:
    if value.tzinfo is not None:
        return {_TAG: "object", "v": name_of(value)}
    return {_TAG: tag, "v": type(value).isoformat(value)}


# Each writes by the base's own methods, not by those of a subclass.
_ENCODERS: tuple[Encoder, ...] = (
    (tuple, "tuple", lambda v, t, n: _items(tuple.__iter__(v), t, n)),
    (dict, "dict", _pairs),
    (set, "set", lambda v, t, n: _items(set.__iter__(v), t, n)),
    (frozenset, "frozenset", lambda v, t, n: _items(frozenset.__iter__(v), t, n)),
    (list, "list", lambda v, t, n: _items(list.__iter__(v), t, n)),
    (str, "str", lambda v, _t, _n: str.__getitem__(v, _WHOLE)),
    (int, "int", lambda v, t, _n: {_TAG: t, "v": hex(int.__add__(v, 0))}),
    (float, "float", lambda v, _t, _n: float.__add__(v, 0.0)),
    (complex, "complex", lambda v, t, _n: {_TAG: t, "v": [v.real, v.imag]}),
    (bytes, "bytes", lambda v, t, _n: {_TAG: t, "v": bytes.hex(v)}),
    (bytearray, "bytearray", lambda v, t, _n: {_TAG: t, "v": bytearray.hex(v)}),
    (range, "range", lambda v, t, _n: {_TAG: t, "v": [v.start, v.stop, v.step]}),
    (_KEYS, "keys", lambda v, t, n: _items(list(v), t, n)),
)


def _encoders_of_decimal(module: ModuleType) -> tuple[Encoder, ...]:
    base = module.Decimal
    return ((base, "decimal", lambda v, t, _n: {_TAG: t, "v": base.__str__(v)}),)


def _encoders_of_fractions(module: ModuleType) -> tuple[Encoder, ...]:
    def write(value: Any, tag: str, _: object) -> dict[str, Any]:
        return {_TAG: tag, "v": [hex(value.numerator), hex(value.denominator)]}

    return ((module.Fraction, "fraction", write),)


def _encoders_of_datetime(module: ModuleType) -> tuple[Encoder, ...]:
    def write_days(value: Any, tag: str, _: object) -> dict[str, Any]:
        return {_TAG: tag, "v": module.date.isoformat(value)}

    def write_span(value: Any, tag: str, _: object) -> dict[str, Any]:
        return {_TAG: tag, "v": [value.days, value.seconds, value.microseconds]}

    return (
        (module.datetime, "datetime", _stamp),  # goes first: it is a date, too
        (module.date, "date", write_days),
        (module.time, "time", _stamp),
        (module.timedelta, "timedelta", write_span),
    )


_LATE: dict[str, Callable[[ModuleType], tuple[Encoder, ...]]] = {
    "decimal": _encoders_of_decimal,
    "fractions": _encoders_of_fractions,
    "datetime": _encoders_of_datetime,
}
"""By module: who has not imported it has no such values, and need not pay for it."""


def _encoders_of_imported() -> list[Encoder]:
    found: list[Encoder] = []
    for name, encoders_of in _LATE.items():
        module = sys.modules.get(name)
        if module is not None:
            found += encoders_of(module)
    return found


def _made_by(module: str, name: str) -> Any:
    """Return what makes a value of a class that is imported only now."""
    return getattr(importlib.import_module(module), name)


_TYPES = frozenset(
    {int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset, object}
)
_TYPES_BY_NAME = {kind.__name__: kind for kind in _TYPES}

_DECODERS: dict[str, Callable[[Any, Callable[[int], object]], Any]] = {
    "type": lambda v, _n: _TYPES_BY_NAME[v],
    "tuple": lambda v, n: tuple([decode(item, n) for item in v]),
    "dict": lambda v, n: {decode(key, n): decode(item, n) for key, item in v},
    "set": lambda v, n: {decode(item, n) for item in v},
    "frozenset": lambda v, n: frozenset([decode(item, n) for item in v]),
    "list": lambda v, n: [decode(item, n) for item in v],
    "int": lambda v, _n: int(v, 16),
    "complex": lambda v, _n: complex(*v),
    "bytes": lambda v, _n: bytes.fromhex(v),
    "bytearray": lambda v, _n: bytearray.fromhex(v),
    "range": lambda v, _n: range(*v),
    "keys": lambda v, n: dict.fromkeys([decode(item, n) for item in v]).keys(),
    "decimal": lambda v, _n: _made_by("decimal", "Decimal")(v),
    "fraction": lambda v, _n: _made_by("fractions", "Fraction")(int(v[0], 16), int(v[1], 16)),
    "datetime": lambda v, _n: _made_by("datetime", "datetime").fromisoformat(v),
    "date": lambda v, _n: _made_by("datetime", "date").fromisoformat(v),
    "time": lambda v, _n: _made_by("datetime", "time").fromisoformat(v),
    "timedelta": lambda v, _n: _made_by("datetime", "timedelta")(*v),
}
