"""What a run says of itself while it trains and afterwards: its log, how far it is, what it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cen_cli.errors import CheckpointError
from cen_cli.files import parse_json, read_json
from cen_cli.results import LoggedHealth, LoggedStep, LoggedValidation, RunLog, RunProgress, from_json
from cen_cli.runs.checkpoint import PUT_BACK, read_state
from cen_cli.runs.directory import RunDirectory


def read_log(run: RunDirectory) -> RunLog:
    """The run's log; empty where nothing has been logged yet.

    A last line without its end, from a run that was killed or goes on while it is read, is left out. Raises
    CheckpointError where another line cannot be read.
    """
    try:
        text = run.events.read_text(encoding="utf-8") if run.events.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{run.events}: not readable ({error})") from error
    steps: list[LoggedStep] = []
    validations: list[LoggedValidation] = []
    health: list[LoggedHealth] = []
    complete = text[: text.rfind("\n") + 1]
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            event = parse_json(line)
            if event["kind"] == "step":
                steps.append(from_json(LoggedStep, event))
            elif event["kind"] == "health":
                health.append(from_json(LoggedHealth, {"step": event.get("step"), "health": event}))
            else:
                validations.append(from_json(LoggedValidation, event))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{run.events}, line {number}: not an event of a training run ({_reason(error)})",
                hint="delete that line: the log then lacks one step or one validation",
            ) from error
    return RunLog(tuple(steps), tuple(validations), tuple(health))


def _reason(error: Exception) -> str:
    """What an exception says to someone who does not know its class."""
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def read_progress(run: RunDirectory, epochs: int, patience: int | None = None) -> RunProgress:
    """How far the run's newest checkpoint is, of so many epochs. Raises CheckpointError where that cannot be read."""
    state = read_state(run.last)
    try:
        progress = state["progress"]
        known = {"epochs": progress["epoch"], "steps": progress["step"], "seconds": progress["seconds"]}
        worse = patience is not None and progress.get("worse", 0) >= patience
        settled = state.get("settled", worse)  # older runs do not say so
        best_step = progress.get("best_step", 0)
        return from_json(RunProgress, {**known, "of_epochs": epochs, "settled": settled, "best_step": best_step})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{run.last}: not the state of a training run ({_reason(error)})", hint=PUT_BACK
        ) from error


def read_environment(run: RunDirectory) -> Mapping[str, Any]:
    """The run's environment.json. Raises CheckpointError where it is missing or damaged."""
    try:
        document = read_json(run.environment)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{run.environment}: not readable ({error})", hint=PUT_BACK) from error
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise CheckpointError(f"{run.environment}: not what a training run writes (no data in it)", hint=PUT_BACK)
    return document
