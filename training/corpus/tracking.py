"""A build as a run of MLflow, where one is set up; otherwise MLflow is not even imported.

MLflow runs in a process of its own, so that a tracking server that is slow, gone or never answers
costs a build at most `LIMIT_S` and one warning, and so that nothing MLflow does to a process
(threads, handlers at exit, patched libraries) is done to a build.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from fimble.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow import MlflowClient

    from training.corpus.card import Card, Count

_LOG = logging.getLogger(__name__)

LIMIT_S = 60.0
"""Longest time that tracking may take; importing MLflow alone takes some seconds."""

EXPERIMENT = "fimble-corpus"
"""Experiment of the runs, unless `MLFLOW_EXPERIMENT_NAME` or `MLFLOW_EXPERIMENT_ID` names one."""

ARTIFACTS = ("card.json", "report.html", "ATTRIBUTION.md")

# MLflow's own defaults retry for minutes; usage data of a company's corpora goes to nobody.
MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
MLFLOW_ALWAYS = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class Run(NamedTuple):
    """What one build says to MLflow; travels as JSON."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    artifacts: list[str]
    """Paths of files."""


def record(card: Card, out: Path, recipe: Path | str, *, limit_s: float = LIMIT_S) -> bool:
    """Record a finished build in MLflow if that is set up; never fail because of it.

    It is set up by `MLFLOW_TRACKING_URI`, or by `mlflow.set_tracking_uri` in the calling program.

    Args:
        card: The data card.
        out: Folder of the corpus.
        recipe: Path or name of the recipe.
        limit_s: Seconds after which tracking is given up.

    Returns:
        Whether a run was recorded.
    """
    uri = _tracking_uri()
    if uri is None:
        return False
    run = run_of(card, out, recipe)
    environment = {**MLFLOW_DEFAULTS, **os.environ, **MLFLOW_ALWAYS, "MLFLOW_TRACKING_URI": uri}
    reason = _log_run(run, environment, limit_s)
    if reason is not None:
        _LOG.warning("the build is not tracked: %s", reason)
    return reason is None


def _tracking_uri() -> str | None:
    """Return where runs go, or None where MLflow is not set up."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None and mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def run_of(card: Card, out: Path, recipe: Path | str) -> Run:
    """Return what a build says to MLflow.

    Args:
        card: The data card.
        out: Folder of the corpus.
        recipe: Path or name of the recipe.
    """
    versions = {f"version.{name}": version for name, version in card.libraries.items()}
    return Run(
        name=card.name,
        params={"recipe": str(recipe), "name": card.name, "digest": card.digest, **versions},
        metrics=_metrics(card),
        tags={"fimble.kind": "corpus", "fimble.digest": card.digest},
        artifacts=[str(out / name) for name in ARTIFACTS if (out / name).is_file()],
    )


def _metrics(card: Card) -> dict[str, float]:
    counts: dict[str, Count] = {"read": card.read, "kept": card.kept, "dropped": card.dropped}
    metrics = {name: float(value) for name, value in _of_counts(counts).items()}
    for each in card.stages:
        metrics[f"stage.{each.stage}.dropped_files"] = float(each.read.files - each.kept.files)
        metrics[f"stage.{each.stage}.dropped_bytes"] = float(each.read.bytes - each.kept.bytes)
    for language, splits in card.languages.items():
        for split, count in splits.items():
            metrics[f"language.{language}.{split}_files"] = float(count.files)
            metrics[f"language.{language}.{split}_bytes"] = float(count.bytes)
    return metrics


def _of_counts(counts: Mapping[str, Count]) -> dict[str, int]:
    files = {f"{name}_files": count.files for name, count in counts.items()}
    return files | {f"{name}_bytes": count.bytes for name, count in counts.items()}


def _log_run(run: Run, environment: Mapping[str, str], limit_s: float) -> str | None:
    """Log a run in another process; return why that failed, or None."""
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(run._asdict()),
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"MLflow did not answer within {limit_s:g} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1].strip()[:500] if lines else f"MLflow ended with {done.returncode}"
    return re.sub(r"//[^/@\s]+@", "//", last)  # an address may hold a password


def _main() -> None:
    """Log the run on standard input."""
    run = Run(**json.load(sys.stdin))
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError:
        sys.exit(
            "MLFLOW_TRACKING_URI is set, but MLflow is missing: pip install 'fimble[tracking]'"
        )
    client = MlflowClient()
    created = client.create_run(_experiment_id(client), run_name=run.name, tags=run.tags)
    run_id = created.info.run_id
    now_ms = SystemClock().wall_ms()
    metrics = [Metric(name, value, now_ms, 0) for name, value in run.metrics.items()]
    params = [Param(name, value) for name, value in run.params.items()]
    # Source: limits of one request, MLflow's REST reference, "Log Batch".
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    for path in run.artifacts:
        client.log_artifact(run_id, path)
    client.set_terminated(run_id)


def _experiment_id(client: MlflowClient) -> str:
    """Return the experiment that the environment names, or ours."""
    named = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if named:
        return named
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


if __name__ == "__main__":
    _main()
