"""What came of a loop, in one record and on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fimble.pages.page import render
from training.loop.stages import last_released

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPORT_NAME = "report.html"
ACCEPTANCE = "acceptance_rate"
"""Shown of every A/B test besides its main metric."""


def summary(
    record: Mapping[str, Any], result: Callable[[str], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the numbers of a finished loop.

    Args:
        record: The loop's own.
        result: Returns what a finished stage printed.
    """
    stages = [{"name": s["name"], "seconds": s["seconds"]} for s in record["stages"]]
    names = {stage["name"] for stage in stages}
    num_turns = sum(name.startswith("pairs-") for name in names)
    gate = result("gate")
    return {
        "name": record["name"],
        "seconds": round(sum(stage["seconds"] for stage in stages), 1),
        "stages": stages,
        "corpus": {key: result("corpus")[key] for key in ("kept", "dropped")},
        "sft": _change(result("sft")),
        "dpo": {**_change(result("dpo")), "stopped_because": result("dpo")["stopped_because"]},
        "gate": {
            "passed": gate["passed"],
            "failed": [check["name"] for check in gate["checks"] if not check["passed"]],
            "changes": gate["changes"],
        },
        "evaluation": {
            language: scores["metrics"]
            for language, scores in result("evaluation")["heldout-lines"].items()
        },
        "sessions": [_sessions(result(f"sessions-{turn}")) for turn in range(num_turns + 1)],
        "turns": [_turn(turn, result) for turn in range(1, num_turns + 1)],
        "released": last_released(result, before=num_turns + 1),
        "last": _trial(result("experiment-last")) if "experiment-last" in names else None,
    }


def page(found: Mapping[str, Any]) -> str:
    """Return the page of a summary."""
    return render("training.loop", {"loop_": found}, {"signed": "{:+.3f}".format})


def _change(tuned: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tuning changed in the scores of all tasks."""
    names = ("exact_match/mean", "stop_accuracy/mean", "bits_per_byte")
    return {
        name.removesuffix("/mean"): {"before": tuned["before"][name], "after": tuned["after"][name]}
        for name in names
        if name in tuned["before"] and name in tuned["after"]
    }


def _sessions(counts: Mapping[str, Any]) -> dict[str, Any]:
    names = ("users", "num_keys", "num_drawn", "num_judged", "num_taken", "num_taken_parts")
    return {name: counts[name] for name in names}


def _turn(turn: int, result: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was learnt in a turn, and what the A/B test says to it."""
    learning = result(f"turn-{turn}")
    return {
        "num_examples": learning["num_examples"],
        "kept_step": learning["kept_step"],
        "stopped_because": learning["stopped_because"],
        "before": last_released(result, before=turn),
        **_trial(result(f"experiment-{turn}")),
    }


def _trial(analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main metric and the acceptance of an A/B test, and its verdict."""
    tests = {each["metric"]: each for each in [*analysis["explored"], *analysis["main"]]}
    main = [each["metric"] for each in analysis["main"]]
    return {
        "verdict": analysis["verdict"]["decision"],
        "needed": analysis["verdict"]["needed"],
        "tests": [tests[name] for name in dict.fromkeys([*main, ACCEPTANCE]) if name in tests],
    }
