"""Tokenizers from files of any usual form, to compare them with ours.

tokenizer.json          Hugging Face, ours
folder                  of a model, with one of these files in it
*.gguf                  llama.cpp: a model, or its vocabulary alone
*.tiktoken              lines of a token in base64 and its rank
tekken.json             Mistral's: the same with its split pattern
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from fimble.errors import InputError
from training.vocabulary.alphabet import CHARS_OF_BYTES
from training.vocabulary.ranks import merges_of, read_tekken, read_tiktoken
from training.vocabulary.splits import SPLIT_OF_RANKS, SPLITS, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAMES_IN_FOLDERS = ("tokenizer.json", "tekken.json")
_PROBE = "aé‽漢🙂\x00\x7f"
"""Letters of one to four bytes and control characters, all of them unchanged by normal forms."""


class Named(NamedTuple):
    """A tokenizer and what to call it."""

    name: str
    tokenizer: Tokenizer
    """Reads special tokens in a text as text."""


def load_all(arguments: Iterable[str]) -> list[Named]:
    """Return the tokenizers of `PATH` or `NAME=PATH` arguments, with names that differ.

    Raises:
        InputError: A file cannot be read, or cannot stand for every text; or a name comes twice.
    """
    found: list[Named] = []
    for argument in arguments:
        name, separator, path = argument.partition("=")
        # A path may hold `=`, as long as it exists as it stands.
        labelled = bool(separator) and not Path(argument).exists()
        place = Path(path if labelled else argument)
        loaded = Named(name if labelled else _name_of(place), load(place))
        if loaded.name in {each.name for each in found}:
            raise InputError(
                f"two tokenizers are called {loaded.name}; name them, as in NAME={place}"
            )
        found.append(loaded)
    return found


def load(path: Path) -> Tokenizer:
    """Return the tokenizer of a file or folder; special tokens in a text are text to it.

    Args:
        path: See the module.

    Raises:
        InputError: It cannot be read, or cannot stand for every text.
    """
    file = _in_folder(path) if path.is_dir() else path
    try:
        tokenizer = _read(file)
    except InputError:
        raise
    except Exception as error:
        # The readers raise what they like, the library of tokenizers nothing but Exception.
        raise InputError(f"cannot read the tokenizer {file}: {error}") from error
    tokenizer.encode_special_tokens = True
    # Those of other people's files would make a difference of their own.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _refuse_gaps(tokenizer, file)
    return tokenizer


def _name_of(path: Path) -> str:
    """Return the part of a path that tells tokenizers apart."""
    resolved = path.resolve()
    named_after_folder = resolved.is_dir() or resolved.name in NAMES_IN_FOLDERS
    if not named_after_folder:
        return resolved.stem.removeprefix("ggml-vocab-")
    return resolved.name if resolved.is_dir() else resolved.parent.name


def _in_folder(folder: Path) -> Path:
    for name in NAMES_IN_FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"there is no tokenizer in {folder}; looked for {', '.join(NAMES_IN_FOLDERS)}")


def _read(file: Path) -> Tokenizer:
    if file.suffix == ".gguf":
        from training.vocabulary.gguf_vocabulary import read_gguf

        vocabulary = read_gguf(file)
        tokenizer = byte_level(vocabulary.ids, vocabulary.merges, vocabulary.split)
        tokenizer.add_tokens([AddedToken(each, normalized=False) for each in vocabulary.whole])
        return tokenizer
    if file.suffix == ".tiktoken":
        return _from_ranks(read_tiktoken(file), _split_by_name(file))
    table = _json_of(file)
    if "vocab" in table and "pattern" in table.get("config", {}):
        return _from_ranks(read_tekken(table), Split((table["config"]["pattern"],)))
    if "model" not in table:
        raise InputError(
            f"{file} is no tokenizer: it has no key `model`; allowed are tokenizer.json, "
            "tekken.json, *.gguf, *.tiktoken, and folders with one of the first two"
        )
    return Tokenizer.from_str(json.dumps(table))


def _json_of(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the tokenizer {file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file} is no tokenizer: it is not JSON ({error})") from error
    if not isinstance(table, dict):
        raise InputError(f"{file} is no tokenizer: it holds a {type(table).__name__}, not a table")
    return table


def _split_by_name(file: Path) -> Split:
    allowed = {**{name: SPLITS[of] for name, of in SPLIT_OF_RANKS.items()}, **SPLITS}
    if file.stem not in allowed:
        raise InputError(
            f"{file} does not say how it splits text, and nothing is known about {file.stem}; "
            f"give the file the name of its split: {', '.join(sorted(allowed))}"
        )
    return allowed[file.stem]


def _from_ranks(ranks: Mapping[bytes, int], split: Split) -> Tokenizer:
    """Return a tokenizer of tokens that are merged in the order of their ranks."""
    ids = {_as_chars(token): rank for token, rank in ranks.items()}
    merges = [(_as_chars(left), _as_chars(right)) for left, right in merges_of(ranks)]
    # tiktoken looks a whole word up before it merges anything.
    return byte_level(ids, merges, split._replace(ignores_merges=True))


def _as_chars(token: bytes) -> str:
    return "".join(map(CHARS_OF_BYTES.__getitem__, token))


def byte_level(
    ids: Mapping[str, int], merges: Iterable[tuple[str, str]], split: Split
) -> Tokenizer:
    """Return a byte-level BPE tokenizer.

    Args:
        ids: Ids by token, in the letters that stand for bytes.
        merges: Pairs of tokens, the first to be merged first.
        split: How text becomes words.
    """
    model = models.BPE(dict(ids), list(merges), ignore_merges=split.ignores_merges)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(each), "isolated") for each in split.patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _refuse_gaps(tokenizer: Tokenizer, file: Path) -> None:
    """Raise where a character is lost: no comparison of lengths means anything then."""
    lost = [
        char
        for char in _PROBE
        if char not in tokenizer.decode(tokenizer.encode(f"x{char}x", add_special_tokens=False).ids)
    ]
    if lost:
        named = ", ".join(f"U+{ord(char):04X}" for char in lost)
        raise InputError(
            f"{file} cannot stand for every text: it loses {named}; tokenizers of code need all "
            "bytes as tokens (byte-level, or `byte_fallback`)"
        )
