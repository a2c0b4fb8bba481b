"""The fit loop: one loop for every task, exact to the bit when it is stopped anywhere and resumed.

All that a run's future depends on is in the checkpoint: weights, optimisers, loss scales, generators, the position
inside the epoch, the best score so far, the unfinished log interval. Batches depend on seed, epoch and index alone, so
a run that starts in the middle of an epoch sees what the uninterrupted one saw.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.data.loading import BatchLoader, training_loader, without_target
from cen_cli.data.sample import Batch
from cen_cli.data.sampler import EpochBatches
from cen_cli.data.views import ViewDataset
from cen_cli.engine.health import is_due, note
from cen_cli.engine.losses import LossWindow
from cen_cli.engine.optimizers import optimizer_state, restore_optimizer
from cen_cli.engine.progress import FitSettings, Progress
from cen_cli.engine.seeding import capture_rng, restore_rng
from cen_cli.engine.signals import StopRequest
from cen_cli.engine.task import NetworkTask
from cen_cli.errors import CheckpointError, DataError, DivergedError, Interrupted, NotFiniteError, WorkerError
from cen_cli.files import link_or_copy, write_directory, write_json
from cen_cli.models.choices import hardening_step
from cen_cli.models.exchange import count_replaced, exchange_layers, exchanging_layers
from cen_cli.models.health import watching
from cen_cli.results import (
    Evaluation,
    Listener,
    LoggedStep,
    ReplacedCount,
    RunSummary,
    StepReport,
    ValidationReport,
    as_json,
    from_json,
    is_better,
)
from cen_cli.runs.checkpoint import (
    MODEL_FILE,
    PUT_BACK,
    TRAINING_FILE,
    auxiliary_tensors,
    load_auxiliaries,
    load_weights,
    not_finite,
    read_state,
    read_tensors,
    tensors_under,
    write_checkpoint,
)
from cen_cli.runs.directory import RunDirectory
from cen_cli.runs.gammas import GammaRecorder
from cen_cli.wording import command, listed

DIVERGED_HINT = "what was saved before is untouched; try lower learning rates, or precision fp32"


@dataclasses.dataclass(eq=False)
class Fit:
    """One training run. `run()` trains from wherever `progress` stands to the end."""

    task: NetworkTask
    train_data: ViewDataset
    directory: RunDirectory
    settings: FitSettings
    listener: Listener
    metadata: Mapping[str, str]

    def __post_init__(self) -> None:
        model, settings = self.task.model, self.settings
        self.progress = Progress()
        self.modalities = model.modalities
        self.gammas = GammaRecorder(exchange_layers(model), self.modalities)
        self.exchanging = exchanging_layers(model)
        self.losses = LossWindow()
        self._told_of_void = False
        self.step_seconds: list[float] = []
        self.steps_per_epoch = len(EpochBatches(len(self.train_data), settings.batch, settings.seed, epoch=0))
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.hardened = hardening_step(model, self.total_steps) or 0
        """The step before which it is not yet the network that it will be, and no best one."""

    def run(self, stop: StopRequest) -> RunSummary:
        """Train to the end. Raises Interrupted (after saving), DivergedError, DataError or SaveError."""
        if not self.directory.last.is_dir():
            self.task.validate(limit=2)  # what is broken in the evaluation shows now, not after the first epoch
            self.gammas.record(0)
            self._save()  # from here a run that is killed before its next checkpoint is resumed
        with stop:
            batches = iter(self._loader())
            while self.progress.epoch < self.settings.epochs and not self._settled():
                self._train_epoch(batches, stop)
                self._finish_epoch(stop)
        if self.progress.epoch < self.settings.epochs:
            self.listener.on_note(
                f"training ends after epoch {self.progress.epoch}: no better {self.settings.best_by} for "
                f"train.patience = {self.settings.patience}"
            )
        return self.summary()

    def _settled(self) -> bool:
        """Whether no better score is to be expected."""
        patience, progress = self.settings.patience, self.progress
        return patience is not None and progress.worse >= patience and progress.best_step >= self.hardened

    def _beside(self) -> dict[str, nn.Module]:
        """Networks whose weights a resumed run needs beside those that are kept."""
        trained = {"trained": self.task.model} if self.task.kept is not self.task.model else {}
        return {**self.task.auxiliaries, **trained}

    def resume(self) -> None:
        """Continue from the run's last checkpoint. Raises CheckpointError where it does not fit."""
        folder = self.directory.last
        model, _ = read_tensors(folder / MODEL_FILE)
        training, _ = read_tensors(folder / TRAINING_FILE)
        state = read_state(folder)
        load_weights(self.task.kept, model, folder / MODEL_FILE)
        try:
            self.progress = from_json(Progress, state["progress"], absent=None)
            self._check_place()
            for name, optimizer in self.task.optimizers.items():
                restore_optimizer(optimizer, tensors_under(training, f"{name}/"), state["optimizers"][name])
                self.task.scalers[name].load_state_dict(state.get("scalers", {}).get(name, {}))
            load_auxiliaries(self._beside(), training, folder / TRAINING_FILE)
            if ranks.leads() or state.get("ranks", 1) == ranks.count():
                own = training if ranks.leads() else tensors_under(training, f"rank{ranks.number()}/")
                documents = [state["rng"], *state.get("rng_of_other_ranks", ranks.count() * [state["rng"]])]
                restore_rng(own, documents[ranks.number()])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder}: not the state of this recipe's training ({error})", hint=PUT_BACK
            ) from error
        self.task.continue_average(self.progress.step - self.progress.skipped)
        self.losses = LossWindow(self.progress.window, self.progress.window_steps)
        self.gammas.restore(self.directory.gammas, self.progress.step)
        if ranks.leads():
            self.directory.truncate_events(self.progress.events_size)
            if self.progress.best is not None and not self.directory.best.is_dir():
                self.listener.on_warning(
                    f"{self.directory.best}, of step {self.progress.best_step}, is missing: what is said of the best "
                    "is of a network that is gone, and the last one is scored in its place"
                )
            if self.directory.events_size() < self.progress.events_size:
                self.listener.on_warning(f"{self.directory.events} has lost lines: its curves lack steps")
        if (before := state.get("ranks", 1)) != ranks.count():
            self.listener.on_note(
                f"trained on {before} devices before, on {ranks.count()} now: it goes on with the same batches and "
                "rates, equal but for rounding and what dropout draws"
            )

    def _check_place(self) -> None:
        """Raises ValueError where the run cannot be at such a place."""
        progress = self.progress
        seen = progress.epoch * self.steps_per_epoch + progress.batch
        whole = 0 <= progress.batch <= self.steps_per_epoch and 0 <= progress.epoch <= self.settings.epochs
        if not whole or progress.step != seen:
            raise ValueError(f"step {progress.step} in epoch {progress.epoch}, batch {progress.batch}")

    def summary(self) -> RunSummary:
        """How the run stands; complete once every epoch has been validated."""
        progress = self.progress
        if progress.last is None or progress.best is None:
            raise CheckpointError(f"{self.directory.root}: no validation has finished yet")
        of_best = progress.best_replaced
        return RunSummary(
            run=str(self.directory.root),
            epochs=progress.epoch,
            steps=progress.step,
            seconds=progress.seconds,
            last=Evaluation.from_json(progress.last),
            best=Evaluation.from_json(progress.best),
            best_step=progress.best_step,
            best_by=self.settings.best_by,
            replaced=self._replaced() if of_best is None else tuple(ReplacedCount.from_json(each) for each in of_best),
        )

    def _replaced(self) -> tuple[ReplacedCount, ...]:
        """Of the network that is scored and kept, as it is now."""
        return count_replaced(exchanging_layers(self.task.kept), self.modalities)

    def _loader(self) -> BatchLoader:
        """All batches from where the run stands to its end: workers start once, and load on during validations."""
        progress, settings = self.progress, self.settings
        return training_loader(
            self.train_data,
            batch=settings.batch,
            workers=settings.workers,
            seed=settings.seed,
            epoch=progress.epoch,
            start_batch=progress.batch,
            part=ranks.part(),
            epochs=settings.epochs - progress.epoch,
        )

    def _train_epoch(self, batches: Iterator[Batch], stop: StopRequest) -> None:
        """The rest of the current epoch, from the batch at which it was left."""
        progress = self.progress
        started = time.monotonic()
        learned = progress.batch > 0
        while progress.batch < self.steps_per_epoch:
            batch, learnable = self._next(batches, stop)
            learned = learned or learnable
            terms = self._step(batch) if learnable else self.task.pass_over(progress.step)
            progress.step += 1
            progress.skipped += self.task.skipped
            progress.batch += 1
            if terms:
                self.losses.add(terms, epoch=progress.epoch + 1, step=progress.step, files=batch.files)
            now = time.monotonic()
            progress.seconds += now - started
            self.step_seconds.append(now - started)
            started = now
            self.listener.on_progress(progress.epoch + 1, progress.step, self.total_steps)
            self._after_step()
        if not learned:
            what = f"no batch of epoch {progress.epoch + 1} has a valid pixel: {without_target(batch)}"
            raise ranks.common(DataError(what, hint="a larger data.crop or train.batch, or a look at these files"))

    def _next(self, batches: Iterator[Batch], stop: StopRequest) -> tuple[Batch, bool]:
        """The next batch, and whether a rank has a pixel to learn from.

        Stops where any rank is asked to, and where the data of one fail: between two batches the run can be saved.
        """
        batch: Batch | None = None
        error: DataError | None = None
        try:
            batch = next(batches)
        except DataError as met:
            error = met
        valid = batch is not None and bool(batch.target_valid.any())
        number, failed, learnable = ranks.largest(stop.signal or 0, batch is None, valid)
        if number:
            self._stop(number)
        if failed or batch is None:
            raise self._saved(error)
        if not learnable and not self._told_of_void:
            self._told_of_void = True
            what = f"step {self.progress.step + 1} learns nothing, its batch has no valid pixel"
            self.listener.on_warning(f"{what}: {without_target(batch)}; others may follow, and are not told of")
        return batch, bool(learnable)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step; now and then the network is watched in it."""
        number = self.progress.step + 1
        if not is_due(number, self.settings.log_every):
            return ranks.averaged(self.task.step(batch, self.progress.step))
        scale = next(iter(self.task.scalers.values())).get_scale()
        with watching(self.task.model, scale) as watch:
            terms = self.task.step(batch, self.progress.step)
        if self.task.skipped:
            return ranks.averaged(terms)
        health = watch.health()
        self.progress.ill_since, warning = note(health, self.progress.ill_since, number)
        self._write_event({"kind": "health", "step": number, **as_json(health)})
        if warning:
            self.listener.on_note(warning)
        return ranks.averaged(terms)

    def _write_event(self, event: Mapping[str, Any]) -> None:
        if ranks.leads():
            self.directory.append_event(event)

    def _saved(self, met: DataError | None) -> DataError | DivergedError:
        """What all ranks raise, of which one or more have met an error of the data; the run is saved before."""
        error = ranks.shared(met)
        if isinstance(error, NotFiniteError):  # the network makes no numbers, and is not saved
            return ranks.common(DivergedError(f"{error.message} after step {self.progress.step}", hint=DIVERGED_HINT))
        assert error is not None
        self._save()
        run = self.directory
        again = f"if files have changed since it started, bring them back: {command('train', '--resume', run.root)}"
        if isinstance(error, WorkerError):
            again = f"go on with: {command('train', run.recipe, '--resume', run.root, '--set', 'data.workers=0')}"
        error.message += f"\nthe run is saved at step {self.progress.step} of {self.total_steps}"
        error.hint = f"{error.hint}; {again}" if error.hint else again
        return error

    def _after_step(self) -> None:
        """Periodic side work: recording gammas, logging, saving."""
        step, settings = self.progress.step, self.settings
        if settings.record_gammas_every and step % settings.record_gammas_every == 0:
            self.gammas.record(step)
        if step % settings.log_every == 0 or step == self.total_steps:
            self._log()
        ends_epoch = self.progress.batch == self.steps_per_epoch
        if settings.checkpoint_every and step % settings.checkpoint_every == 0 and not ends_epoch:
            self._save()

    def _finish_epoch(self, stop: StopRequest) -> None:
        """Validate where it is due, and save."""
        progress, settings = self.progress, self.settings
        number = progress.epoch + 1
        self.losses.flush()
        self._check_finite()
        improved = False
        if number % settings.validate_every == 0 or number == settings.epochs:
            improved = self._validate(number, stop)
        if self._settled():
            self._log()  # the steps since the last interval, which no other will hold
        progress.epoch, progress.batch = number, 0
        self._save(best=improved)

    def _scored(self, stop: StopRequest) -> Evaluation:
        """Of the validation split. Between two views, it stops as `_next` does."""

        def leave_between_batches(_: int) -> None:
            if stop:
                ranks.leave()

        error: DataError | None = None
        try:
            return self.task.validate(after_batch=leave_between_batches)
        except ranks.Left:
            pass
        except DataError as met:
            error = met
            with suppress(ranks.Left):
                ranks.leave()
        if number := ranks.largest(stop.signal or 0)[0]:
            self._stop(number)
        raise self._saved(error)

    def _validate(self, epoch: int, stop: StopRequest) -> bool:
        """Score the network; returns whether it is the best so far."""
        started = time.monotonic()
        evaluation = self._scored(stop)
        progress = self.progress
        progress.seconds += time.monotonic() - started
        value = evaluation.metric(self.settings.best_by)
        if math.isnan(value):
            raise ranks.common(
                DataError(
                    f"validation of epoch {epoch}: {self.settings.best_by} is undefined, no pixel of the split is "
                    "valid",
                    hint="check the label maps, or the target images, of the validation split",
                )
            )
        before = None if progress.best_step < self.hardened <= progress.step else progress.best_value
        improved = before is None or is_better(self.settings.best_by, value, than=before)
        progress.last = as_json(evaluation)
        progress.worse = 0 if improved else progress.worse + 1
        if improved:
            progress.best_value, progress.best_step, progress.best = value, progress.step, progress.last
            progress.best_replaced = as_json(self._replaced())
        self._write_event({"kind": "validation", "epoch": epoch, "step": progress.step, "evaluation": progress.last})
        if ranks.leads():
            write_json(
                self.directory.metrics,
                {
                    "best_by": self.settings.best_by,
                    "best_step": progress.best_step,
                    "best": progress.best,
                    "last_step": progress.step,
                    "last": progress.last,
                },
            )
        self.listener.on_gammas(progress.step, self.gammas.now())
        self.listener.on_validation(
            ValidationReport(epoch, progress.step, evaluation, self.settings.best_by, value, improved)
        )
        return improved

    def _log(self) -> None:
        """Report the log interval that ends here, unless it learned nothing."""
        progress = self.progress
        averages = self.losses.close()
        if not averages:
            return
        replaced = count_replaced(self.exchanging, self.modalities)
        rates = self.task.learning_rates(progress.step - 1)
        logged = LoggedStep(progress.epoch + 1, progress.step, averages, rates, replaced)
        scales = {name: state["scale"] for name, state in self.task.scaler_states().items()}
        scaled = {"loss_scales": scales, "skipped": progress.skipped} if scales else {}
        self._write_event({"kind": "step", **as_json(logged), **scaled})
        views = min(self.settings.batch, len(self.train_data))
        speed = views * len(self.step_seconds) / max(sum(self.step_seconds), 1e-9)
        self.step_seconds.clear()
        self.listener.on_step(StepReport(**vars(logged), total_steps=self.total_steps, samples_per_second=speed))

    def _save(self, *, best: bool = False) -> None:
        """Write the gammas, then the checkpoint; the best one first, so that `last` never speaks of one not there."""
        self.losses.flush()
        self._check_finite()
        captured = ranks.gather(capture_rng())
        if not ranks.leads():
            return
        progress = self.progress
        progress.window, progress.window_steps = self.losses.sums, self.losses.steps
        progress.events_size = self.directory.events_size()
        tensors, rng = captured[0]
        others = [document for _, document in captured[1:]]
        for rank, (own, _) in enumerate(captured[1:], start=1):
            tensors |= {f"rank{rank}/{key}": value for key, value in own.items()}
        optimizers = {}
        for name, optimizer in self.task.optimizers.items():
            own, optimizers[name] = optimizer_state(optimizer)
            tensors |= {f"{name}/{key}": value for key, value in own.items()}
        tensors |= auxiliary_tensors(self._beside())
        state: dict[str, Any] = {"progress": dataclasses.asdict(progress), "optimizers": optimizers, "rng": rng}
        state["rng_of_other_ranks"] = others
        state["ranks"] = ranks.count()
        state["scalers"] = self.task.scaler_states()
        state["settled"] = self._settled()
        self.gammas.save(self.directory.gammas)
        write_checkpoint(
            self.directory.best if best else self.directory.last,
            model=self.task.kept.state_dict(),
            metadata={**self.metadata, "step": str(progress.step), "epoch": str(progress.epoch)},
            training=tensors,
            state=state,
        )
        if best:
            write_directory(self.directory.last, self._link_best)

    def _check_finite(self) -> None:
        """Raises DivergedError where the network can no longer be used: it is neither scored nor saved."""
        if odd := not_finite(self.task.model.state_dict()):
            raise ranks.common(
                DivergedError(
                    f"the network is not finite after step {self.progress.step}: NaN or infinity in {listed(odd)}",
                    hint=DIVERGED_HINT,
                )
            )

    def _link_best(self, new: Any) -> None:
        for path in self.directory.best.iterdir():
            link_or_copy(path, new / path.name)

    def _stop(self, signal_number: int) -> NoReturn:
        """Save where the run stands and leave."""
        self._save()
        raise ranks.common(
            Interrupted(
                signal_number,
                f"stopped at step {self.progress.step} of {self.total_steps}; the run is saved",
                hint=f"continue it with: {command('train', '--resume', self.directory.root)}",
            )
        )
