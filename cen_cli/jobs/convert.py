"""A published torch file as a checkpoint."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from cen_cli import builders
from cen_cli.errors import UsageError
from cen_cli.files import check_free
from cen_cli.jobs.translators import domain_names
from cen_cli.results import Conversion
from cen_cli.runs.checkpoint import write_tensors
from cen_cli.wording import command

SUFFIX = ".safetensors"


def convert(
    file: str | Path,
    *,
    arch: str | None = None,
    inputs: Sequence[str] = (),
    target: str | None = None,
    out: str | Path | None = None,
) -> Conversion:
    """Write what a published torch file holds as a checkpoint, `out` (absent: beside the file, under its name).

    `arch`: a key of `builders.published.KINDS`; absent, the file's names say it. Raises UsageError for names that do
    not fit and for what exists already, CheckpointError for a file that cannot be read or holds none of the kinds.
    """
    written = Path(out) if out else Path(file).with_suffix(SUFFIX)
    if written.suffix != SUFFIX:
        raise UsageError(
            f"-o {written}: checkpoints are files that end in {SUFFIX}", hint=f"-o {written.with_suffix(SUFFIX)}"
        )
    check_free(written, "give another name with -o")
    converted = builders.convert(file, kind=arch, inputs=domain_names(inputs, target), target=target)
    write_tensors(written, converted.tensors, converted.metadata)
    following = _following(converted.report, written)
    return dataclasses.replace(converted.report, file=str(file), checkpoint=str(written), next=following)


def _following(report: Conversion, written: Path) -> tuple[str, ...]:
    """Commands that take the result."""
    images = " ".join(f"{name}.png" for name in report.inputs)
    commands = {
        "resnet": (command("train", "RECIPE", "--set", f"model.weights={written}"),),
        "unet": (f"cen translate {images} --ckpt {shlex.quote(str(written))}", command("exchange-stats", written)),
        "refinenet": (command("eval", written, "--data-root", "DIR"), command("exchange-stats", written)),
    }
    return commands.get(report.kind, ())
