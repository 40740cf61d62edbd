"""Which code of other files is chosen for a place, and in which order."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fimble.fim import Snippet
from fimble.snippets.around import REGION_LINES, Around, Edited, region
from fimble.snippets.project import EDITED_SHARE, MAX_FILE_BYTES, ProjectIndex, SnippetSource
from fimble.snippets.similar import BLOCK_LINES, SimilarText
from fimble.snippets.words import word, words

SHOP = '''"""Shops 😀."""


class Till:
    """Where money goes."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def add(self, coins: int) -> int:
        """Add coins."""
        self.amount += coins
        return self.amount


def unused(x: int) -> int:
    return x


def _hidden() -> None:
    pass
'''
MAIN = "from shop import Till\n\n\ndef open_shop() -> Till:\n    till = Till(3)\n    till."
SIMILAR = "".join(
    f"def receipt_{n}(customer, basket, discount):\n    return customer.print_receipt(basket, "
    f"discount, {n})\n"
    for n in range(30)
)


def put(index: ProjectIndex, files: dict[str, str]) -> ProjectIndex:
    for path, text in files.items():
        index.put(path, text, "python")
    return index


def around(prefix: str, suffix: str = "", path: str = "main.py") -> Around:
    return Around(path, prefix, suffix, "python")


def size_of(snippets: list[Snippet]) -> int:
    return sum(snippet.size_bytes for snippet in snippets)


def test_declarations_of_an_imported_file_are_chosen_by_what_is_named() -> None:
    index = put(ProjectIndex(), {"shop.py": SHOP, "main.py": MAIN})
    text = (
        'class Till:\n    """Where money goes."""\n'
        "    def __init__(self, amount: int) -> None:\n"
        '    def add(self, coins: int) -> int:\n        """Add coins."""\n'
        "def unused(x: int) -> int:\n"
    )
    assert index.select(around(MAIN)) == [Snippet(path="shop.py", text=text)]
    short = text.removesuffix("def unused(x: int) -> int:\n")
    budget_bytes = len(f"shop.py\n{text}") - 1
    assert index.select(around(MAIN), budget_bytes) == [Snippet(path="shop.py", text=short)]


def test_lines_that_resemble_the_place_come_before_declarations() -> None:
    index = put(ProjectIndex(), {"shop.py": SHOP, "other.py": SIMILAR, "main.py": MAIN})
    prefix = f"{MAIN}\ndef receipt(customer, basket, discount):\n    return customer.print_"
    first, last = index.select(around(prefix))
    assert (first.path, last.path) == ("other.py", "shop.py")
    assert first.text in SIMILAR
    assert "print_receipt" in first.text


def test_each_source_can_be_asked_alone_and_has_the_whole_budget() -> None:
    files = {"shop.py": SHOP, "other.py": SIMILAR, "test_main.py": "def open_shop() -> None: ...\n"}
    index = put(ProjectIndex(), files)
    place = around(f"{MAIN}\ndef receipt(customer, basket, discount):\n    return customer.print_")
    every = index.selection(place)
    assert (bool(every.imported), bool(every.similar), bool(every.beside)) == (True, True, True)
    assert index.selection(place, sources=list(SnippetSource)) == every
    alone = [index.selection(place, sources=[source]) for source in SnippetSource]
    assert [[bool(kind) for kind in selection] for selection in alone] == [
        [False, False, False, True],
        [False, True, False, False],
        [True, False, False, False],
    ]
    imports, similar, _ = alone
    assert imports.imported == every.imported
    # What declarations took of the budget is free for windows now.
    assert size_of(similar.similar) > size_of(every.similar) > 0
    assert index.selection(place, sources=[]) == ([], [], [], [])


def test_what_was_edited_lately_is_shown_if_it_has_to_do_with_the_place() -> None:
    basket = "# filler\n" * 40 + "def basket_total(basket):\n    return 1\n" + "# filler\n" * 40
    index = put(ProjectIndex(), {"basket.py": basket, "other.py": SIMILAR, "main.py": MAIN})
    place = around("total = basket_total(")
    edited = (Edited("basket.py", 41, 42), Edited("main.py", 0, 1), Edited("gone.py", 0, 1))
    (found,) = index.select(place._replace(edited=edited))
    lines = basket.split("\n")[39:44]
    assert found == Snippet(path="basket.py", text="\n".join(lines) + "\n")
    assert index.select(place._replace(edited=edited), 20) == []
    # A place that names nothing of it gets nothing of it.
    assert index.select(around("x = ")._replace(edited=edited)) == []
    # Windows that resemble the place do not show the same lines again.
    similar = around(SIMILAR[:400])._replace(edited=(Edited("other.py", 0, 3),))
    texts = [snippet.text for snippet in index.select(similar, 4000)]
    lines = [line for text in texts for line in text.splitlines()]
    assert len(lines) == len(set(lines)) > 0
    assert len(texts[-1].encode()) <= 4000 * EDITED_SHARE


def test_what_a_test_tests_is_found_beside_it() -> None:
    index = put(ProjectIndex(), {"src/shop.py": SHOP, "tests/test_shop.py": "x = 1\n"})
    (found,) = index.select(around("till = Ti", path="tests/test_shop.py"))
    assert found.path == "src/shop.py"
    assert found.text.startswith("class Till:\n")


def test_a_place_gets_nothing_of_its_own_file() -> None:
    index = put(ProjectIndex(), {"main.py": SIMILAR})
    assert index.select(around(SIMILAR[:400], SIMILAR[500:])) == []


def test_files_of_another_language_are_left_out() -> None:
    index = ProjectIndex()
    index.put("other.js", SIMILAR, "javascript")
    assert index.select(around(SIMILAR[:400])) == []


def test_copies_of_lines_are_chosen_once() -> None:
    index = put(ProjectIndex(), {"one.py": SIMILAR, "two.py": SIMILAR})
    texts = [snippet.text for snippet in index.select(around(SIMILAR[:400]))]
    assert len(texts) == len(set(texts)) > 0


def test_windows_that_overlap_are_one() -> None:
    index = put(ProjectIndex(), {"other.py": SIMILAR})
    texts = [snippet.text for snippet in index.select(around(SIMILAR[:600]), 100_000)]
    lines = [line for text in texts for line in text.splitlines()]
    assert len(lines) == len(set(lines)) > 2 * BLOCK_LINES


def test_a_new_text_replaces_the_old_one_and_what_is_dropped_is_gone() -> None:
    index = put(ProjectIndex(), {"shop.py": SHOP})
    index.put("shop.py", SHOP.replace("Till", "Drawer"), "python")
    (found,) = index.select(around("from shop import Drawer\nx = Drawer"))
    assert found.text.startswith("class Drawer:")
    index.drop("shop.py")
    index.drop("shop.py")
    assert len(index) == 0
    assert index.select(around(MAIN)) == []


def test_a_file_that_is_too_long_is_not_taken_in() -> None:
    index = put(ProjectIndex(), {"shop.py": SHOP})
    index.put("shop.py", "x" * (MAX_FILE_BYTES + 1), "python")
    assert "shop.py" not in index
    index.put("shop.py", "é" * (MAX_FILE_BYTES // 2), "python")
    assert "shop.py" in index


TEXTS = st.lists(
    st.sampled_from(
        [SHOP, SIMILAR, MAIN, "", "\n", "é😀\ud800\n", "import shop\n", "x = Till(1)\n" * 30]
    ),
    min_size=1,
    max_size=4,
).map("".join)
FILES = st.dictionaries(
    st.sampled_from(
        ["shop.py", "a/b.py", "a/__init__.py", "main.py", "tests/test_main.py", "ä😀.py"]
    ),
    TEXTS,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(files=FILES, prefix=TEXTS, suffix=TEXTS, budget=st.integers(0, 4000), seed=st.integers(0, 9))
def test_a_selection_fits_and_depends_on_the_files_alone(
    files: dict[str, str], prefix: str, suffix: str, budget: int, seed: int
) -> None:
    edited = tuple(Edited(path, 3 * seed, 4 * seed + 1) for path in [*files, "gone.py"])
    place = around(prefix, suffix)._replace(edited=edited)
    found = put(ProjectIndex(), files).select(place, budget)
    assert sum(each.size_bytes for each in found) <= budget
    assert all(snippet.path in files and snippet.path != "main.py" for snippet in found)
    other = put(ProjectIndex(), {"gone.py": SIMILAR, "shop.py": "from a import b\n"})
    chance = random.Random(seed)
    for path in chance.sample(sorted(files), len(files)):
        other.put(path, files[path], "python")
    other.drop("gone.py")
    if "shop.py" not in files:
        other.drop("shop.py")
    assert other.select(place, budget) == found


def test_a_search_costs_no_more_than_the_rare_words_it_has() -> None:
    similar = SimilarText()
    for n in range(300):
        similar.put(f"f{n:03}.py", b"common words everywhere again and again\n" * 20)
    similar.put("rare.py", b"common words everywhere again rare precious unique\n" * 20)
    query = words(b"common words everywhere again rare precious unique")
    (first, *_) = similar.search(query, is_wanted=lambda _: True, limit=3)
    assert first.path == "rare.py"


def test_words_are_the_same_numbers_in_every_process() -> None:
    assert words(b"print(value)") == {word("print"), word("value")} == {494360628, 366378086}
    assert words("größe_1 = ab".encode()) == {word("größe_1")}


def test_a_region_is_some_lines_long() -> None:
    assert [region(line) for line in (0, REGION_LINES - 1, REGION_LINES)] == [0, 0, 1]
