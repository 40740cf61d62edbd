"""The page about a corpus: from real builds of planted, also hostile, files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fimble.pages.page import count, percent, size
from training.corpus.command import build

if TYPE_CHECKING:
    from pathlib import Path

    from training.corpus.card import Card

ESCAPE, RIGHT_TO_LEFT = "\x1b[31m", "\u202e"
HOSTILE = (
    "# </script><script>alert('planted')</script><img src=x onerror=alert(1)>\n"
    f"# colour {ESCAPE} and {RIGHT_TO_LEFT}txet desrever 😀 {{{{ 7 * 7 }}}} {{% raise %}}\n"
    f"value = '{'long ' * 400}'\n"
)
HOSTILE_PATH = "a<b>&\"'{{x}}.py"
PASSWORD = "".join(("hV8q", "Zt2L", "x9Kd", "3RmW", "7cYp", "5NbQ"))
SECRET = f'api_token = "{PASSWORD}"\nAUTHOR = "jane.roe@' + 'firma-planted.de"\n'
PROBLEM = (
    "def largest_even_sum(numbers, limit):\n"
    "    best = max(first + second for first in numbers for second in numbers if first < limit)\n"
    "    return best if best % 2 == 0 else best - 1\n"
)


def word(*seed: object) -> str:
    """Return six letters that depend on the seed alone."""
    digest = hashlib.sha256(repr(seed).encode()).digest()
    return "".join(chr(ord("a") + byte % 26) for byte in digest[:6])


def python_code(number: int, num_functions: int = 12) -> str:
    """Return distinct, plausible Python."""
    words = [word(number, n) for n in range(num_functions)]
    return "".join(
        f"def step_{each}(value_{each}: int) -> int:\n"
        f"    total_{each} = value_{each} * scale_{each}\n"
        f"    return total_{each} - offset_{each}\n\n\n"
        for each in words
    )


def planted() -> dict[str, str]:
    """Return files by path; the first folder is the project."""
    twin = python_code(1000, 40)
    files = {f"alpha/module_{n}.py": python_code(n) for n in range(12)}
    files |= {f"beta/module_{n}.py": python_code(100 + n) for n in range(6)}
    files |= {f"held/module_{n}.py": python_code(200 + n) for n in range(2)}
    return files | {
        "alpha/tool.go": "package main\n\nfunc main() {\n\tprintln(1)\n\tprintln(2)\n}\n",
        f"alpha/{HOSTILE_PATH}": HOSTILE,
        "alpha/twin.py": twin,
        "beta/twin.py": twin.replace("offset_", "displacement_", 1),
        "beta/copy.py": python_code(3),
        "beta/kept_secret.py": SECRET + python_code(300),
        "beta/dropped_secret.py": SECRET + f"data = '{'x1' * 900}'\n",
        "beta/contaminated.py": python_code(301) + PROBLEM,
        "beta/broken.py": python_code(302) + "def unfinished(:\n    pass\n",
        "beta/broken.go": "package main\n\nfunc fine() {}\n\n"
        + "".join(f"func ( {{ ] {word(n)} )\n" for n in range(40)),
        "beta/empty.py": "",
        "beta/windows.py": python_code(303).replace("\n", "\r\n"),
        "beta/notes.xyz": "no language of ours",
    }


class Built(NamedTuple):
    """A finished build that tests only look at."""

    out: Path
    card: Card
    page: str


def make(world: Path, *, jobs: int) -> Built:
    sources: list[str] = []
    for path, text in planted().items():
        file = world / "src" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    for project in ("alpha", "beta", "held"):
        split = ', split = "validation"' if project == "held" else ""
        sources.append(f'{{ directory = "src/{project}", licence = "MIT"{split} }}')
    problem = {"task_id": "Planted/7", "prompt": PROBLEM}
    (world / "problems.jsonl").write_text(json.dumps(problem) + "\n", encoding="utf-8")
    (world / "recipe.toml").write_text(
        f'name = "planted"\nsources = [{", ".join(sources)}]\n'
        '[decontamination]\nbenchmarks = ["problems.jsonl"]\n',
        encoding="utf-8",
    )
    card = build(world / "recipe.toml", world / "out", jobs=jobs)
    page = (world / "out" / "report.html").read_text(encoding="utf-8")
    return Built(world / "out", card, page)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FIMBLE_BENCHMARKS", raising=False)
        return make(tmp_path_factory.mktemp("world"), jobs=1)


class Page(HTMLParser):
    """What tests want to know about the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.by_tag: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), "an attribute stands once"
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)
            self.by_tag.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "elements nest"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        for tag in set(self._open):
            self.by_tag[tag][-1] += data

    @property
    def text(self) -> str:
        return "".join(self.texts)


def test_the_page_needs_nothing_from_elsewhere_and_its_policy_lets_only_its_own_code_run(
    built: Built,
) -> None:
    page = Page(built.page)
    attributes = [(name, value or "") for _, each in page.elements for name, value in each.items()]
    assert {value[0] for name, value in attributes if name in {"href", "src"}} == {"#"}
    assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in attributes if name == "href"} <= set(ids)
    (policy,) = (each["content"] for _, each in page.elements if "http-equiv" in each)
    (style,), (script,) = page.by_tag["style"], page.by_tag["script"]
    hashes = [
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()
        for each in (style, script)
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "@import" not in style
    assert "url(" not in style
    assert "http" not in built.page.replace("http-equiv", "")


def test_hostile_text_and_names_are_shown_and_do_nothing(built: Built) -> None:
    assert built.page.count("<script") == built.page.count("</script>") == 1
    assert "<img" not in built.page
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", built.page
    )
    page = Page(built.page)
    assert "# </script><script>alert('planted')</script><img src=x onerror=alert(1)>" in page.text
    assert "# colour ⟨U+001B⟩[31m and ⟨U+202E⟩txet desrever 😀 {{ 7 * 7 }} {% raise %}" in page.text
    assert HOSTILE_PATH in page.text
    assert "… 1,850 more characters" in page.text
    assert max(map(len, page.by_tag["pre"])) < 40 * 250


