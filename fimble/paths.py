"""Where state lives: one place per kind, each overridable by an environment variable.

FIMBLE_DATA_DIR     spool and warehouse
FIMBLE_CACHE_DIR    downloads
FIMBLE_STATE_DIR    what running processes tell each other: engine address, logs
FIMBLE_CONFIG       the configuration file `fimble.toml`
FIMBLE_EXPERIMENTS_DIR  registrations of experiments, over the folder beside `fimble.toml`
FIMBLE_MODEL        the model folder, over the one that is shipped
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import platformdirs

from fimble.errors import ModelFolderError

SHIPPED_MODEL = "fimble-60m"


def data_dir() -> Path:
    """Return the folder of the spool and the warehouse."""
    return _place("FIMBLE_DATA_DIR", platformdirs.user_data_path("fimble", appauthor=False))


def cache_dir() -> Path:
    """Return the folder of downloads; everything in it can be fetched again."""
    return _place("FIMBLE_CACHE_DIR", platformdirs.user_cache_path("fimble", appauthor=False))


def state_dir() -> Path:
    """Return the folder of engine addresses and logs."""
    return _place("FIMBLE_STATE_DIR", platformdirs.user_state_path("fimble", appauthor=False))


def config_file() -> Path:
    """Return the path of the configuration file, whether it exists or not."""
    folder = platformdirs.user_config_path("fimble", appauthor=False)
    return _place("FIMBLE_CONFIG", folder / "fimble.toml")


def experiments_dir() -> Path:
    """Return the folder of the experiments that sessions take part in; need not exist."""
    return _place("FIMBLE_EXPERIMENTS_DIR", config_file().parent / "experiments")


def rollout_file(configured: str = "") -> Path:
    """Return the path of the signed rules of `fimble.rollout`; the file need not exist."""
    return Path(configured).expanduser() if configured else config_file().parent / "rollout.toml"


def spool_dir() -> Path:
    """Return the folder where editor sessions append their events."""
    return data_dir() / "spool"


def content_dir() -> Path:
    """Return the folder of code snippets that users let be recorded for training."""
    return data_dir() / "content"


def warehouse_dir() -> Path:
    """Return the folder of merged events and `fimble.duckdb`."""
    return data_dir() / "warehouse"


def model_dir(name: str | None = None) -> Path:
    """Return the folder of a model.

    Args:
        name: A folder, or the name of a shipped model; None means `FIMBLE_MODEL`, then the default.

    Raises:
        ModelFolderError: There is no such folder.
    """
    wanted = name or os.environ.get("FIMBLE_MODEL") or SHIPPED_MODEL
    shipped = _shipped_models()
    for folder in (Path(wanted).expanduser(), *([shipped / wanted] if shipped else [])):
        if folder.is_dir():
            return folder.resolve()
    names = (
        sorted(f.name for f in shipped.iterdir() if (f / "manifest.json").is_file())
        if (shipped)
        else []
    )
    raise ModelFolderError(
        f"there is no model folder {wanted!r}; give a folder with a manifest.json, or one of the "
        f"shipped models: {', '.join(names) or 'none is installed'}"
    )


def _place(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else default


def _shipped_models() -> Path | None:
    """Return the folder of the models that were installed with us."""
    spec = importlib.util.find_spec("fimble_models")
    locations = spec.submodule_search_locations if spec else None
    return Path(next(iter(locations))) if locations else None
