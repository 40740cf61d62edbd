"""Which requests are refused, with TGI's messages in TGI's order.

Source: text-generation-inference v3.3.7, router/src/validation.rs (`Validation::validate`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lsp_server.engines.embedded import Generation
from lsp_server.engines.sampling import Sampling
from lsp_server.engines.segments import Special

if TYPE_CHECKING:
    from lsp_server.engines.vocabulary import Vocabulary
    from lsp_server.serving.limits import Limits
    from lsp_server.serving.parameters import Parameters, Request

LONGEST_DEFAULT_TOKENS = 1024
"""TGI checks no more than so many new tokens against the context, and then goes on while it can."""


class ValidationError(Exception):
    """A request is refused; the message is TGI's, without its common prefix."""


def validate(
    request: Request, vocabulary: Vocabulary, limits: Limits, *, random_seed: int
) -> Generation:
    """Return the generation that a request asks for.

    Args:
        request: The request.
        vocabulary: Of the model.
        limits: Of the server.
        random_seed: Seed where the request has none.

    Raises:
        ValidationError: The request asks for something that is not allowed.
    """
    parameters = request.parameters
    sampling = _sampling(parameters, random_seed)
    _check_counts(parameters, limits)
    prompt_ids = _prompt_ids(request, vocabulary, limits)
    max_new_tokens = _max_new_tokens(parameters, len(prompt_ids), limits)
    _check_unsupported(parameters)
    return Generation(
        prompt_ids=tuple(prompt_ids),
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        stop=parameters.stop,
        num_top_tokens=parameters.top_n_tokens or 0,
        beginning=parameters.beginning or "",
        wants_prompt_logprobs=parameters.decoder_input_details,
    )


def check_streamable(parameters: Parameters) -> None:
    """Refuse what TGI does not do in streams.

    Raises:
        ValidationError: The request asks for it.
    """
    if parameters.best_of not in {None, 1}:
        raise ValidationError("`best_of` != 1 is not supported when streaming tokens")
    if parameters.decoder_input_details:
        raise ValidationError(
            "`decoder_input_details` == true is not supported when streaming tokens"
        )


def num_sequences(parameters: Parameters, limits: Limits) -> int:
    """Return how many generations to choose the best of.

    Raises:
        ValidationError: They are more than allowed.
    """
    best_of = parameters.best_of or 1
    if best_of > limits.max_best_of:
        raise ValidationError(
            f"`best_of` must be > 0 and <= {limits.max_best_of}. Given: {best_of}"
        )
    return best_of


def _sampling(parameters: Parameters, random_seed: int) -> Sampling:
    wants_sampling = parameters.do_sample or any(
        value is not None
        for value in (
            parameters.temperature,
            parameters.top_k,
            parameters.top_p,
            parameters.typical_p,
        )
    )
    if (parameters.best_of or 1) > 1 and not wants_sampling:
        raise ValidationError("you must use sampling when `best_of` is > 1")
    _check_numbers(parameters)
    if (parameters.best_of or 1) > 1 and parameters.seed is not None:
        raise ValidationError("`seed` must not be set when `best_of` > 1")
    return Sampling(
        temperature=_or(parameters.temperature, 1.0),
        top_k=parameters.top_k or 0,
        top_p=_or(parameters.top_p, 1.0),
        typical_p=_or(parameters.typical_p, 1.0),
        repetition_penalty=_or(parameters.repetition_penalty, 1.0),
        frequency_penalty=_or(parameters.frequency_penalty, 0.0),
        do_sample=parameters.do_sample,
        seed=random_seed if parameters.seed is None else parameters.seed,
    )


def _check_numbers(parameters: Parameters) -> None:
    """Refuse values outside of their range."""
    if not 0 < _or(parameters.temperature, 1.0) < math.inf:
        raise ValidationError("`temperature` must be strictly positive")
    if not 0 < _or(parameters.repetition_penalty, 1.0) < math.inf:
        raise ValidationError("`repetition_penalty` must be strictly positive")
    if not -2.0 <= _or(parameters.frequency_penalty, 0.0) <= 2.0:
        raise ValidationError("`frequency_penalty` must be >= -2.0 and <= 2.0")
    if not 0 < _or(parameters.top_p, 0.5) < 1:
        raise ValidationError("`top_p` must be > 0.0 and < 1.0")
    if not 0 < _or(parameters.typical_p, 0.5) < 1:
        raise ValidationError("`typical_p` must be > 0.0 and < 1.0")
    if parameters.top_k is not None and parameters.top_k <= 0:
        raise ValidationError("`top_k` must be strictly positive")
    if parameters.max_new_tokens == 0:
        raise ValidationError("`max_new_tokens` must be strictly positive")


def _check_counts(parameters: Parameters, limits: Limits) -> None:
    most_stops, most_top = limits.max_stop_sequences, limits.max_top_n_tokens
    if len(parameters.stop) > most_stops:
        raise ValidationError(
            f"`stop` supports up to {most_stops} stop sequences. Given: {len(parameters.stop)}"
        )
    if (top := parameters.top_n_tokens or 0) > most_top:
        raise ValidationError(f"`top_n_tokens` must be >= 0 and <= {most_top}. Given: {top}")


def _check_unsupported(parameters: Parameters) -> None:
    if parameters.grammar is not None:
        raise ValidationError("grammar is not supported")
    if parameters.watermark:
        raise ValidationError("`watermark` is not supported")
    if parameters.adapter_id is not None:
        raise ValidationError("`adapter_id` is not supported")


def _prompt_ids(request: Request, vocabulary: Vocabulary, limits: Limits) -> list[int]:
    if not request.full_text:
        raise ValidationError("`inputs` cannot be empty")
    truncate = request.parameters.truncate
    if truncate is not None and not 0 < truncate <= limits.max_input_tokens:
        raise ValidationError(
            "`truncate` must be strictly positive and less than "
            f"{limits.max_input_tokens}. Given: {truncate}"
        )
    ids = encode(request, vocabulary)
    return ids if truncate is None else ids[-truncate:]


def encode(request: Request, vocabulary: Vocabulary) -> list[int]:
    """Return the token ids of the inputs.

    Raises:
        ValidationError: A segment names a special token that the model does not have.
    """
    if isinstance(request.inputs, str):
        return vocabulary.encode_rendered(request.inputs)
    for segment in request.inputs:
        if isinstance(segment, Special) and vocabulary.special_id(segment.text) is None:
            raise ValidationError(f"the model has no special token {segment.text!r}")
    return vocabulary.encode(request.inputs)


def _max_new_tokens(parameters: Parameters, input_tokens: int, limits: Limits) -> int:
    room = max(limits.max_total_tokens - input_tokens, 0)
    wanted = room if parameters.max_new_tokens is None else parameters.max_new_tokens
    checked = min(wanted, LONGEST_DEFAULT_TOKENS)
    if input_tokens + checked > limits.max_total_tokens:
        raise ValidationError(
            f"`inputs` tokens + `max_new_tokens` must be <= {limits.max_total_tokens}. "
            f"Given: {input_tokens} `inputs` tokens and {checked} `max_new_tokens`"
        )
    if input_tokens > limits.max_input_tokens:
        raise ValidationError(
            f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {input_tokens}"
        )
    return min(wanted, room)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
