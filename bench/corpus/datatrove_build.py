"""The peer: datatrove's readers, executor, deduplication and writers around our rules.

    python -m bench.corpus.datatrove_build INPUT OUT [--jobs N] [--words ours|spacy]

Runs in an environment with datatrove (`make bench-corpus` makes it). Everything is set to what
costs datatrove least: texts are written once after the rules and read twice more, signatures of
exact duplicates are taken while writing, files are read in large blocks, its text normaliser is off
with `--words ours`. Prints the number of files after each step as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from training.corpus.minhash import BANDS, NGRAM_WORDS, ROWS

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep
    from datatrove.pipeline.dedup.minhash import MinhashConfig

BLOCK_LINES = 1000


class Build:
    """The steps from shards to kept files."""

    def __init__(self, shards: Path, out: Path, *, jobs: int, words: str) -> None:
        self.shards, self.out, self.jobs, self.words = shards, out, jobs, words
        self.num_shards = len(list(shards.glob("*.parquet")))

    def run(self) -> dict[str, int]:
        """Run all steps; return the number of files after each."""
        self.filter()
        self.find_exact()
        self.sign()
        self.find_near()
        self.write()
        num_copies = sum(
            path.stat().st_size // 4 for path in (self.out / "exact-found").rglob("*.c4_dup")
        )
        num_filtered = _num_rows(self.out / "filtered")
        return {
            "read": _num_rows(self.shards),
            "after_rules": num_filtered,
            "after_exact": num_filtered - num_copies,
            "kept": _num_rows(self.out / "files"),
        }

    def execute(self, name: str, steps: list[PipelineStep], num_tasks: int) -> None:
        """Run some steps on all shards."""
        from datatrove.executor import LocalPipelineExecutor

        LocalPipelineExecutor(
            steps,
            tasks=num_tasks,
            workers=min(self.jobs, num_tasks),
            logging_dir=str(self.out / "logs" / name),
        ).run()

    def filter(self) -> None:
        """Apply the rules; write what passes, and signatures of equal texts."""
        from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig, ExactDedupSignature

        from bench.corpus import datatrove_steps as ours

        steps = [
            _reader(self.shards),
            ours.LicenceFilter(),
            ours.LinesFilter(),
            ours.OriginFilter(),
            ours.SyntaxFilter(),
            _writer(self.out / "filtered"),
            ExactDedupSignature(
                str(self.out / "exact"), ExactDedupConfig(content_getter=ours.text_of)
            ),
        ]
        self.execute("filter", steps, self.num_shards)
        num_written = len(list((self.out / "filtered").glob("*.parquet")))
        # A file belongs to the task of the same number in all steps.
        assert num_written == self.num_shards, "every shard has files that pass"

    def find_exact(self) -> None:
        """Find equal texts."""
        from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig, ExactFindDedups

        from bench.corpus.datatrove_steps import text_of

        step = ExactFindDedups(
            str(self.out / "exact"),
            str(self.out / "exact-found"),
            ExactDedupConfig(content_getter=text_of),
            lines_to_buffer=BLOCK_LINES,
        )
        self.execute("exact", [step], 1)

    def without_copies(self) -> list[PipelineStep]:
        """Return the steps that read each text once."""
        from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig, ExactDedupFilter

        from bench.corpus.datatrove_steps import text_of

        found = str(self.out / "exact-found")
        config = ExactDedupConfig(content_getter=text_of)
        return [_reader(self.out / "filtered"), ExactDedupFilter(found, config)]

    def config(self) -> MinhashConfig:
        """Return the parameters that our near duplicates have."""
        from datatrove.pipeline.dedup.minhash import MinhashConfig
        from datatrove.utils.text import TextNormConfig

        norm = TextNormConfig()
        if self.words == "ours":
            norm = TextNormConfig(
                lowercase=False,
                norm_whitespace=False,
                remove_punctuation=False,
                norm_unicode_diacritics=False,
                norm_numbers=False,
            )
        return MinhashConfig(
            n_grams=NGRAM_WORDS, num_buckets=BANDS, hashes_per_bucket=ROWS, norm_config=norm
        )

    def sign(self) -> None:
        """Write MinHash signatures."""
        from datatrove.pipeline.dedup.minhash import MinhashDedupSignature
        from datatrove.utils.word_tokenizers import SpaCyTokenizer

        from bench.corpus.datatrove_steps import HeaderCutter, OurWords

        step = MinhashDedupSignature(str(self.out / "signatures"), self.config())
        # "xx" is the cheapest of its tokenizers; the default, "en", knows English on top of it.
        step.word_tokenizer = OurWords() if self.words == "ours" else SpaCyTokenizer("xx")
        self.execute("sign", [*self.without_copies(), HeaderCutter(), step], self.num_shards)

    def find_near(self) -> None:
        """Find files that share a band, and join them to clusters."""
        from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets, MinhashDedupCluster

        pairs, removed = str(self.out / "pairs"), str(self.out / "removed")
        buckets = MinhashDedupBuckets(
            str(self.out / "signatures"), pairs, config=self.config(), lines_to_buffer=BLOCK_LINES
        )
        self.execute("buckets", [buckets], BANDS)
        cluster = MinhashDedupCluster(
            pairs, removed, config=self.config(), lines_to_buffer=BLOCK_LINES
        )
        self.execute("cluster", [cluster], 1)

    def write(self) -> None:
        """Write one file of each cluster."""
        from datatrove.pipeline.dedup.minhash import MinhashDedupFilter

        removed = MinhashDedupFilter(str(self.out / "removed"), lines_to_buffer=BLOCK_LINES)
        steps = [*self.without_copies(), removed, _writer(self.out / "files")]
        self.execute("write", steps, self.num_shards)


def _reader(folder: Path) -> PipelineStep:
    from datatrove.pipeline.readers import ParquetReader

    return ParquetReader(str(folder), glob_pattern="*.parquet")


def _writer(folder: Path) -> PipelineStep:
    from datatrove.pipeline.writers import ParquetWriter

    return ParquetWriter(
        str(folder),
        compression="zstd",
        expand_metadata=True,
        use_content_defined_chunking=False,
        write_page_index=False,
    )


def _num_rows(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def main() -> None:
    """Run the build that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--words", choices=("ours", "spacy"), default="ours")
    arguments = parser.parse_args()
    build = Build(arguments.input, arguments.out, jobs=arguments.jobs, words=arguments.words)
    print(json.dumps(build.run()))


if __name__ == "__main__":
    main()
