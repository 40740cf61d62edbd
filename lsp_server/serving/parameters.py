"""The JSON of a request, read as TGI reads it.

Names, types and defaults are those of `GenerateParameters` in TGI's router/src/lib.rs; messages are
those of its JSON library. Unknown keys are ignored, as there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lsp_server.engines.segments import Segment, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping


class MalformedBodyError(Exception):
    """The body does not have the form of a request.

    Args:
        status: HTTP status to answer.
        message: Plain text to answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a request may set; None where TGI tells an absent value from a default."""

    best_of: int | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    do_sample: bool = False
    max_new_tokens: int | None = None
    return_full_text: bool | None = None
    stop: tuple[str, ...] = ()
    truncate: int | None = None
    watermark: bool = False
    details: bool = False
    decoder_input_details: bool = False
    seed: int | None = None
    top_n_tokens: int | None = None
    grammar: object = None
    adapter_id: str | None = None
    beginning: str | None = None
    """Ours, not TGI's: what the answer begins with; only what comes behind it is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The body of a request for text."""

    inputs: str | tuple[Segment, ...]
    """A text in which special tokens are obeyed, or segments."""
    parameters: Parameters
    stream: bool = False
    """Of `POST /` only."""

    @property
    def full_text(self) -> str:
        """The prompt as one string."""
        if isinstance(self.inputs, str):
            return self.inputs
        return "".join(s if isinstance(s, str) else s.text for s in self.inputs)


_RANGES: dict[str, tuple[int, int]] = {
    "usize": (0, 2**64 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "i32": (-(2**31), 2**31 - 1),
}

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_RANGES, (int,)),
    "f32": (int, float),
    "a boolean": (bool,),
    "a string": (str,),
    "a sequence": (list,),
}
"""Types of JSON values that fit a type of Rust; `bool` counts as no number."""

_TYPES: dict[str, str] = {
    "best_of": "usize",
    "temperature": "f32",
    "repetition_penalty": "f32",
    "frequency_penalty": "f32",
    "top_k": "i32",
    "top_p": "f32",
    "typical_p": "f32",
    "do_sample": "a boolean",
    "max_new_tokens": "u32",
    "return_full_text": "a boolean",
    "stop": "a sequence",
    "truncate": "usize",
    "watermark": "a boolean",
    "details": "a boolean",
    "decoder_input_details": "a boolean",
    "seed": "u64",
    "top_n_tokens": "u32",
    "grammar": "",
    "adapter_id": "a string",
    "beginning": "a string",
}
"""Rust's types of the parameters, as its messages name them; any type fits the empty one."""

_NEVER_NULL = frozenset({"do_sample", "stop", "watermark", "details", "decoder_input_details"})


def read_request(body: bytes) -> Request:
    """Return the request that a body holds.

    Raises:
        MalformedBodyError: The body is no JSON, or JSON of another form.
    """
    try:
        table = json.loads(body, parse_constant=_no_constant)
        json.dumps(table, ensure_ascii=False).encode()  # refuses lone surrogates, as Rust does
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError(
            400, f"Failed to parse the request body as JSON: {error}"
        ) from error
    if not isinstance(table, dict):
        raise _wrong(f"invalid type: {_described(table)}, expected struct GenerateRequest")
    if "inputs" not in table:
        raise _wrong("missing field `inputs`")
    stream = table.get("stream", False)
    if not isinstance(stream, bool):
        raise _wrong(f"stream: invalid type: {_described(stream)}, expected a boolean")
    return Request(
        inputs=_read_inputs(table["inputs"]), parameters=_read_parameters(table), stream=stream
    )


def _read_inputs(value: object) -> str | tuple[Segment, ...]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise _wrong(f"inputs: invalid type: {_described(value)}, expected a string")
    try:
        return from_json(value)
    except ValueError as error:
        raise _wrong(str(error)) from error


def _read_parameters(table: Mapping[str, object]) -> Parameters:
    if "parameters" not in table:
        return Parameters(do_sample=True)  # TGI's own default for requests without any parameter
    given = table["parameters"]
    if not isinstance(given, dict):
        raise _wrong(
            f"parameters: invalid type: {_described(given)}, expected struct GenerateParameters"
        )
    typed = {key: _typed(key, value) for key, value in given.items() if key in _TYPES}
    return Parameters(**cast("dict[str, Any]", typed))


def _typed(key: str, value: object) -> object:
    """Return the value of a parameter, checked against Rust's type of it."""
    where, wanted = f"parameters.{key}", _TYPES[key]
    if not wanted or (value is None and key not in _NEVER_NULL):
        return value
    if type(value) not in _PYTHON_TYPES[wanted]:
        raise _wrong(f"{where}: invalid type: {_described(value)}, expected {wanted}")
    if isinstance(value, list):
        return tuple(_string(item, f"{where}[{place}]") for place, item in enumerate(value))
    if isinstance(value, int) and wanted in _RANGES:
        smallest, largest = _RANGES[wanted]
        if not smallest <= value <= largest:
            raise _wrong(f"{where}: invalid value: integer `{value}`, expected {wanted}")
    return value


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{where}: invalid type: {_described(value)}, expected a string")
    return value


def _described(value: object) -> str:
    """Return a JSON value as Rust's messages show it."""
    shown = json.dumps(value, ensure_ascii=False)
    names: dict[type, str] = {
        bool: f"boolean `{shown}`",
        int: f"integer `{shown}`",
        float: f"floating point `{shown}`",
    }
    names |= {type(None): "null", str: f"string {shown}", list: "sequence"}
    return names.get(type(value), "map")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _wrong(message: str) -> MalformedBodyError:
    prefix = "Failed to deserialize the JSON body into the target type"
    return MalformedBodyError(422, f"{prefix}: {message}")
