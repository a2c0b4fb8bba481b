"""`cen analyze-gammas` and `cen exchange-stats`: what a trained network says about exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cen_cli.cli import options
from cen_cli.cli.options import argument, flag, option
from cen_cli.errors import UsageError
from cen_cli.recipe.overrides import as_text
from cen_cli.results import GammaAnalysis, as_json
from cen_cli.wording import command


def analyze_gammas(
    checkpoint: Annotated[
        str | None,
        argument(
            "[CKPT|RUN]",
            "A run directory, a checkpoint directory or a model.safetensors; without it, Theorem 1 alone.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        option("LAYER", "Layer of the single-layer plots [default: the eighth exchanging layer, or the last]."),
    ] = None,
    against: Annotated[
        list[str] | None,
        option("CKPT|RUN", "Draw another network of the same layers beside this one; may be given several times."),
    ] = None,
    gradients: Annotated[
        int, option("N", "Compare Theorem 1 with gradients on N training batches (0: don't).", min=0)
    ] = 0,
    gains: Annotated[int, option("N", "Measure what replacing gains, on N training batches (0: don't).", min=0)] = 0,
    what_if: Annotated[
        bool, flag("--what-if", "Also score the network at other thresholds, without training it again.")
    ] = False,
    thresholds: Annotated[
        str | None, option("T,T,...", "Those of --what-if [default: decades around the network's own].")
    ] = None,
    split: Annotated[
        str | None, option("SPLIT", "Split that --what-if scores: train, val or test [default: val].")
    ] = None,
    out: Annotated[
        Path | None, option("DIR", "Folder of the plots [default: plots/ of the run, CKPT-plots beside it, else here].")
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Show whether the gammas are healthy: tables, plots, words.

    The tables hold the distribution of |gamma| per layer and modality; the diagnosis says what they mean.

    A run directory also gives the gammas' history: how many came back after they fell below the threshold, and plots of
    gammas and of replaced channels against the step. --gradients, --gains and --what-if read the recipe's data set.
    Without a network the curve of Theorem 1 is drawn (S-Fig 4).

    Examples:
        cen analyze-gammas runs/rooms-261123-101500
        cen analyze-gammas runs/rooms-261123-101500 --against runs/rooms-none-261123-111500
        cen analyze-gammas runs/rooms-261123-101500 --gradients 40 --gains 20 --what-if
        cen analyze-gammas checkpoints/best/model.safetensors --layer layer3.0.bn1 --out figures --json
    """
    from cen_cli.jobs.analyze import analyze, draw_theorem_1
    from cen_cli.reporting import console, exchange_tables, tables
    from cen_cli.reporting.progress import Terminal

    if checkpoint is None:
        if layer or against or gradients or gains or what_if or thresholds or split or overrides:
            raise UsageError("no network is named", hint="CKPT|RUN; without it Theorem 1's curve is all that is drawn")
        plot = draw_theorem_1(out or Path())
        if json:
            console.print_json({"plot": str(plot)})
        else:
            console.note(f"plot: {plot}")
        return
    analysis = analyze(
        checkpoint,
        layer=layer,
        against=against or (),
        gradients=gradients,
        gains=gains,
        thresholds=_thresholds(thresholds) if what_if or thresholds is not None else None,
        split=split,
        out=out,
        changes=overrides or (),
        data_root=data_root,
        device=device,
        listener=Terminal(),
    )
    following = _next_command(checkpoint, analysis)
    parts = [*exchange_tables.render_analysis(analysis), f"next: {following}"]
    tables.print_result({**as_json(analysis), "next": following}, parts, json=json)


def _thresholds(text: str | None) -> list[float]:
    """The numbers of `--thresholds`. Raises UsageError for anything else."""
    try:
        return [float(word) for word in text.split(",")] if text is not None else []
    except ValueError as error:
        raise UsageError(f"--thresholds {text}: numbers of 0 or more, separated by commas", hint="1e-3,1e-2") from error


def _next_command(checkpoint: str, analysis: GammaAnalysis) -> str:
    """Train again with what the diagnosis proposes; else look on."""
    settings = analysis.diagnosis.settings
    if not settings:
        return command("exchange-stats" if analysis.exchanges else "eval", checkpoint)
    recipe = f"{analysis.run}/recipe.toml" if analysis.run else "RECIPE"
    return command(
        "train", recipe, *(word for key, value in settings.items() for word in ("--set", as_text((key, value))))
    )


def exchange_stats(
    checkpoint: options.Checkpoint,
    by: Annotated[
        Literal["layer", "stage"], option(None, "One row per exchanging layer, or per stage of the encoder.")
    ] = "layer",
    out: Annotated[Path | None, option("DIR", "Folder of the plot [default: plots/ of the run].")] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Count replaced channels per layer and modality.

    Each row names the donors, whose mean takes the channels' place. With three modalities and more, each donor stands
    with its part of the donors' |gamma|. A run directory also gives the replaced share over the recorded steps, and a
    plot of it: layers against epochs.

    Examples:
        cen exchange-stats runs/rooms-261123-101500
        cen exchange-stats runs/rooms-261123-101500 --by stage
        cen exchange-stats checkpoints/best/model.safetensors --json
    """
    from cen_cli.jobs.analyze import exchange_statistics
    from cen_cli.reporting import exchange_tables, tables
    from cen_cli.reporting.progress import Terminal

    statistics = exchange_statistics(checkpoint, by=by, out=out, device=device, listener=Terminal())
    parts = [*exchange_tables.render_statistics(statistics), f"next: {command('analyze-gammas', checkpoint)}"]
    tables.print_result(statistics, parts if statistics.exchanges else parts[:-1], json=json)
