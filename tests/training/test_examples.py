"""Documents become examples and rows without loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.context import SNIPPET_BYTES, WindowBudget, window
from fimble.fim import FIMBLE, SPECIAL_TOKENS, Mark
from fimble.manifest import TOKENIZER_NAME
from fimble.paths import SHIPPED_MODEL, model_dir
from training.examples import build
from training.examples.build import (
    END_ID,
    MARK_IDS,
    document_rng,
    examples,
    load_tokenizer,
)
from training.examples.chunks import chunks
from training.examples.documents import Document
from training.examples.pack import pack
from training.examples.spans import SpanKind, draw_span, line_span, node_span
from training.recipe import ExampleConfig, SpanMix

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CODE = 'def greet(name: str) -> str:\n    """Say hello 👋."""\n    return f"hi {name}"\n\n\n'
SOURCES = st.lists(
    st.sampled_from([CODE, "x = 1\n", "\n", "é😀\n", "<|endoftext|>\n", "a" * 90, "\t{\n"]),
    min_size=1,
    max_size=40,
).map("".join)
NO_HEADER = ExampleConfig(
    header_rate=0.0, empty_suffix_rate=0.0, empty_prefix_rate=0.0, chunk_bytes=(700, 200)
)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_path: Path) -> Tokenizer:
    return load_tokenizer(tokenizer_path)


def reassembled(ids: list[int], tokenizer: Tokenizer, path: str = "") -> str:
    """Undo header and FIM transform of one example, from its token ids alone."""
    assert ids[-1] == END_ID
    sections: dict[int, list[int]] = {-1: []}
    current = -1
    for token in ids[:-1]:
        if token in MARK_IDS.values():
            current = token
            sections[current] = []
        else:
            sections[current].append(token)
    texts = {
        mark: tokenizer.decode(tokens, skip_special_tokens=False)
        for mark, tokens in sections.items()
    }
    file = MARK_IDS[Mark.FILE]
    if file in texts:
        assert texts[file].startswith(f"{path}\n")
        texts[file] = texts[file].removeprefix(f"{path}\n")
    order = (-1, file, MARK_IDS[Mark.PREFIX], MARK_IDS[Mark.MIDDLE], MARK_IDS[Mark.SUFFIX])
    return "".join(texts.get(mark, "") for mark in order)


@settings(max_examples=60, deadline=None)
@given(text=SOURCES, epoch=st.integers(0, 5))
def test_examples_reassemble_to_the_document(tokenizer: Tokenizer, text: str, epoch: int) -> None:
    document = Document(7, "project", "a.py", "python", text)
    drawn = examples(
        document,
        config=NO_HEADER,
        tokenizer=tokenizer,
        context_tokens=4096,
        rng=document_rng(1, epoch, 7),
    )
    parts = [reassembled([int(token) for token in example.ids], tokenizer) for example in drawn]
    assert "".join(parts) == text


@settings(max_examples=100, deadline=None)
@given(text=SOURCES, sizes=st.lists(st.integers(64, 900), min_size=1, max_size=3))
def test_chunks_are_the_document_in_order_and_within_their_size(
    text: str, sizes: list[int]
) -> None:
    parts = list(chunks(text, sizes, document_rng(0, 0, 0)))
    assert "".join(parts) == text
    assert all(0 < len(part.encode()) <= max(sizes) for part in parts)


def test_chunks_are_cut_before_a_definition() -> None:
    assert list(chunks(CODE * 3, (2 * len(CODE.encode()),), document_rng(0, 0, 0))) == [
        CODE * 2,
        CODE,
    ]


@given(text=SOURCES, seed=st.integers(0, 99))
def test_spans_lie_within_the_text(text: str, seed: int) -> None:
    rng = document_rng(seed, 0, 0)
    kind, span = draw_span(text, language="python", mix=SpanMix(), rng=rng)
    assert 0 <= span.start <= span.end <= len(text)
    if kind is SpanKind.LINE:
        assert text[span.end : span.end + 1] in {"\n", ""}


def test_node_spans_are_whole_nodes_in_characters_even_behind_an_emoji() -> None:
    text = 'name = "😀"\ntotal = first + second\n'
    nodes = {'"😀"', "😀", "name", "total", "first", "second", "first + second"}
    nodes |= {'"', 'name = "😀"', "total = first + second", text}
    found = set()
    for seed in range(200):
        span = node_span(text, language="python", rng=document_rng(seed, 0, 0))
        assert span is not None
        found.add(text[span.start : span.end])
    assert found <= nodes
    assert {"total", "first + second", "total = first + second"} <= found


def test_line_spans_start_everywhere_a_cursor_stands() -> None:
    text = "if ready:\n    start(now)\n    stop()\n"
    spans = [line_span(text, document_rng(seed, 0, 0)) for seed in range(300)]
    starts = {span.start for span in spans}
    assert 9 in starts  # the end of a line: the middle begins with the line end
    assert 14 in starts  # the first character that is not blank
    assert 17 in starts  # within a word
    assert all("\n" in text[s.start : s.end] for s in spans if s.start == 9)


def test_a_sentinel_in_the_source_stays_text(tokenizer: Tokenizer) -> None:
    text = "".join(f"print({sentinel!r})\n" for sentinel in FIMBLE.sentinels())
    drawn = examples(
        Document(0, "p", "a.py", "python", text),
        config=ExampleConfig(fim_rate=0.0, header_rate=0.0),
        tokenizer=tokenizer,
        context_tokens=2048,
        rng=document_rng(0, 0, 0),
    )
    (example,) = drawn
    assert [int(t) for t in example.ids if t < len(SPECIAL_TOKENS)] == [END_ID]


@settings(max_examples=60, deadline=None)
@given(
    text=SOURCES,
    context_tokens=st.integers(64, 200),
    path=st.sampled_from(["a.py", "ä/😀.py", "long/" * 300]),
    seed=st.integers(0, 99),
)
def test_what_is_too_dense_for_a_row_is_cut_in_two_and_nothing_is_lost(
    tokenizer: Tokenizer, text: str, context_tokens: int, path: str, seed: int
) -> None:
    config = ExampleConfig(
        header_rate=0.5, empty_suffix_rate=0.0, empty_prefix_rate=0.0, chunk_bytes=(4000, 900)
    )
    drawn = examples(
        Document(0, "project", path, "python", text),
        config=config,
        tokenizer=tokenizer,
        context_tokens=context_tokens,
        rng=document_rng(seed, 0, 0),
    )
    found = []
    for example in drawn:
        ids = [int(token) for token in example.ids]
        assert len(ids) <= context_tokens
        assert ids.count(END_ID) == 1
        assert ids[-1] == END_ID
        found.append(reassembled(ids, tokenizer, path))
    assert "".join(found) == text


def test_examples_can_be_cut_to_the_window_that_the_server_sends(tokenizer: Tokenizer) -> None:
    text = "".join(f"value_{n} = '👋 {n}'\n" for n in range(220))
    config = ExampleConfig(
        fim_rate=1.0, header_rate=0.0, spm_share=1.0, window_rate=1.0, chunk_bytes=(6000,)
    )
    budget, num_cut = WindowBudget(), 0
    for epoch in range(20):
        for example in examples(
            Document(0, "p", "a.py", "python", text),
            config=config,
            tokenizer=tokenizer,
            context_tokens=8192,
            rng=document_rng(0, epoch, 0),
        ):
            ids = [int(token) for token in example.ids[:-1]]
            places = [ids.index(MARK_IDS[m]) for m in (Mark.SUFFIX, Mark.PREFIX, Mark.MIDDLE)]
            sections = zip([p + 1 for p in places], [*places[1:], len(ids)], strict=True)
            suffix, prefix, middle = (tokenizer.decode(ids[a:b]) for a, b in sections)
            assert prefix + middle + suffix in text
            assert len(prefix.encode()) <= budget.prefix_bytes
            assert len(suffix.encode()) <= budget.suffix_bytes
            num_cut += len((prefix + middle + suffix).encode()) < 4000
    assert num_cut > 5


def test_draws_depend_on_seed_epoch_and_document_alone() -> None:
    first = [document_rng(1, 2, doc).integers(0, 1 << 60) for doc in (3, 4)]
    again = [document_rng(1, 2, doc).integers(0, 1 << 60) for doc in (4, 3)][::-1]
    assert first == again
    assert (
        len({int(document_rng(*key).integers(0, 1 << 60)) for key in ((1, 2, 3), (1, 3, 2))}) == 2
    )


@given(st.lists(st.integers(1, 100), max_size=200))
def test_packing_keeps_every_example_whole_and_once(lengths: list[int]) -> None:
    packing = pack(np.array(lengths, dtype=np.int64), 100)
    assert sorted(index for row in packing.rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 100 for row in packing.rows)
    assert packing.num_padding_tokens == 100 * len(packing.rows) - sum(lengths)


def test_packing_takes_the_row_that_fits_best() -> None:
    assert pack(np.array([60, 70, 30, 40]), 100).rows == [[1, 2], [0, 3]]


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="101 tokens; a row has 100"):
        pack(np.array([101]), 100)


def test_the_serving_window_fits_the_context_of_training(tokenizer: Tokenizer) -> None:
    text = CODE * 400
    around = window(text, text, WindowBudget())
    num_tokens = sum(len(tokenizer.encode(part).ids) for part in around)
    assert num_tokens < 2048


def test_window_and_code_of_other_files_fit_the_context_in_the_shipped_vocabulary() -> None:
    tokenizer = load_tokenizer(model_dir(SHIPPED_MODEL) / TOKENIZER_NAME)
    text = Path(build.__file__).read_text(encoding="utf-8")
    assert len(text) > WindowBudget().prefix_bytes
    around = window(text, text, WindowBudget())
    parts = (*around, text[-SNIPPET_BYTES:])
    num_tokens = sum(len(tokenizer.encode(part).ids) for part in parts)
    assert num_tokens + 64 < 2048
