"""The health check of a training run: looks at a few steps, and says at once when a part of the network dies."""

from __future__ import annotations

from collections.abc import Mapping

from cen_cli.results import Health

EARLY = (1, 10, 20)
"""Steps recorded beside those that end a log interval: what dies from a bad start dies within these."""


def is_due(step: int, log_every: int) -> bool:
    """Whether optimiser step number `step`, counted from 1, is one to look at."""
    return step in EARLY or step % log_every == 0


def note(health: Health, before: Mapping[str, int], step: int) -> tuple[dict[str, int], str | None]:
    """What is ill, with the step since which it is so, and a warning where something was not `before`."""
    since = {name: before.get(name, step) for name in (*health.dead, *health.unreached)}
    return since, warning(health, since) if since.keys() - before.keys() else None


def warning(health: Health, since: Mapping[str, int]) -> str:
    """What is dead or learns nothing, since when, and what to change."""
    said = []
    if health.dead:
        first = min(since[name] for name in health.dead)
        said.append(f"{', '.join(health.dead)}: every unit is dead since step {first}")
    if health.unreached:
        first = min(since[name] for name in health.unreached)
        said.append(f"{', '.join(health.unreached)}: no gradient arrives since step {first}, nothing is learned there")
    return f"{'; '.join(said)}. Warm up (schedule.warmup_steps), or lower the rates; a decoder from scratch needs norms"