def test_every_reason_of_the_card_has_a_sample(built: Built) -> None:
    found = {each.stage: set(each.reasons) for each in built.card.stages if each.reasons}
    assert set(found) >= {
        "path", "decode", "lines", "syntax", "decontamination", "exact_duplicates",
        "near_duplicates",
    }  # fmt: skip
    samples = built.page.partition('<section id="samples">')[2].partition("</section>")[0]
    shown: dict[str, set[str]] = {}
    for part in samples.split("<h3>")[1:]:
        stage = part.partition("</h3>")[0].replace(" ", "_")
        reasons = re.findall(r'<details class="reason"><summary>([^<]+)<', part)
        shown[stage] = {reason.replace(" ", "_") for reason in reasons}
    assert shown == found


def test_no_secret_is_shown_not_even_of_files_that_were_dropped_before_redaction(
    built: Built,
) -> None:
    assert "beta/dropped_secret.py" in built.page or "dropped_secret.py" in built.page
    assert PASSWORD not in built.page
    assert "jane.roe" not in built.page
    redaction = built.page.partition('<section id="redaction">')[2].partition("</section>")[0]
    assert re.search(r"api_token = &#34;redacted_[0-9a-f]{8}&#34;", redaction)
    assert re.search(r"AUTHOR = &#34;user[0-9a-f]{6}@example\.(com|org)&#34;", redaction)
    lines = built.page.partition("<summary>line too long")[2].partition("</details>")[0]
    assert re.search(r"api_token = &#34;redacted_[0-9a-f]{8}&#34;", lines)


def test_a_contaminated_file_shows_the_problem_and_marks_the_passage(built: Built) -> None:
    part = built.page.partition("<summary>benchmark text")[2].partition("</details>")[0]
    assert "problems.jsonl:Planted/7" in part
    assert re.findall("<mark>(.*)</mark>", part) == ["def largest_even_sum(numbers, limit):"]


def test_syntax_errors_are_marked_where_they_stand(built: Built) -> None:
    part = built.page.partition("<h3>syntax</h3>")[2].partition("<h3>")[0]
    marked = re.findall("<mark>(.*)</mark>", part)
    assert sorted(marked) == ["def unfinished(:", f"func ( {{ ] {word(0)} )"]


def test_a_near_duplicate_shows_what_differs_from_the_kept_copy(built: Built) -> None:
    part = built.page.partition("<summary>similar text")[2].partition("</details>")[0]
    (old,), (new,) = (re.findall(f"<{tag}>(.*)</{tag}>", part) for tag in ("del", "ins"))
    assert {old[1:].replace("offset_", "displacement_"), new[1:]} == {new[1:]} or {
        new[1:].replace("offset_", "displacement_"), old[1:],
    } == {old[1:]}  # fmt: skip
    near = Page(built.page.partition('<section id="near">')[2].partition("</section>")[0])
    assert "2 files lie in clusters of nearly equal texts (1 in all)" in " ".join(near.text.split())
    assert "2 files of 2 projects" in near.text


def test_the_numbers_of_the_stages_are_those_of_the_card(built: Built) -> None:
    part = built.page.partition('<section id="stages">')[2].partition("</table>")[0]
    rows = [
        [
            re.sub("<[^>]+>", "", cell).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", part)
    ]
    wanted = [
        [
            each.stage.replace("_", " "),
            count(each.read.files),
            count(each.read.files - each.kept.files),
            percent((each.read.files - each.kept.files) / each.read.files),
            size(each.read.bytes),
            size(each.read.bytes - each.kept.bytes),
            "",
        ]
        for each in built.card.stages
    ]
    assert rows[1 : 1 + len(wanted)] == wanted
    assert rows[-1][:2] == ["kept", count(built.card.kept.files)]


def test_every_plot_has_words_and_a_table(built: Built) -> None:
    plots = re.findall(
        r'<svg viewBox="[^"]+" role="img">\s*<title>([^<]+)</title><desc>([^<]+)<', built.page
    )
    assert [title for title, _ in plots] == [
        "Sizes of python files",
        "Sizes of go files",
        "Lines of python files",
        "Lines of go files",
        "Kept bytes of projects by rank",
        "Sizes of near-duplicate clusters",
    ]
    assert all(re.search(r"\d", description) for _, description in plots)
    assert built.page.count('role="img"') == len(plots)
    assert "Files by number of bytes, as a table" in built.page


@pytest.mark.slow
def test_equal_builds_give_equal_bytes_and_tell_nothing_of_the_machine(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIMBLE_BENCHMARKS", raising=False)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    again = make(tmp_path / "elsewhere", jobs=2)
    assert again.page == built.page
    assert str(built.out.parent) not in built.page
    assert not [path for path in built.out.iterdir() if path.name.startswith(".")]
