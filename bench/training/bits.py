"""How many bits a byte of held-out text costs models of one vocabulary: the same text for each.

What a run measures at its end (`scores.json`) is drawn from its own corpus; models of two corpora
are compared here.

    python -m bench.training.bits build/corpus-release models/fimble-60m build/next/model
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from fimble.manifest import TOKENIZER_NAME
from training.examples.documents import write_documents
from training.recipe import ValidationConfig
from training.tuning.parent import find_parent
from training.tuning.recipe import Method, ModelConfig
from training.validation import measure, validation_rows

_PREFIX = "bits_per_byte/"


def bits_per_byte(corpus: Path, model: Path, *, num_bytes: int) -> dict[str, float]:
    """Return the bits per byte of each language, and their mean as `mean`.

    Args:
        corpus: Output folder of `fimble corpus build`; its held-out files are read.
        model: Model folder of ours, or a Hugging Face folder.
        num_bytes: Text of each language.
    """
    config = ValidationConfig(bytes_per_language=num_bytes, cases_per_language=0)
    with TemporaryDirectory() as folder:
        parent = find_parent(ModelConfig(path=model), Path(folder) / "model")
        learner = parent.load(Method.FULL)
        documents = Path(folder) / "validation.arrow"
        write_documents(corpus, "validation", documents)
        rows = validation_rows(
            documents,
            parent.folder / TOKENIZER_NAME,
            config,
            context_tokens=parent.config.max_tokens,
        )
        scores = measure(learner, rows, vocab_newline_ids=set())
    return {
        name.removeprefix(_PREFIX): score
        for name, score in scores.items()
        if name.startswith(_PREFIX)
    }


def main() -> None:
    """Print a row a language, a column a model, and what the last costs beside the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--kilobytes", type=int, default=40, help="text of each language")
    arguments = parser.parse_args()
    found = [
        bits_per_byte(arguments.corpus, model, num_bytes=arguments.kilobytes * 1000)
        for model in arguments.models
    ]
    names = " | ".join(str(model) for model in arguments.models)
    print(f"| bits per byte | {names} | last to first |")
    print("|---|" + "---:|" * (len(found) + 1))
    for language in sorted(found[0], key=lambda each: (each == "mean", each)):
        values = [scores[language] for scores in found]
        cells = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {language} | {cells} | {values[-1] / values[0] - 1:+.1%} |")


if __name__ == "__main__":
    main()
