"""What README and docs say of the code is true: commands, options, keys, and the reference."""

import argparse
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from docs.site.blocks import ROOT, Block, Call, blocks, call, commands, mentions, pages
from docs.site.parsers import descend, has_commands, options, root, usages
from docs.site.reference import FOLDER, RECIPES
from docs.site.reference import PAGES as REFERENCE
from docs.site.tables import Field, fields, tables
from fimble.config import from_table
from fimble.experiments import Experiment
from fimble.settings import EngineSettings, Settings

PAGES = pages()
OF_THE_SYSTEM = frozenset(
    {
        "cat",
        "cd",
        "cp",
        "curl",
        "export",
        "find",
        "git",
        "kill",
        "ls",
        "mkdir",
        "rm",
        "sleep",
        "unzip",
    }
)


class WrongCallError(Exception):
    """A command in a document cannot be called like that."""


def refuse(parser: argparse.ArgumentParser, message: str) -> None:
    raise WrongCallError(f"{parser.prog}: {message}")


def check_fimble(arguments: list[str]) -> None:
    if arguments in (["--version"], ["--help"]) or arguments[-1:] == ["--help"]:
        return
    try:
        root().parse_args(arguments)
    except SystemExit:
        raise WrongCallError(f"fimble {' '.join(arguments)}") from None


def check_python(arguments: list[str]) -> None:
    """Look for the module and, since few modules can be imported here, for its options in it."""
    if arguments[:2] == ["-m", "venv"] or arguments[:1] == ["-c"]:
        return
    is_module = arguments[0] == "-m"
    name = arguments[1].replace(".", "/") if is_module else arguments[0].removesuffix(".py")
    sources = [ROOT / f"{name}.py", ROOT / name / "__main__.py"]
    source = next((path for path in sources if path.exists()), None)
    if source is None:
        raise WrongCallError(f"no module {name}")
    beside = "".join(path.read_text() for path in source.parent.glob("*.py"))
    spelled = re.findall(r'"--[a-z][\w-]*"', beside)
    for option in (word.partition("=")[0] for word in arguments if word.startswith("--")):
        if not {f'"{option}"', f'"--{option.removeprefix("--no-")}"'} & set(spelled):
            raise WrongCallError(f"{name} has no option {option}")


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_make(arguments: list[str]) -> None:
    missing = {word for word in arguments if "=" not in word} - targets()
    if missing:
        raise WrongCallError(f"make has no target {missing}")


@cache
def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def check_pip(arguments: list[str]) -> None:
    wanted = re.findall(r"(?:fimble|\.|\.whl)\[([\w,-]+)\]", " ".join(arguments))
    missing = {extra for each in wanted for extra in each.split(",")} - extras()
    if missing:
        raise WrongCallError(f"the package has no extra {missing}")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "fimble": check_fimble,
    "python": check_python,
    "make": check_make,
    "pip": check_pip,
    "pipx": check_pip,
}


