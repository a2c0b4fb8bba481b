"""Arguments and options that several commands share, so that one name means one thing everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cen_cli.recipe.overrides import Change

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's path, or the name of a shipped one.")]
Checkpoint = Annotated[
    str, typer.Argument(metavar="CKPT|RUN", help="A run directory, a checkpoint directory or a model.safetensors.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change a key of the recipe; may be given several times."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="Where to compute: auto, cpu, cuda, cuda:N or mps.")
]
Engine = Annotated[
    str,
    typer.Option("--engine", metavar="torch|onnx", help="What runs the network: torch, or ONNX Runtime (CPU)."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Seed, in place of the recipe's train.seed.")
]
DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        envvar="CEN_DATA",
        show_envvar=True,
        help="Folder of the data set, in place of the recipe's data.root.",
    ),
]
InceptionWeights = Annotated[
    Path | None,
    typer.Option(
        "--inception-weights",
        metavar="PATH",
        help="File of the Inception weights that FID and KID are measured with [default: torch-fidelity's own place].",
    ),
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="SPLIT", help="train, val or test [default: the recipe's eval.split].")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write into.")]
INPUTS = "--inputs"
"""Takes several values: see `spread_inputs`."""


def spread_inputs(words: Sequence[str]) -> list[str]:
    """`--inputs shade texture` as the parser takes it: `--inputs shade --inputs texture`.

    All words behind `--inputs` up to the next option, or up to `--`, are its values.
    """
    spread: list[str] = []
    inside = False
    for position, word in enumerate(words):
        if word == "--":
            return [*spread, *words[position:]]
        if word.startswith("-"):
            inside = word == INPUTS or word.startswith(f"{INPUTS}=")
            spread += [] if word == INPUTS and _value_follows(words, position) else [word]
        else:
            spread += [INPUTS, word] if inside else [word]
    return spread


def _value_follows(words: Sequence[str], position: int) -> bool:
    return position + 1 < len(words) and not words[position + 1].startswith("-")


def changes(overrides: list[str] | None, **options: Any) -> list[Change]:
    """The `--set` of a command, and on top of it the options that are given; `eval__split` is the key eval.split."""
    from cen_cli.recipe.overrides import with_options

    return with_options(overrides or (), **options)
