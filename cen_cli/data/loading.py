"""Batches for training and evaluation, the same with any number of workers.

A sample depends on (seed, epoch, index) only and the order on (seed, epoch), so workers change nothing but speed. The
loaders draw from a generator of their own: the global random state is never used. torch rebuilds an exception of a
worker from its traceback text; here a worker hands a `DataError` over as an object, and it is raised as it was.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from cen_cli.data.sample import LABELS, TARGET, Batch, Sample, collate
from cen_cli.data.sampler import EpochBatches, share
from cen_cli.data.views import Key, ViewDataset
from cen_cli.errors import CenError, WorkerError
from cen_cli.results import VOID
from cen_cli.wording import listed

WHOLE = (0, 1)
"""The one part that is everything."""


class BatchLoader:
    """An iterable of `Batch`; each pass loads anew. Raises DataError for bad files and for a worker that died."""

    def __init__(self, fetch: _Fetch, order: Any, workers: int) -> None:
        self._loader: DataLoader[Any] = DataLoader(
            fetch,
            batch_sampler=order,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_start_worker,
            generator=torch.Generator().manual_seed(0),
        )

    def __iter__(self) -> Iterator[Batch]:
        batches = _started(self._loader)
        while (item := self._next(batches)) is not None:
            if isinstance(item, CenError):
                del batches  # ends the workers now; held by a traceback, they would be waited for
                raise item
            yield from item

    def _next(self, batches: Iterator[Any]) -> list[Batch] | CenError | None:
        """What was fetched next, the error in its place, or None at the end; of a worker that died, what is known."""
        try:
            return next(batches, None)
        except RuntimeError as error:
            if "DataLoader worker (pid" not in str(error):
                raise
            return _dead_worker(" ".join(str(error).split()))
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            if not self._loader.num_workers or "in DataLoader worker process" in str(error):
                raise  # an error of the data set, which torch handed over
            return _dead_worker(f"its connection was lost ({error})")


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's batches. Its workers are forked with SIGTERM blocked: one sent to the whole group is not theirs.

    The death of a worker is told when its batch is fetched, between two steps; torch's handler of SIGCHLD would raise
    in the middle of one, where nothing could be saved.
    """
    posix = hasattr(signal, "sigwaitinfo")  # not on macOS and Windows
    if not (loader.num_workers and posix and threading.current_thread() is threading.main_thread()):
        return iter(loader)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        batches = iter(loader)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return batches


def _dead_worker(reason: str) -> WorkerError:
    hint = "short of memory, or of shared memory (/dev/shm)? lower data.workers; 0 loads without"
    return WorkerError(f"a loading worker died: {reason}", hint=hint)


def training_loader(
    dataset: ViewDataset,
    batch: int,
    workers: int = 0,
    *,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    part: tuple[int, int] = WHOLE,
    epochs: int = 1,
) -> BatchLoader:
    """Shuffled batches of `epochs` epochs from batch `start_batch` of the first on, augmented by the set's transform.

    An epoch's last batch is dropped where it is incomplete, unless it is the only one. `part` (i, n) loads the i-th,
    from 0, of n equal parts of each batch.
    """
    order = EpochBatches(len(dataset), batch, seed, epoch, start_batch, part, epochs)
    return BatchLoader(_Fetch(dataset), order, workers)


def evaluation_loader(
    dataset: ViewDataset, batch: int = 1, workers: int = 0, part: tuple[int, int] = WHOLE
) -> BatchLoader:
    """All views in order, `batch` at a time, the last ones perhaps fewer; of these, views of one size make a batch.

    `part` (i, n) loads the i-th, from 0, of n parts of these batches.
    """
    indices = range(len(dataset))
    order = share([indices[start : start + batch] for start in range(0, len(indices), batch)], part)
    return BatchLoader(_Fetch(dataset), order, workers)


class _Fetch(Dataset[Any]):
    """A data set that loads whole batches, one for each size of its views; an error of ours is returned, not raised."""

    def __init__(self, dataset: ViewDataset) -> None:
        self._dataset = dataset

    def __getitems__(self, keys: Sequence[Key]) -> list[Batch] | CenError:
        try:
            return [collate(samples) for samples in _by_size([self._dataset.sample(key) for key in keys])]
        except CenError as error:
            return error


def _by_size(samples: Sequence[Sample]) -> Iterable[list[Sample]]:
    """The samples of each size, sizes and samples in the order in which they come."""
    groups: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(tuple(sample.target_valid.shape), []).append(sample)
    return groups.values()


def without_target(batch: Batch) -> str:
    """What a batch without a pixel to learn from holds instead: all void, or nothing measured, and in which files."""
    files = [files.get(LABELS, files.get(TARGET, name)) for name, files in zip(batch.names, batch.files, strict=True)]
    what = f"every label is void ({VOID})" if batch.target.ndim == 3 else "nothing was measured"
    return f"{what} in the crops of {listed(files)}"


def _unchanged(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    """Work on one thread; leave signals to the main process, which saves its state and then stops its workers.

    Ctrl-C, and a scheduler's SIGTERM, reach every process of the group; a SIGTERM of the main process still counts.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_heed_the_main_process_alone, args=(os.getppid(),), daemon=True).start()


def _heed_the_main_process_alone(main: int) -> None:
    """End at a SIGTERM that the main process sent, or once that is gone; pass over those of others."""
    while os.getppid() == main:
        received = signal.sigtimedwait({signal.SIGTERM}, 1)
        if received is not None and received.si_pid == main:
            break
    os._exit(0)
