"""Reading back events.jsonl, what a run logged while it trained."""

from __future__ import annotations

import json
from typing import Any

from cen_cli.engine.rundir import RunDirectory
from cen_cli.errors import CheckpointError
from cen_cli.results import Evaluation, LoggedStep, LoggedValidation, ReplacedCount, RunLog


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
    complete = text[: text.rfind("\n") + 1]
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            event = json.loads(line)
            if event["kind"] == "step":
                steps.append(_step(event))
            else:
                validations.append(_validation(event))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{run.events}, line {number}: not an event of a training run ({error!r})") from error
    return RunLog(tuple(steps), tuple(validations))


def _step(event: dict[str, Any]) -> LoggedStep:
    replaced = tuple(
        ReplacedCount(item["modality"], item["replaced"], item["pressed"], item["channels"])
        for item in event["replaced"]
    )
    return LoggedStep(event["epoch"], event["step"], dict(event["losses"]), dict(event["learning_rates"]), replaced)


def _validation(event: dict[str, Any]) -> LoggedValidation:
    return LoggedValidation(event["epoch"], event["step"], Evaluation.from_json(event["evaluation"]))
