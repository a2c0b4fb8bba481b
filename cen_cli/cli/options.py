"""Arguments and options that several commands share, so that one name means one thing everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer


def option(takes: str | None, text: str, *names: str, **more: Any) -> Any:
    """An option: what stands behind it (None: one of the names of its type), its help, names other than the argument's.

    `more` as of `typer.Option`.
    """
    return typer.Option(*names, metavar=takes, help=text, **more)


def flag(name: str, text: str) -> Any:
    """An option that takes nothing: its name, and its help."""
    return typer.Option(name, help=text)


def argument(name: str, text: str, **more: Any) -> Any:
    """An argument: what the help calls it, and its help; `more` as of `typer.Argument`."""
    return typer.Argument(metavar=name, help=text, **more)


RecipeName = Annotated[str, argument("RECIPE", "A recipe's path, or the name of a shipped one.")]
Checkpoint = Annotated[str, argument("CKPT|RUN", "A run directory, a checkpoint directory or a model.safetensors.")]
Overrides = Annotated[
    list[str] | None, option("TABLE.KEY=VALUE", "Change a key of the recipe; may be given several times.", "--set")
]
Device = Annotated[str, option("DEVICE", "Where to compute: auto, cpu, cuda, cuda:N or mps.")]
Engine = Annotated[str, option("torch|onnx", "What runs the network: torch, or ONNX Runtime (CPU).")]
Seed = Annotated[int | None, option("N", "Seed, in place of the recipe's train.seed.", min=0)]
DataRoot = Annotated[
    str | None,
    option("DIR", "Folder of the data set, in place of the recipe's data.root.", envvar="CEN_DATA", show_envvar=True),
]
InceptionWeights = Annotated[
    Path | None,
    option(
        "PATH",
        "File of the Inception weights that FID and KID are measured with [default: torch-fidelity's own place].",
    ),
]
Split = Annotated[str | None, option("SPLIT", "train, val or test [default: the recipe's eval.split].")]
Json = Annotated[bool, flag("--json", "Print one JSON document on stdout and nothing else there.")]
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
            followed = position + 1 < len(words) and not words[position + 1].startswith("-")
            spread += [] if word == INPUTS and followed else [word]
        else:
            spread += [INPUTS, word] if inside else [word]
    return spread
