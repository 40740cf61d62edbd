"""Typed configuration from TOML: recipes and `fimble.toml` are read by the same function.

A configuration class is a frozen dataclass whose fields have defaults or are required; a field that
is itself such a class is a table. An unknown key, a missing one or a value of the wrong type is a
`ConfigError` that names file and key. Ranges are checked by the class's `__post_init__`.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fimble.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def read_toml(cls: type[T], path: Path) -> T:
    """Return the configuration in a TOML file as an instance of `cls`.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or does not fit `cls`.
    """
    return from_table(cls, toml_table(path), where=str(path))


def toml_table(path: Path) -> dict[str, Any]:
    """Return the keys and values of a TOML file.

    Raises:
        ConfigError: The file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def from_table(cls: type[T], table: Mapping[str, object], *, where: str) -> T:
    """Return `table` as an instance of the dataclass `cls`.

    Args:
        cls: A dataclass, see the module.
        table: Keys and values as TOML or JSON give them.
        where: File (and table) for the message.

    Raises:
        ConfigError: A key is unknown or missing, or a value has the wrong type or range.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast("type", cls))}
    if unknown := sorted(set(table) - set(fields)):
        raise ConfigError(
            f"{where}: unknown key {', '.join(unknown)}; allowed are {', '.join(sorted(fields))}"
        )
    required = {n for n, f in fields.items() if _has_no_default(f)}
    if missing := sorted(required - set(table)):
        raise ConfigError(f"{where}: missing key {', '.join(missing)}")
    values = {
        key: _converted(value, hints[key], where=f"{where}: {key}") for key, value in table.items()
    }
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _has_no_default(field: dataclasses.Field[object]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _converted(value: object, hint: object, *, where: str) -> object:
    """Return `value` as the type `hint`, or raise `ConfigError`."""
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        options = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _converted(value, options[0], where=where)
    if origin is tuple:
        return _converted_list(value, typing.get_args(hint)[0], where=where)
    if origin is dict:
        return _converted_dict(value, typing.get_args(hint)[1], where=where)
    if isinstance(hint, type):
        return _converted_scalar(value, hint, where=where)
    raise TypeError(f"{where}: configuration classes cannot hold {hint}")


def _converted_list(value: object, item: object, *, where: str) -> object:
    if not isinstance(value, list):
        raise _wrong_type(value, "a list", where)
    return tuple(_converted(each, item, where=f"{where}[{n}]") for n, each in enumerate(value))


def _converted_dict(value: object, item: object, *, where: str) -> object:
    if not isinstance(value, dict):
        raise _wrong_type(value, "a table", where)
    return {key: _converted(each, item, where=f"{where}.{key}") for key, each in value.items()}


def _converted_scalar(value: object, hint: type, *, where: str) -> object:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise _wrong_type(value, "a table", where)
        return from_table(hint, value, where=where)
    if issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in hint)
            raise ConfigError(f"{where} is {value!r}; allowed are {allowed}") from None
    if hint is Path and isinstance(value, str):
        return Path(value).expanduser()
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise _wrong_type(value, hint.__name__, where)
    return value


def _wrong_type(value: object, expected: str, where: str) -> ConfigError:
    return ConfigError(f"{where} is {value!r} ({type(value).__name__}); it must be {expected}")


def check_shares(settings: object, names: tuple[str, ...]) -> None:
    """Refuse shares outside 0..1; called by a class's `__post_init__`.

    Raises:
        ConfigError: One of the fields in `names` lies outside.
    """
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} is {value}; it must lie in 0..1")


def check_positive(settings: object, names: tuple[str, ...]) -> None:
    """Refuse numbers that are not above 0, likewise.

    Raises:
        ConfigError: One of the fields in `names` is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value <= 0:
            raise ConfigError(f"{name} is {value}; it must be above 0")
