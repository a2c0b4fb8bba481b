"""`cen eval`: scores a trained network on a split."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cen_cli.cli import options
from cen_cli.cli.options import flag, option
from cen_cli.errors import UsageError
from cen_cli.results import Evaluation, EvaluationReport, Fill


def evaluate(
    checkpoint: options.Checkpoint,
    split: options.Split = None,
    protocol: Annotated[
        str | None, option("strict|paper", "strict or paper [default: the recipe's eval.protocol].")
    ] = None,
    scales: Annotated[
        str | None,
        option(
            "S,S,...",
            "Segmentation: label by the mean probabilities at these scales [default: the recipe's eval.scales].",
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        flag("--flip/--no-flip", "Segmentation: average with mirror images, too [default: the recipe's eval.flip]."),
    ] = None,
    inception_weights: options.InceptionWeights = None,
    save_images: Annotated[int, option("N", "Also write a panel of the first N views of the split.", min=0)] = 0,
    without: Annotated[
        list[str] | None,
        option("MODALITY", "Score the network as if this modality were missing; may be given several times."),
    ] = None,
    robustness: Annotated[
        bool, flag("--robustness", "Score it with every subset of the modalities missing, and with each one corrupted.")
    ] = False,
    fill: Annotated[
        list[Fill] | None,
        option(
            "zero|mean|noise|other",
            "What takes the place of a missing modality [default: zero; all of them with --robustness, where it "
            "may be given several times].",
        ),
    ] = None,
    seed: Annotated[
        int | None, option("N", "Seed of noise, of holes and of which other view lends its image [default: 0].", min=0)
    ] = None,
    confusion: Annotated[
        Path | None,
        option(
            "FILE.csv", "Segmentation: write the ensemble's confusion matrix, in pixels, and a picture of it beside."
        ),
    ] = None,
    out: Annotated[
        Path | None, option("DIR", "Folder of pictures [default: images/ of the run; plots/ with --robustness].")
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    engine: options.Engine = "torch",
    json: options.Json = False,
) -> None:
    """Score a network per branch, ensemble and class.

    Translations are scored by MAE, MSE, PSNR, SSIM and, where the Inception weights are at hand, FID and KID. Scores
    that the recipe expects are shown beside; one that is missed ends the command with exit code 1.

    With --without nothing is expected. With --robustness there are tables of missing and of corrupted modalities and of
    what each branch relies on, and a plot; FID and KID are left out.

    Examples:
        cen eval runs/rooms-261123-101500
        cen eval runs/rooms-261123-101500 --split val --save-images 8
        cen eval runs/rooms-261123-101500 --without depth --fill mean
        cen eval runs/rooms-261123-101500 --robustness
        cen eval runs/rooms-261123-101500 --confusion confusion.csv
        cen eval runs/nyudv2-261123-101500 --scales 0.75,1,1.25 --flip
        cen eval checkpoints/best/model.safetensors --data-root /data/nyudv2 --json
        cen eval runs/rooms-translate-261123-101500 --protocol paper --inception-weights weights.pth
    """
    from cen_cli.jobs import evaluate as job
    from cen_cli.jobs.expected import check_expected
    from cen_cli.recipe.overrides import with_options
    from cen_cli.reporting.progress import Terminal

    _check(without, fill, robustness=robustness, pictures=save_images, distances=inception_weights is not None)
    _check_files(confusion, out, robustness=robustness, pictures=save_images)
    numbers = None if scales is None else _scales(scales)
    changes = with_options(overrides or (), eval__protocol=protocol, eval__flip=flip, eval__scales=numbers)
    common: dict[str, Any] = {"split": split, "changes": changes, "seed": seed, "data_root": data_root}
    common |= {"device": device, "engine": engine, "listener": Terminal()}
    if robustness:
        _robustness(checkpoint, {**common, "fills": fill or tuple(Fill)}, out, json=json)
        return
    report = job.evaluate(
        checkpoint,
        without=without or (),
        fill=fill[0] if fill else None,
        pictures=save_images,
        out=out,
        inception_weights=inception_weights,
        **common,
    )
    _show(report, json=json)
    if confusion is not None:
        _write_confusion(report.evaluation, confusion)
    check_expected(report.expected)


def _scales(text: str) -> list[float] | str:
    """Numbers between commas; what is none is left to the recipe's check."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


def _check(
    without: list[str] | None,
    fills: list[Fill] | None,
    *,
    robustness: bool,
    pictures: int,
    distances: bool,
) -> None:
    """Raises UsageError for options that do not go together, or would do nothing."""
    if robustness and without:
        raise UsageError("--robustness leaves out every subset of the modalities; give it or --without")
    if robustness and pictures:
        raise UsageError("--save-images shows whole inputs; leave it out, or --robustness")
    if robustness and distances:
        raise UsageError("--robustness computes no FID and no KID; leave --inception-weights out")
    if without and len(fills or ()) > 1:
        raise UsageError("--without takes one --fill", hint="--robustness compares them")


def _check_files(confusion: Path | None, out: Path | None, *, robustness: bool, pictures: int) -> None:
    """Raises UsageError for files that cannot be written, or would not be."""
    if confusion is not None and robustness:
        raise UsageError("--confusion is of whole inputs; leave it out, or --robustness")
    if confusion is not None and confusion.is_dir():
        raise UsageError(
            f"--confusion {confusion}: is a folder, and the matrix is one file", hint="--confusion FILE.csv"
        )
    if out is not None and not (robustness or pictures):
        raise UsageError("--out is the folder of pictures", hint="--save-images N or --robustness draws some")


def _show(report: EvaluationReport, *, json: bool) -> None:
    from cen_cli.reporting import console, tables

    parts = [*tables.render_evaluation(report.evaluation, report.expected), *tables.render_class(report.evaluation)]
    tables.print_result(report, parts, json=json)
    if report.images and not json:
        console.note(f"pictures: {report.images}")


def _write_confusion(evaluation: Evaluation, file: Path) -> None:
    """The matrix as CSV, and as a picture of the same name. Raises UsageError for a translation."""
    from cen_cli.reporting import console
    from cen_cli.reporting.files import write_whole
    from cen_cli.reporting.plots import draw_confusion
    from cen_cli.reporting.tables import confusion_csv

    if not evaluation.confusion:
        raise UsageError("--confusion: a translation has no classes to confuse", hint="leave it out")
    write_whole(confusion_csv(evaluation).encode(), file)
    console.note(f"confusion matrix: {file}, {draw_confusion(evaluation, file.with_suffix('.png'))}")


def _robustness(checkpoint: str, arguments: dict[str, Any], out: Path | None, *, json: bool) -> None:
    from cen_cli.jobs import evaluate as job
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.files import unless_unwritable
    from cen_cli.reporting.robustness import render_robustness, write_corruptions

    report = job.robustness(checkpoint, **arguments)
    if not json:  # before the plot, which a folder that cannot be written to would cost
        tables.show(console.out(), render_robustness(report))
    draw = partial(write_corruptions, (out or job.default_folder(checkpoint, "plots")) / "robustness.png", report)
    plot = draw() if out else unless_unwritable(draw)
    if json:
        console.print_json({"robustness": report, "plot": plot and str(plot)})
    elif plot:
        console.note(f"plot: {plot}")
