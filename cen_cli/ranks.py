"""The processes that train one network together, each on a device of its own: torchrun starts them, and numbers them.

Rank 0 leads: it alone writes and speaks. Each rank takes its part of every batch, and its loss is made so that the mean
over the ranks is the loss of the whole batch; `DistributedDataParallel` then gives all of them the mean gradient.

Nothing here communicates outside `joined`, and nothing inside it where torchrun started one process.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from cen_cli.errors import CenError, RankError

T = TypeVar("T")
Error = TypeVar("Error", bound=CenError)

PATIENCE = timedelta(hours=2)
"""How long a rank waits for another before it gives up, as while rank 0 renders data that the others then find."""

MEETING = timedelta(minutes=2)
"""How long a rank looks for torchrun, which may have been killed while this one started."""

_joined = False


class Left(Exception):  # noqa: N818 (no error)
    """A rank went away from work that all had begun, because it was asked to stop: all leave it."""


# ---- who is there ----


def launched() -> bool:
    """Whether torchrun started several processes, of which this is one."""
    return dist.is_available() and dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def count() -> int:
    """How many ranks train together; 1 outside `joined`."""
    return dist.get_world_size() if _joined else 1


def number() -> int:
    """This one's rank, from 0."""
    return int(os.environ["RANK"]) if launched() else 0


def leads() -> bool:
    """Whether this is rank 0."""
    return number() == 0


def part() -> tuple[int, int]:
    """Which part of shared work is this rank's, and of how many."""
    return (number(), count()) if _joined else (0, 1)


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Be one of the ranks inside, on this device; nothing where torchrun did not start several.

    Raises RankError where another rank has gone.
    """
    global _joined
    if not launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        _joined = True
        yield
        dist.destroy_process_group()
    except CenError as error:
        if not leads():
            error.message = f"rank {number()}: {error.message}"
        raise
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error)):
            raise
        raise RankError(
            f"rank {number()}: another process of this training has ended, and so does this one",
            hint="it says why, or was killed; the last checkpoint is whole: continue with train --resume",
        ) from error
    finally:
        _joined = False


def _end_with(parent: int) -> None:
    """Save and stop, as SIGTERM asks for, once torchrun itself has gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


# ---- what they tell each other ----


def gather(value: T) -> list[T]:
    """The values of all ranks, in their order, on each of them. Raises Left where a rank has left."""
    values: list[T] = [value] * count()
    if count() > 1:
        dist.all_gather_object(values, value)
    if any(each is Left for each in values):
        raise Left
    return values


def leave() -> None:
    """Go away from work at whose end all ranks `gather`. Raises Left, here and there."""
    gather(Left)


def largest(*values: int) -> list[int]:
    """For each number the largest of all ranks'."""
    if count() == 1:
        return list(values)
    found = torch.tensor(values)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return found.tolist()


def by_first(work: Callable[[], T]) -> T:
    """What `work` returns on rank 0, which alone does it. Raises its error everywhere."""
    return gather(_attempted(work, now=leads()))[0]


def in_turn(work: Callable[[], T]) -> T:
    """What `work` returns here: rank 0 does it first, so that the others find its files.

    Raises the error of one rank on all of them.
    """
    first = _attempted(work, now=leads())
    others = _attempted(work, now=not leads())
    return first if leads() else others


def _attempted(work: Callable[[], T], *, now: bool) -> T:
    result: Any = None
    error: CenError | None = None
    if now:
        try:
            result = work()
        except CenError as own:
            error = own
    if error := shared(error):
        raise error
    return result


def shared(error: Error | None) -> Error | None:
    """What all ranks raise where one has met an error: that of the first, who says it. None where none has."""
    told = gather(error)
    speaker, first = next(((rank, each) for rank, each in enumerate(told) if each), (0, None))
    if first:
        first.said_elsewhere = number() != speaker
    return first


def common(error: Error) -> Error:
    """An error that all ranks raise at once, for rank 0 to say."""
    error.said_elsewhere = not leads()
    return error


# ---- tensors ----


def averaged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean over the ranks of tensors that all of them have, in one exchange; floating types, no gradient."""
    if count() == 1 or not tensors:
        return dict(tensors)
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors.values()])
    dist.all_reduce(flat)
    parts = (flat / count()).split([tensor.numel() for tensor in tensors.values()])
    return {
        name: part.view(tensor.shape).to(tensor.dtype)
        for (name, tensor), part in zip(tensors.items(), parts, strict=True)
    }


def per_rank(total: Tensor) -> Tensor:
    """What a mean over this rank's part is to be divided by, so that the mean over ranks is that over all parts.

    `total`: what this rank counted, a scalar. Returns the mean count of a rank.
    """
    return total if count() == 1 else averaged({"total": total.double()})["total"].to(torch.float32)


def summed(x: Tensor) -> Tensor:
    """The sum over the ranks; the gradient reaches each of them."""
    total: Tensor = x if count() == 1 else _Sum.apply(x, None)
    return total


def gathered(x: Tensor, dim: int, group: Any = None) -> Tensor:
    """The tensors of all ranks, of one shape, side by side along `dim`; the gradient reaches each of them.

    `group`: the process group, where it is not that of all.
    """
    slots = [torch.zeros_like(x)] * dist.get_world_size(group)
    slots[dist.get_rank(group)] = x
    whole: Tensor = _Sum.apply(torch.cat(slots, dim), group)
    return whole


class _Sum(torch.autograd.Function):
    """The sum over the ranks; its gradient is that of the sum of all ranks' losses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = x.contiguous().clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Sum.forward(ctx, gradient, ctx.group), None


def replicated(network: Callable[..., Any]) -> Callable[..., Any]:
    """The network, after whose backward all ranks have the mean of their gradients.

    Buffers are left alone, for the norms keep them equal. Looking for unused parameters keeps torch from rearranging
    what is added up together after the first step, which a resumed run would do in another one: sums of three and more
    ranks would then differ in their last bits.
    """
    if count() == 1:
        return network
    assert isinstance(network, nn.Module)
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # torch renames `broadcast_buffers`
        return DistributedDataParallel(network, broadcast_buffers=False, find_unused_parameters=True)
