"""Answers that begin with the word that the cursor stands in."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from fimble.engine import FinishReason, Query
from fimble.fim import FIMBLE
from lsp_server.engines.beginning import Beginning, Spelling
from lsp_server.engines.embedded import EmbeddedEngine
from lsp_server.engines.sampling import Sampling
from lsp_server.engines.tgi import TgiEngine
from tests.engine.test_engine_embedded import generate, prompt

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.serve_process import ServeProcess

SOURCE = "def add(first, second):\n    # naïve 🙂\n    return first + second\n\n\n" * 3


def test_what_the_model_says_anyway_is_said_again_behind_each_beginning(
    engine: EmbeddedEngine,
) -> None:
    num_compared = 0
    for end in range(20, 100, 4):
        ids = prompt(engine, prefix=SOURCE[:end])
        plain = generate(engine, ids)
        # A random model writes halves of characters, which no beginning has.
        whole = list(itertools.takewhile(lambda token: token.text.isascii(), plain.tokens))
        for count in range(1, len(whole)):
            start = "".join(token.text for token in whole[:count])
            again = generate(engine, ids, beginning=start)
            assert start + again.text == plain.text
            assert again.tokens[-1].finish == plain.tokens[-1].finish
            num_compared += bool(start)
    assert num_compared > 9


@pytest.mark.parametrize("start", ["r", " ret", "return", "ünïcode", "🙂", "x" * 9, " \t"])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(do_sample=True, seed=5)], ids=str)
def test_any_beginning_is_spelled_and_only_what_is_behind_it_comes(
    engine: EmbeddedEngine, start: str, sampling: Sampling
) -> None:
    ids = prompt(engine, prefix=SOURCE)
    result = generate(engine, ids, beginning=start, sampling=sampling, max_new_tokens=24)
    [sequence] = engine._pool._idle
    written = [*sequence.ids[len(ids) :], result.ids[-1]]
    spelled = b"".join(engine.vocabulary.token_bytes(token_id) for token_id in written)
    assert spelled.startswith(start.encode())
    behind = spelled[len(start.encode()) :].decode(errors="ignore")
    assert result.text.startswith(behind[:-3])
    assert all(token.logprob <= 0 for token in result.tokens)


def test_a_beginning_longer_than_the_answer_leaves_an_empty_answer(engine: EmbeddedEngine) -> None:
    result = generate(engine, prompt(engine, prefix="x"), beginning="ab" * 40, max_new_tokens=5)
    assert [(token.text, token.finish) for token in result.tokens] == [("", FinishReason.LENGTH)]


def test_tokens_that_spell_a_text_are_found_as_a_search_of_all_finds_them(
    engine: EmbeddedEngine,
) -> None:
    vocabulary = engine.vocabulary
    spelling = Spelling(vocabulary)
    tokens = [vocabulary.token_bytes(number) for number in range(vocabulary.size)]
    for text in (b"r", b" re", b"return", b"\xc3", b"\xf0\x9f\x99\x82", b"zzzzzz", b"\n"):
        fits = {n for n, t in enumerate(tokens) if t and (t.startswith(text) or text.startswith(t))}
        assert set(spelling.that_spell(text)) == fits
        assert len(spelling.that_spell(text)) == len(fits)
        assert fits
    left = Beginning("re", spelling)
    assert (left.behind(b"r"), left.is_spelled) == (b"", False)
    assert (left.behind(b"eturn"), left.is_spelled) == (b"turn", True)
    assert left.behind(b" x") == b" x"


async def test_the_server_says_that_it_takes_beginnings_and_takes_them(
    server: ServeProcess, model_folder: Path
) -> None:
    engine = EmbeddedEngine(model_folder, num_threads=1)
    ids = engine.vocabulary.encode([SOURCE])
    client = TgiEngine(server.url, token=server.token, fim_format=FIMBLE)
    try:
        assert (await client.info()).takes_beginning
        for beginning in ("", " ret", "na\N{LATIN SMALL LETTER I WITH DIAERESIS}"):
            query = Query(parts=(SOURCE,), beginning=beginning, max_new_tokens=9)
            items = [item async for item in client.stream(query)]
            expected = generate(engine, ids, beginning=beginning, max_new_tokens=9)
            assert [each.text for each in items[:-1]] == [each.text for each in expected.tokens]
    finally:
        await client.close()
