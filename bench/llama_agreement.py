"""Compare a GGUF that llama.cpp serves with the Hugging Face folder of the same model.

Start any llama.cpp server on the GGUF, then:

    python bench/llama_agreement.py --hf DIR --server http://127.0.0.1:8080

It prints how many token ids of a probe text agree, and how many greedy tokens agree until the two
part; where they part, by how much transformers preferred its own token (difference of logits).
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from fimble.fim import FIMBLE, SPECIAL_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

END_ID = SPECIAL_TOKENS.index(FIMBLE.end)
PROMPTS = (
    ("def add(a, b):\n    return", "\n\nprint(add(1, 2))\n"),
    ("class Point {\n  constructor(x, y) {\n    this.x = ", ";\n  }\n}\n"),
    ("fn main() {\n    let total: u64 = values.iter()", ";\n}\n"),
    ("// größe 😀\r\nint size = ", ";\r\n"),
    ("import os\n\n\ndef read(path):\n", ""),
    ("", "\nreturn result\n"),
)


class Agreement(NamedTuple):
    """How far one greedy completion went the same way."""

    equal_tokens: int
    num_tokens: int
    """Asked for, or until the end token."""
    margin: float
    """Logit of transformers' token less that of the server's, where they part; 0 if they do not."""


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hf", type=Path, required=True, help="folder of `fimble export`")
    parser.add_argument("--server", required=True, help="address of a llama.cpp server")
    parser.add_argument("--probe", type=Path, nargs="+", required=True, help="files to tokenise")
    parser.add_argument("--tokens", type=int, default=32, help="greedy tokens for each prompt")
    arguments = parser.parse_args()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(arguments.hf)
    model = LlamaForCausalLM.from_pretrained(arguments.hf, dtype=torch.float32).eval()
    texts = [path.read_bytes().decode("utf-8") for path in arguments.probe]
    unequal = texts_encoded_otherwise(tokenizer, arguments.server, texts)
    for number in unequal:
        print(f"{arguments.probe[number]}: token ids differ")
    num_bytes = sum(len(text.encode()) for text in texts)
    print(f"tokens: {len(texts) - len(unequal)} of {len(texts)} files equal, {num_bytes} bytes")
    results = greedy_agreements(model, tokenizer, arguments.server, arguments.tokens)
    for result in results:
        print(f"{result.equal_tokens} of {result.num_tokens} equal, margin {result.margin:.4f}")
    equal = sum(result.equal_tokens for result in results)
    total = sum(result.num_tokens for result in results)
    print(f"greedy: {equal} of {total} tokens equal before the first difference")


def texts_encoded_otherwise(
    tokenizer: PreTrainedTokenizerFast, server: str, texts: Sequence[str]
) -> list[int]:
    """Return which texts the server gives other token ids, sentinels read as text."""
    unequal = []
    for number, text in enumerate(texts):
        ours = tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"]
        body = {"content": text, "parse_special": False, "add_special": False}
        if ours != _post(f"{server}/tokenize", body)["tokens"]:
            unequal.append(number)
    return unequal


def greedy_agreements(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, server: str, num_tokens: int
) -> list[Agreement]:
    """Return for each prompt how many greedy tokens agree."""
    prompts = [prompt_ids(tokenizer, *texts) for texts in PROMPTS]
    return [_agreement(model, ids, server, num_tokens) for ids in prompts]


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prefix: str, suffix: str) -> list[int]:
    """Return the ids of a prompt, suffix first."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, split_special_tokens=True)["input_ids"]

    marks = (FIMBLE.suffix, FIMBLE.prefix, FIMBLE.middle)
    before, between, behind = (SPECIAL_TOKENS.index(sentinel) for sentinel in marks)
    return [before, *ids(suffix), between, *ids(prefix), behind]


def _agreement(
    model: LlamaForCausalLM, prompt_ids: list[int], server: str, num_tokens: int
) -> Agreement:
    body = {
        "prompt": prompt_ids,
        "n_predict": num_tokens,
        "temperature": 0.0,
        "top_k": 1,
        "return_tokens": True,
        "ignore_eos": False,
    }
    theirs = _post(f"{server}/completion", body)["tokens"]
    if len(theirs) < num_tokens and END_ID not in theirs:
        theirs.append(END_ID)  # it ended, and does not say with which token
    ids = list(prompt_ids)
    for number, token in enumerate(theirs):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        best = int(logits.argmax())
        if best != token:
            return Agreement(number, num_tokens, float(logits[best] - logits[token]))
        ids.append(token)
    return Agreement(len(theirs), len(theirs), 0.0)


def _post(url: str, body: Mapping[str, object]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the address is the user's own
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as reply:  # noqa: S310 - see above
        return json.load(reply)


if __name__ == "__main__":
    main()
