"""The JSON of answers: keys, their order and their omission are TGI's.

Ours comes behind: `details` also say `cached_tokens`, `/info` also how to talk to our own models.

Source: text-generation-inference v3.3.7, router/src/lib.rs (`Info`, `GenerateResponse`,
`StreamResponse`, `ErrorResponse` and what they hold).
"""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fimble.manifest import Manifest
    from lsp_server.engines.embedded import GeneratedToken
    from lsp_server.engines.vocabulary import Piece, Vocabulary
    from lsp_server.serving.front import Answer, InferError
    from lsp_server.serving.limits import Limits

TGI_VERSION = "3.3.7"
"""Version of the API that we speak."""


def to_bytes(value: object) -> bytes:
    """Return JSON as TGI writes it: no blanks, UTF-8 as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def info_body(manifest: Manifest, limits: Limits) -> dict[str, object]:
    """Return what `/info` says."""
    return {
        "model_id": manifest.name,
        "model_sha": manifest.digest,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": limits.max_concurrent_requests,
        "max_best_of": limits.max_best_of,
        "max_stop_sequences": limits.max_stop_sequences,
        "max_input_tokens": limits.max_input_tokens,
        "max_total_tokens": limits.max_total_tokens,
        "validation_workers": 1,
        "max_client_batch_size": 1,
        "router": "fimble",
        "version": TGI_VERSION,
        "sha": None,
        "docker_label": None,
        "fimble_version": version("fimble"),
        "fim_format": manifest.fim_format,
        "context": list(manifest.context),
        "model_digest": manifest.digest,
        "takes_segments": True,
        "takes_beginning": True,
    }


def models_body(manifest: Manifest) -> dict[str, object]:
    """Return what `/v1/models` says."""
    model = {"id": manifest.name, "object": "model", "created": 0, "owned_by": manifest.name}
    return {"object": "list", "data": [model]}


def error_body(error: InferError) -> dict[str, object]:
    """Return an error, in an answer or in a stream."""
    return {"error": error.message, "error_type": error.kind}


def generate_body(
    answers: list[Answer], vocabulary: Vocabulary, *, prompt: str, has_details: bool
) -> dict[str, object]:
    """Return what `/generate` says.

    Args:
        answers: The answer, and those that `best_of` did not choose.
        vocabulary: Of the model.
        prompt: Text that goes in front of generated texts.
        has_details: Whether to tell how each text came about.
    """
    best, *others = answers
    body: dict[str, object] = {"generated_text": prompt + best.text}
    if not has_details:
        return body
    details = _details(best, vocabulary)
    if others:
        details["best_of_sequences"] = [
            {"generated_text": prompt + other.text, **_details(other, vocabulary)}
            for other in others
        ]
    body["details"] = {**details, "cached_tokens": best.cached_tokens}
    return body


def stream_body(
    answer: Answer,
    token: GeneratedToken,
    vocabulary: Vocabulary,
    *,
    prompt: str,
    has_details: bool,
    has_counts: bool,
) -> dict[str, object]:
    """Return one event of `/generate_stream`; see `generate_body`.

    With `has_counts`, which is not TGI's, the first event says how long the prompt was: who stops
    reading early never sees the details of the last.
    """
    body: dict[str, object] = {"index": len(answer.tokens), "token": _token(token)}
    if has_counts and len(answer.tokens) == 1:
        num_tokens = len(answer.generation.prompt_ids)
        body["prompt"] = {"input_length": num_tokens, "cached_tokens": answer.cached_tokens}
    if token.top:
        body["top_tokens"] = _top_tokens(token, vocabulary)
    body["generated_text"] = prompt + answer.text if token.finish else None
    body["details"] = None
    if token.finish and has_details:
        body["details"] = {
            "finish_reason": token.finish,
            "generated_tokens": len(answer.tokens),
            "seed": _seed(answer),
            "input_length": len(answer.generation.prompt_ids),
            "cached_tokens": answer.cached_tokens,
        }
    return body


def tokenize_body(pieces: Iterable[Piece], text: str) -> list[dict[str, object]]:
    """Return what `/tokenize` says; places are in bytes."""
    data = text.encode()
    return [
        {
            "id": piece.token_id,
            "text": data[piece.start_bytes : piece.stop_bytes].decode(errors="replace"),
            "start": piece.start_bytes,
            "stop": piece.stop_bytes,
        }
        for piece in pieces
    ]


def _details(answer: Answer, vocabulary: Vocabulary) -> dict[str, object]:
    details: dict[str, object] = {
        "finish_reason": answer.tokens[-1].finish,
        "generated_tokens": len(answer.tokens),
        "seed": _seed(answer),
        "prefill": _prefill(answer, vocabulary),
        "tokens": [_token(token) for token in answer.tokens],
    }
    if answer.generation.num_top_tokens:
        details["top_tokens"] = [_top_tokens(token, vocabulary) for token in answer.tokens]
    return details


def _prefill(answer: Answer, vocabulary: Vocabulary) -> list[dict[str, object]]:
    if not answer.generation.wants_prompt_logprobs:
        return []
    logprobs = [None, *answer.prompt_logprobs]  # nothing comes before the first token
    return [
        {"id": token_id, "text": vocabulary.token_text(token_id), "logprob": _number(logprob)}
        for token_id, logprob in zip(answer.generation.prompt_ids, logprobs, strict=False)
    ]


def _token(token: GeneratedToken) -> dict[str, object]:
    return {
        "id": token.token_id,
        "text": token.text,
        "logprob": _number(token.logprob),
        "special": token.is_special,
    }


def _top_tokens(token: GeneratedToken, vocabulary: Vocabulary) -> list[dict[str, object]]:
    return [
        {
            "id": candidate.token_id,
            "text": vocabulary.token_text(candidate.token_id),
            "logprob": _number(candidate.logprob),
            "special": candidate.token_id in vocabulary.specials,
        }
        for candidate in token.top
    ]


def _seed(answer: Answer) -> int | None:
    sampling = answer.generation.sampling
    return sampling.seed if sampling.draws else None


def _number(value: float | None) -> float | None:
    """Return a 32-bit number with as few digits as tell it from its neighbours."""
    if value is None or not math.isfinite(value):
        return None
    return float(str(np.float32(value)))
