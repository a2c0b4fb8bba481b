"""The health check of a training run: looks at a few steps, and says at once when a part of the network dies."""

from __future__ import annotations

from collections.abc import Mapping

from cen_cli.results import Health

EARLY = (1, 10, 20)
"""Steps recorded beside those that end a log interval: what dies from a bad start dies within these."""


class HealthCheck:
    """Remembers since which step a layer is dead or a part gets no gradient; `since` is saved and restored."""

    def __init__(self, log_every: int, since: Mapping[str, int]) -> None:
        self._log_every = log_every
        self.since = dict(since)

    def due(self, step: int) -> bool:
        """Whether optimiser step number `step`, counted from 1, is one to record."""
        return step in EARLY or step % self._log_every == 0

    def note(self, health: Health, step: int) -> str | None:
        """Take in what was seen in this step; a warning where something is ill that was not before."""
        ill = (*health.dead, *health.unreached)
        new = [name for name in ill if name not in self.since]
        self.since = {name: self.since.get(name, step) for name in ill}
        return warning(health, self.since) if new else None


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
