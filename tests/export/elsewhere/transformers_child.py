"""Read a folder with whatever transformers this process has; the request comes from stdin.

It runs in an environment of its own, so it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the ids of texts, and what the model writes greedily after prompts of ids."""
    tokenizer = AutoTokenizer.from_pretrained(request["folder"])
    found: dict[str, Any] = {
        "version": transformers.__version__,
        "ids": [
            tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"]
            for text in request["texts"]
        ],
        "written": [],
    }
    if request["prompts"]:
        model = AutoModelForCausalLM.from_pretrained(request["folder"], dtype=torch.float32).eval()
        for ids in request["prompts"]:
            written = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)
            found["written"].append(written[0, len(ids) :].tolist())
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
