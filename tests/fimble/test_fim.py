"""The prompt: exact layouts, and text that can never become a sentinel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.errors import SentinelInTextError
from fimble.fim import (
    FIMBLE,
    FORMATS,
    SPECIAL_TOKENS,
    FimFormat,
    FimOrder,
    Mark,
    Snippet,
    document_header,
    infill_prompt,
)

SPELLED = st.sampled_from([s for fmt in FORMATS.values() for s in fmt.sentinels()])
TEXTS = st.lists(st.text(max_size=10) | SPELLED, max_size=4).map("".join)
SNIPPETS = st.lists(st.builds(Snippet, path=TEXTS, text=TEXTS), max_size=3)
NAMED_FORMATS = st.sampled_from(list(FORMATS.values()))


def test_the_layouts_are_those_of_llama_cpp() -> None:
    """Expected strings: llama.cpp, tools/server, `format_prompt_infill`."""
    parts = {
        order: infill_prompt(
            prefix="def f(",
            suffix="):\n",
            order=order,
            path="src/a.py",
            repository="shop",
            snippets=[Snippet(path="b.py", text="x = 1\n"), Snippet(path="c.py", text="y\n")],
        )
        for order in FimOrder
    }
    context = (
        "<|repo_name|>shop\n<|file_sep|>b.py\nx = 1\n<|file_sep|>c.py\ny\n<|file_sep|>src/a.py\n"
    )
    assert FIMBLE.render(parts[FimOrder.PSM]) == (
        f"{context}<|fim_prefix|>def f(<|fim_suffix|>):\n<|fim_middle|>"
    )
    assert FIMBLE.render(parts[FimOrder.SPM]) == (
        f"{context}<|fim_suffix|>):\n<|fim_prefix|>def f(<|fim_middle|>"
    )


def test_codellama_keeps_its_blanks() -> None:
    """Expected string: Code Llama's own README, section on infilling."""
    parts = infill_prompt(prefix="a", suffix="b", order=FimOrder.PSM)
    assert FORMATS["codellama"].render(parts) == "<PRE> a <SUF>b <MID>"


def test_an_empty_file_is_a_prompt_of_marks() -> None:
    parts = infill_prompt(prefix="", suffix="", order=FimOrder.SPM)
    assert parts == (Mark.SUFFIX, "", Mark.PREFIX, "", Mark.MIDDLE)


@given(prefix=TEXTS, suffix=TEXTS, order=st.sampled_from(FimOrder), path=TEXTS, snippets=SNIPPETS)
def test_parts_hold_the_source_as_it_is(
    prefix: str, suffix: str, order: FimOrder, path: str, snippets: list[Snippet]
) -> None:
    parts = infill_prompt(prefix=prefix, suffix=suffix, order=order, path=path, snippets=snippets)
    assert parts[parts.index(Mark.PREFIX) + 1] == prefix
    assert parts[parts.index(Mark.SUFFIX) + 1] == suffix
    assert parts[-1] is Mark.MIDDLE
    header = document_header(path=path, snippets=snippets)
    assert parts[: len(header)] == header
    assert [mark for mark in parts if isinstance(mark, Mark)].count(Mark.FILE) == (
        len(snippets) + bool(path)
    )


@given(prefix=TEXTS, suffix=TEXTS, order=st.sampled_from(FimOrder), fmt=NAMED_FORMATS)
def test_a_rendered_prompt_holds_each_sentinel_once_or_is_refused(
    prefix: str, suffix: str, order: FimOrder, fmt: FimFormat
) -> None:
    parts = infill_prompt(prefix=prefix, suffix=suffix, order=order)
    spelled = fmt.sentinel_in(prefix) or fmt.sentinel_in(suffix)
    if spelled:
        with pytest.raises(SentinelInTextError, match=fmt.name):
            fmt.render(parts)
        return
    prompt = fmt.render(parts)
    assert {s: prompt.count(s) for s in fmt.sentinels() if s in prompt} == {
        sentinel: 1
        for mark in (Mark.PREFIX, Mark.SUFFIX, Mark.MIDDLE)
        if (sentinel := fmt.sentinel(mark).strip())
    }


