"""What a user sees while a network trains: a live display on a terminal, plain lines when piped. All on stderr.

The training loop calls the methods of one display (`on_start`, `on_step`, `on_validation`, `on_note`, `on_end`) with
records only, so the same loop runs under `TrainingDisplay`, under the silent `Listener` and in tests.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cen_cli.reporting import formats, scores, tables
from cen_cli.reporting.console import err
from cen_cli.reporting.progress import SECONDS_BETWEEN_LINES, Terminal
from cen_cli.results import RunSummary, StepReport, TrainingPlan, ValidationReport

_FIRST_SECONDS = 3.0
"""After which the first sign of life comes, where no log interval is over by then."""


class Clock:
    """Estimates the time left from the steps seen so far, validations included.

    A run may start in the middle (resumed), so the first report only sets the origin.
    """

    def __init__(self) -> None:
        self._origin: tuple[int, float] | None = None
        self._latest: tuple[int, float] | None = None

    def tick(self, step: int, now: float) -> None:
        """Note that `step` steps were done at time `now`, in seconds of any clock."""
        self._origin = self._origin or (step, now)
        self._latest = (step, now)

    def remaining(self, total_steps: int, now: float) -> float | None:
        """Seconds until `total_steps`; None before two reports."""
        if self._origin is None or self._latest is None or self._latest[0] <= self._origin[0]:
            return None
        pace = (self._latest[1] - self._origin[1]) / (self._latest[0] - self._origin[0])
        return max(0.0, pace * (total_steps - self._latest[0]) - (now - self._latest[1]))


def step_line(report: StepReport, remaining: float | None) -> str:
    """One log interval as one plain line."""
    losses = " ".join(f"{name} {formats.number(value)}" for name, value in report.losses.items())
    rates = " ".join(f"{name} {formats.number(value)}" for name, value in report.learning_rates.items())
    words = [
        f"epoch {report.epoch}",
        f"step {report.step}/{report.total_steps}",
        f"loss {losses}",
        f"lr {rates}",
        f"{report.samples_per_second:.1f} samples/s",
        f"left {formats.duration(remaining)}",
    ]
    if report.replaced:
        words.insert(3, "replaced " + ", ".join(tables.replaced_words(item) for item in report.replaced))
    return " | ".join(words)


def validation_line(report: ValidationReport) -> str:
    """One validation as one plain line: one metric of every branch, and the value that chooses the best checkpoint."""
    heading = scores.watched_heading(report.evaluation)
    branches = " ".join(f"{branch} {value}" for branch, value in scores.watched(report.evaluation).items())
    best = " (best so far)" if report.is_best else ""
    chosen = f"{report.best_by} {scores.written(report.best_by, report.value)}{best}"
    return f"validation | epoch {report.epoch} | step {report.step} | {heading} {branches} | {chosen}"


def end_line(summary: RunSummary) -> str:
    """How the run ended, as one plain line."""
    return f"finished {summary.steps} steps in {formats.duration(summary.seconds)}, best at step {summary.best_step}"


class TrainingDisplay(Terminal):
    """Shows a training run on stderr; use it as a context manager so that the terminal is always given back."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or err()
        self._live: Live | None = None
        self._clock = Clock()
        self._progress: tuple[int, int, int] | None = None
        """Epoch, step, and steps in all."""
        self._spoke = time.monotonic()
        self._step: StepReport | None = None
        self._last: ValidationReport | None = None
        self._best: ValidationReport | None = None

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def on_start(self, plan: TrainingPlan) -> None:
        """Print the plan and, on a terminal, open the live part under it."""
        tables.show(self.console, tables.render_plan(plan))
        self._spoke = time.monotonic()
        if self.console.is_interactive:
            self._live = Live(get_renderable=self._view, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()

    def on_progress(self, epoch: int, step: int, total_steps: int) -> None:
        """Show how far the run is; piped, only where nothing has been said for a while: sooner before the first log."""
        now = time.monotonic()
        self._clock.tick(step, now)
        self._progress = (epoch, step, total_steps)
        quiet = SECONDS_BETWEEN_LINES if self._step else _FIRST_SECONDS
        if self._live is None and now - self._spoke >= quiet:
            left = formats.duration(self._clock.remaining(total_steps, now))
            self._print(f"epoch {epoch} | step {step}/{total_steps} | left {left}")

    def on_step(self, report: StepReport) -> None:
        """Show one log interval."""
        self._progress = (report.epoch, report.step, report.total_steps)
        self._clock.tick(report.step, time.monotonic())
        self._step = report
        if self._live is None:
            self._print(step_line(report, self._clock.remaining(report.total_steps, time.monotonic())))

    def on_validation(self, report: ValidationReport) -> None:
        """Show one validation; on a terminal it stays above the live part."""
        self._last = report
        self._best = report if report.is_best else self._best
        self._print(validation_line(report))

    def on_note(self, text: str) -> None:
        """Show something that the user should know."""
        self._print(f"note: {text}")

    def on_end(self, summary: RunSummary) -> None:
        """Close the live part and say how the run ended."""
        self._stop()
        self._print(end_line(summary))

    def _print(self, line: str) -> None:
        self._spoke = time.monotonic()
        tables.show(self.console, [line])

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _view(self) -> RenderableType:
        """The live part: progress, loss terms, replaced channels, last and best validation."""
        if self._progress is None:
            return Text("first steps ...")
        parts = [_progress(*self._progress, self._clock)]
        if self._step is not None:
            parts += [_losses(self._step), _replaced(self._step)]
        return Group(*parts, _validations(self._last, self._best))


def _progress(epoch: int, step: int, total_steps: int, clock: Clock) -> RenderableType:
    row = Table.grid(padding=(0, 1), expand=True)
    for ratio in (None, 1, None, None):
        row.add_column(ratio=ratio, no_wrap=True)
    left = formats.duration(clock.remaining(total_steps, time.monotonic()))
    row.add_row(
        f"epoch {epoch}", ProgressBar(total=total_steps, completed=step), f"{step}/{total_steps}", f"left {left}"
    )
    return row


def _losses(report: StepReport) -> RenderableType:
    losses = "  ".join(f"{name} {formats.number(value)}" for name, value in report.losses.items())
    rates = "  ".join(f"{name} {formats.number(value)}" for name, value in report.learning_rates.items())
    pace = f"{report.samples_per_second:.1f} samples/s"
    return tables.facts([("loss", losses), ("learning rate", rates), ("pace", pace)])


def _replaced(report: StepReport) -> RenderableType:
    row = Table.grid(padding=(0, 2, 0, 0))
    for item in report.replaced:
        share = formats.percent(item.share_of_pressed, 1)
        words = f"{share:>5}% of {formats.count(item.pressed)} pressed replaced"
        alert = tables.ALERT if item.collapsed else ""
        row.add_row(Text(item.modality, style="bold"), Text(words), Text(alert, style="bold yellow"))
    return row


def _validations(last: ValidationReport | None, best: ValidationReport | None) -> RenderableType:
    if last is None:
        return Text("")
    heading = scores.watched_heading(last.evaluation)
    table = tables.new_table(heading, numbers=tuple(last.evaluation.scores))
    for name, report in (("last", last), ("best", best)):
        if report is not None:
            table.add_row(f"{name}, step {report.step}", *scores.watched(report.evaluation).values())
    return table
