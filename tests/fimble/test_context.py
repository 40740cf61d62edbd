"""The window of a prompt: within its budget, whole, and stable while the user types."""

import argparse
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fimble.context import Window, WindowBudget, window
from fimble.errors import ConfigError

CHARS = st.characters(codec="utf-8") | st.sampled_from("\n\n\n🙂é \ud83d")
TEXTS = st.text(CHARS, max_size=400) | st.lists(
    st.sampled_from(["x = 1\n", "    y\n", "\n", "é" * 90, "🙂" * 30, "a" * 200]), max_size=60
).map("".join)
BUDGETS = st.builds(
    WindowBudget,
    prefix_bytes=st.integers(64, 300),
    suffix_bytes=st.integers(0, 200),
    step_lines=st.integers(1, 100),
)


def num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@given(prefix=TEXTS, suffix=TEXTS, budget=BUDGETS)
def test_a_window_is_the_text_around_the_cursor_within_the_budget(
    prefix: str, suffix: str, budget: WindowBudget
) -> None:
    found = window(prefix, suffix, budget)
    assert prefix.endswith(found.prefix)
    assert suffix.startswith(found.suffix)
    assert num_bytes(found.prefix) <= budget.prefix_bytes
    assert num_bytes(found.suffix) <= budget.suffix_bytes


@given(prefix=TEXTS, suffix=TEXTS, budget=BUDGETS)
def test_a_window_uses_at_least_half_of_its_prefix_budget(
    prefix: str, suffix: str, budget: WindowBudget
) -> None:
    found = window(prefix, suffix, budget).prefix
    assert found == prefix or (num_bytes(found) + 4) * 2 >= budget.prefix_bytes


@given(prefix=TEXTS, suffix=TEXTS)
def test_text_within_the_budget_is_taken_whole(prefix: str, suffix: str) -> None:
    budget = WindowBudget(prefix_bytes=20_000, suffix_bytes=20_000)
    assert window(prefix, suffix, budget) == Window(prefix, suffix)


def test_typing_a_file_moves_the_start_of_the_window_at_one_key_in_a_thousand() -> None:
    text = Path(argparse.__file__).read_text(encoding="utf-8")[:20_000]
    starts = [n - len(window(text[:n], "", WindowBudget()).prefix) for n in range(len(text))]
    assert starts == sorted(starts)
    moves = sum(before != after for before, after in pairwise(starts))
    assert moves <= 20


def test_typing_one_endless_line_moves_the_start_seldom() -> None:
    budget = WindowBudget(prefix_bytes=300)
    line = "if (é) { f(🙂); } " * 300
    starts = [n - len(window(line[:n], "", budget).prefix) for n in range(len(line))]
    assert starts == sorted(starts)
    assert len(set(starts)) <= len(line) / 50


def test_the_start_is_the_coarsest_line_that_leaves_half_of_the_budget() -> None:
    text = "".join(f"line{n:04}\n" for n in range(1000))  # nine bytes a line
    found = window(text, "", WindowBudget(prefix_bytes=900, step_lines=64)).prefix
    assert found.partition("\n")[0] == "line0928"  # 960 would leave 360 bytes; 32 divides 928


def test_the_suffix_ends_with_a_whole_line_where_one_fits() -> None:
    budget = WindowBudget(suffix_bytes=10)
    assert window("", "abc\ndefg\nhij", budget).suffix == "abc\ndefg\n"
    assert window("", "abcdefghijklm\n", budget).suffix == "abcdefghij"
    assert window("", "ééééé🙂", budget).suffix == "ééééé"
    assert window("", "xéééé🙂", budget).suffix == "xéééé"
    assert window("", "abc", WindowBudget(suffix_bytes=0)).suffix == ""


def test_a_short_line_below_an_overlong_one_keeps_what_fits_of_that() -> None:
    found = window("a" * 5000 + "\nx = ", "", WindowBudget(prefix_bytes=1000)).prefix
    assert found.endswith("aaa\nx = ")
    assert 500 <= len(found) <= 1000


def test_a_huge_document_is_cut_within_the_time_limit_of_a_test() -> None:
    prefix, suffix = "x = foo(bar)  # 🙂\n" * 1_100_000, "y\n" * 10_000_000
    for _ in range(50):
        found = window(prefix, suffix, WindowBudget())
    assert found.prefix.startswith("x = foo(bar)")
    assert len(found.suffix) == 1024
    assert window("a" * 20_000_000, "b" * 20_000_000, WindowBudget()).suffix == "b" * 1024


@pytest.mark.parametrize(
    "wrong", [{"prefix_bytes": 63}, {"suffix_bytes": -1}, {"step_lines": 0}], ids=str
)
def test_a_budget_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"prefix_bytes must be 64 or more"):
        WindowBudget(**wrong)


def test_a_budget_is_scaled_but_never_below_its_least() -> None:
    budget = WindowBudget(prefix_bytes=1000, suffix_bytes=400, step_lines=8)
    half = WindowBudget(prefix_bytes=500, suffix_bytes=200, step_lines=8)
    assert budget.scaled(0.5) == half
    assert budget.scaled(0.01).prefix_bytes == 64