@given(left=TEXTS, right=TEXTS)
def test_typing_only_appends_to_the_prompt_in_front_of_the_middle(left: str, right: str) -> None:
    before = infill_prompt(prefix=left, suffix=right, order=FimOrder.SPM)
    after = infill_prompt(prefix=f"{left}x", suffix=right, order=FimOrder.SPM)
    assert after[:-2] == before[:-2]
    assert after[-2] == f"{before[-2]}x"


def test_a_sentinel_that_appears_only_where_two_parts_meet_is_refused() -> None:
    parts = document_header(path="a<|fim_mid", repository="r")
    assert FIMBLE.render(parts) == "<|repo_name|>r\n<|file_sep|>a<|fim_mid\n"
    with pytest.raises(SentinelInTextError, match="fim_middle"):
        FIMBLE.render([Mark.PREFIX, "<|fim_", "middle|>"])


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS.keys())
def test_a_family_has_a_name_and_distinct_sentinels(fmt: FimFormat) -> None:
    assert FORMATS[fmt.name] is fmt
    assert all([fmt.prefix, fmt.suffix, fmt.end, fmt.orders])
    assert len(set(fmt.ends)) == len(fmt.ends)


SERVED = {
    "fimble": "<|repo_name|>shop\n<|file_sep|>b.py\ny\n<|file_sep|>a.py\n"
    "<|fim_suffix|>):\n<|fim_prefix|>def f(<|fim_middle|>",
    "qwen": "<|repo_name|>shop\n<|file_sep|>b.py\ny\n<|file_sep|>a.py\n"
    "<|fim_prefix|>def f(<|fim_suffix|>):\n<|fim_middle|>",
    "starcoder": "<fim_prefix>def f(<fim_suffix>):\n<fim_middle>",
    "starcoder2": "<repo_name>shop\n<file_sep>b.py\ny\n<file_sep>"
    "<fim_prefix>a.py\ndef f(<fim_suffix>):\n<fim_middle>",
    "santacoder": "<fim-prefix>def f(<fim-suffix>):\n<fim-middle>",
    "deepseek": "<｜fim▁begin｜>def f(<｜fim▁hole｜>):\n<｜fim▁end｜>",
    "codellama": "<PRE> def f( <SUF>):\n <MID>",
    "codestral": "[SUFFIX]):\n[PREFIX]def f(",
    "codegemma": "<|fim_prefix|>def f(<|fim_suffix|>):\n<|fim_middle|>",
    "granite": "<|fim_prefix|>def f(<|fim_suffix|>):\n<|fim_middle|>",
    "mellum": "<filename>b.py\ny\n<filename>a.py\n<fim_suffix>):\n<fim_prefix>def f(<fim_middle>",
}
"""What each family is served, from the layouts that their publishers print: see `FORMATS`."""


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS.keys())
def test_each_family_is_asked_in_its_publishers_layout(fmt: FimFormat) -> None:
    snippet = Snippet(path="b.py", text="y\n")
    parts = fmt.prompt(
        prefix="def f(", suffix="):\n", path="a.py", repository="shop", snippets=[snippet]
    )
    assert fmt.render(parts) == SERVED[fmt.name]
    bare = fmt.render(fmt.prompt(prefix="", suffix=""))
    assert not fmt.file or fmt.file not in bare


def test_the_ids_of_our_special_tokens_never_move() -> None:
    assert len(SPECIAL_TOKENS) == len(set(SPECIAL_TOKENS)) == 64
    assert SPECIAL_TOKENS[:9] == (
        "<|endoftext|>",
        "<|fim_prefix|>",
        "<|fim_middle|>",
        "<|fim_suffix|>",
        "<|fim_pad|>",
        "<|repo_name|>",
        "<|file_sep|>",
        "<|im_start|>",
        "<|im_end|>",
    )
    assert all(FIMBLE.sentinel(mark) in SPECIAL_TOKENS for mark in Mark)