def check(block: Block, made: Call) -> None:
    program = Path(made.program).name
    if program == "torchrun":
        program, made = "python", Call("python", made.arguments[made.arguments.index("-m") :])
    if program in {"pip", "pipx", "make"} and not block.not_run:
        raise WrongCallError(f"{program} changes the environment: the block must not be executed")
    if program in CHECKS:
        CHECKS[program](made.arguments)
    elif program not in OF_THE_SYSTEM and not block.not_run:
        raise WrongCallError(f"{program} is no program of ours, and the block is executed")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_in_documents_exist_with_their_options(page: Path) -> None:
    wrong = []
    for block in blocks(page):
        for command in commands(block.text) if block.is_shell else ():
            made = call(command)
            try:
                if made:
                    check(block, made)
            except WrongCallError as error:
                wrong.append(f"{page}:{block.line}: {error}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_within_sentences_exist_with_their_options(page: Path) -> None:
    """They may leave out what every call needs, and name several commands: `merge|sql`."""
    assert [wrong for wrong in map(fault_of, mentions(page)) if wrong] == []


def fault_of(mention: str) -> str:
    words = re.sub(r"\(.*?\)", "", mention).split()[1:]
    parser, left = descend(words)
    if has_commands(parser) and left and re.fullmatch(r"[a-z][a-z-]*", left[0]):
        return f"{mention}: {parser.prog} has no command {left[0]}"
    known = {"--help", "--version", "--json"} | {
        name for option in options(parser) for name in re.findall(r"--[a-z][\w-]*", option.name)
    }
    unknown = {name for word in left for name in re.findall(r"^--[a-z][\w-]*", word)} - known
    return f"{mention}: {parser.prog} has no {unknown}" if unknown else ""


def test_a_wrong_command_within_a_sentence_would_be_found() -> None:
    assert fault_of("fimble eval run SUITE --model é🙂") == ""
    assert fault_of("fimble telemetry") == fault_of("fimble --version") == ""
    assert "has no command brew" in fault_of("fimble telemetry brew")
    assert "{'--modell'}" in fault_of("fimble eval run --modell DIR")


def test_commands_stand_in_blocks_that_say_so() -> None:
    """Else nobody would look at them."""
    found = [block for page in PAGES for block in blocks(page)]
    unmarked = [b for b in found if b.looks_like_shell and not b.word]
    assert [f"{b.path}:{b.line}: {b.text.splitlines()[0]}" for b in unmarked] == []
    assert sum(block.is_shell for block in found) > 20


def test_a_wrong_command_would_be_found() -> None:
    block = Block(Path("x.md"), 1, "sh", "", "", ())
    for text in (
        "fimble complete --jsn x.py:1:1",
        "fimble brew",
        "fimble telemetry metric acceptance_rate --by 🙂 --frmt csv",
        "python -m bench.nothing",
        "python bench/keystrokes.py --liness 6",
        "make tests",
        "pip install 'fimble[trainn]'",
        "vllm serve x",
    ):
        made = call(text)
        assert made is not None
        with pytest.raises(WrongCallError):
            check(block, made)


def test_scripts_are_split_as_a_shell_would() -> None:
    script = "# all\na 'x; y' # b\nB=1 c --d \\\n  'e\nf' | g > h\n\nX=2; i && j 'é🙂 #'\r\n"
    assert [call(text) for text in commands(script)] == [
        ("a", ["x; y"]),
        ("c", ["--d", "e\nf"]),
        ("g", []),
        None,
        ("i", []),
        ("j", ["é🙂 #"]),
    ]
    assert commands("") == []
    assert len(commands("fimble doctor\n" * 20_000)) == 20_000


@pytest.mark.parametrize("name", REFERENCE)
def test_a_page_of_the_reference_says_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == REFERENCE[name](), "run `make reference`"


def test_the_reference_has_every_recipe() -> None:
    """That of the loop is made of the others; docs/loop.md has it."""
    declared = re.compile(r"^class (\w*Recipe)\b", re.MULTILINE)
    sources = [
        path for part in ("training", "eval_harness") for path in (ROOT / part).rglob("*.py")
    ]
    found = {name for path in sources for name in declared.findall(path.read_text())}
    assert found - {cls.__name__ for _, _, cls in RECIPES} == {"LoopRecipe"}


def test_the_reference_has_every_command_and_every_key() -> None:
    names = [usage.name for usage in usages()]
    assert len(names) == len(set(names))
    assert {"fimble lsp", "fimble eval run", "fimble telemetry operations sql"} <= set(names)
    assert all(usage.help for usage in usages())
    assert [head for head, _ in tables(Settings)][:3] == [
        "[engine]",
        "[completion]",
        "[completion.window]",
    ]
    assert fields(EngineSettings)[1:3] == [
        Field("backend", "`embedded`, `tgi`, `openai`", '`"embedded"`', ""),
        Field(
            "url", "text", '`""`', "Base URL of the server, for the backends `tgi` and `openai`."
        ),
    ]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_settings_and_registrations_in_documents_are_valid(page: Path) -> None:
    """A block of TOML that names its file in its first line, or a note above it."""
    for block in blocks(page):
        if block.word == "toml" and block.text.startswith("# fimble.toml"):
            from_table(Settings, tomllib.loads(block.text), where=f"{page}:{block.line}")
        elif block.word == "toml" and "hypothesis =" in block.text:
            from_table(Experiment, tomllib.loads(block.text), where=f"{page}:{block.line}")
