"""Parquet files of datasets on a model hub, through the hub's own client and the user's set-up.

Address, token, proxies and offline mode are the client's: `HF_ENDPOINT`, `HF_TOKEN`,
`HF_HUB_OFFLINE` and its configuration. A commit never changes, so the list of its files is asked
for once.
"""

from __future__ import annotations

import fnmatch
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from training.corpus.clients import FetchError
from training.corpus.downloads import filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.corpus.source import Source

_LIST = "files.json"


def expanded(source: Source, cache_dir: Path) -> list[Source]:
    """Return one source for each file of a dataset that matches, in order.

    Raises:
        FetchError: The hub does not answer, or has no such dataset or revision.
    """
    name = quote(f"{source.hub}@{source.revision}", safe="@+~")
    place = cache_dir / "archives" / "hub-lists" / name
    [listed] = filled(place, lambda folder: _write_list(source, folder))
    files: list[str] = json.loads(listed.read_text(encoding="utf-8"))
    return [
        replace(source, files=path, project=source.project_name)
        for path in sorted(files)
        if fnmatch.fnmatchcase(path, source.files)
    ]


def _write_list(source: Source, folder: Path) -> None:
    """Write the paths of the dataset's files, without those that climb out of a folder."""
    from huggingface_hub import HfApi

    with _one_reason():
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        paths = api.list_repo_files(source.hub, repo_type="dataset", revision=source.revision)
    safe = [path for path in paths if not {"..", ""} & set(path.replace("\\", "/").split("/"))]
    (folder / _LIST).write_text(json.dumps(sorted(safe)), encoding="utf-8")


def download(source: Source, folder: Path) -> None:
    """Write one file of a dataset into a folder.

    Raises:
        FetchError: The hub does not answer, or has no such dataset, revision or file.
    """
    from huggingface_hub import hf_hub_download

    if source.has_wildcard:
        raise FetchError("no_file_matches")
    aside = folder.with_name("hub")  # the client keeps its notes beside the file
    with _one_reason():
        path = hf_hub_download(
            source.hub,
            source.files,
            repo_type="dataset",
            revision=source.revision,
            local_dir=aside,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    (aside / str(path)).rename(folder / PurePosixPath(source.files).name)


@contextmanager
def _one_reason() -> Iterator[None]:
    """Turn every way the client fails into one reason."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import constants, errors

    if constants.is_offline_mode():
        raise FetchError("hub_is_offline")
    reasons = (  # the special ones before those they are kinds of
        (errors.GatedRepoError, "dataset_is_gated"),
        (errors.RepositoryNotFoundError, "no_such_dataset"),
        (errors.RevisionNotFoundError, "no_such_revision"),
        (errors.LocalEntryNotFoundError, "hub_unreachable"),
        (errors.EntryNotFoundError, "no_such_file"),
    )
    try:
        yield
    except tuple(kind for kind, _ in reasons) as error:
        reason = next(reason for kind, reason in reasons if isinstance(error, kind))
        raise FetchError(reason) from error
    except errors.HfHubHTTPError as error:
        raise FetchError(f"hub_failed: {error.response.status_code}") from error
    except (HTTPError, InvalidURL) as error:
        raise FetchError("hub_unreachable") from error
