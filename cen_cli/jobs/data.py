"""Data sets: written as files, checked, drawn, and described by a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from cen_cli import builders
from cen_cli.analysis.pictures import sample_rows
from cen_cli.builders.draft import default_target, draft, recipe_name, with_statistics
from cen_cli.data.inspect.discovery import infer_dataset
from cen_cli.data.rooms import DOMAINS, RoomsSettings, prepare
from cen_cli.data.sets.nyudv2.frames import Depth
from cen_cli.data.sets.nyudv2.prepare import FOLDERS, write_folders
from cen_cli.errors import UsageError
from cen_cli.files import check_free, write_bytes, write_new_directory
from cen_cli.recipe import Recipe, load_recipe
from cen_cli.reporting.files import write_png
from cen_cli.reporting.panels import segmentation_panel
from cen_cli.reporting.plots import class_shares
from cen_cli.results import SILENT, Advance, Listener
from cen_cli.results.datasets import DataCheck, InferredDataset, WrittenData
from cen_cli.wording import command, did_you_mean

RECIPES = {"random": "rooms", "house": "rooms-translate"}
"""The shipped recipe that is made for rooms of a style."""


def write_rooms(
    out: str | Path,
    settings: RoomsSettings,
    *,
    domains: Sequence[str] = (),
    workers: int | None = None,
    listener: Listener = SILENT,
) -> WrittenData:
    """Write the built-in rooms as PNG files, OUT/SPLIT/DOMAIN/ROOM_VIEW.png; what is there already is kept.

    `domains`: all by default. Raises UsageError for an unknown one and for a folder of other rooms, and SaveError.
    """
    chosen = _known_domains(domains)
    with listener.counting("rendering") as progress:
        folder = prepare(settings, out, domains=chosen, workers=workers, progress=progress, keyed=False)
    views = settings.views * (settings.train_rooms + settings.val_rooms + settings.test_rooms)
    return WrittenData(str(folder), views, chosen, _training_on(settings, folder))


def _known_domains(names: Sequence[str]) -> tuple[str, ...]:
    """The domains asked for, in the renderer's order; all where none is named."""
    for name in names:
        if name not in DOMAINS:
            hint = did_you_mean(name, DOMAINS) or f"known domains: {', '.join(DOMAINS)}"
            raise UsageError(f"--domains: unknown domain {name!r}", hint=hint)
    return tuple(name for name in DOMAINS if not names or name in names)


def _training_on(settings: RoomsSettings, folder: Path) -> str:
    """The command that trains a recipe on these rooms; nothing where a split that it needs is empty."""
    if not (settings.train_rooms and settings.val_rooms and settings.test_rooms):
        return ""
    name = RECIPES[settings.palette_style]
    own = load_recipe(name).data.rooms
    changed = {key: value for key, value in asdict(settings).items() if value != getattr(own, key)}
    words = [f"--set data.rooms.{key}={value}" for key, value in changed.items()]
    if "size" in changed:
        words.append(f"--set data.crop=[{settings.size},{settings.size}]")
    return " ".join(["cen train", name, "--data-root", str(folder), *words])


def write_nyudv2(
    file: str | Path, out: str | Path, *, depth: Depth = "filled", listener: Listener = SILENT
) -> WrittenData:
    """Turn the official nyu_depth_v2_labeled.mat into the new folder `out`, whole or not at all.

    `depth`: inpainted, or 0 where nothing was measured ("raw"). Raises UsageError, DataError and SaveError.
    """
    check_free(Path(out), "give a new folder")
    written: list[int] = []
    with listener.counting("writing frames") as progress:
        write_new_directory(
            Path(out).absolute(),
            lambda folder: written.append(write_folders(Path(file), folder, depth=depth, progress=progress)),
        )
    return WrittenData(str(out), written[0], FOLDERS, command("train", "nyudv2", "--data-root", out))


def check(recipe: Recipe, *, views: int | None = None, listener: Listener = SILENT) -> DataCheck:
    """Open `views` of each split (absent: all) and say what looks wrong; one count after the other, by split."""
    with ExitStack() as counts:

        def start(split: str) -> Advance:
            counts.close()
            return counts.enter_context(listener.counting(f"checking {split}"))

        return builders.check(recipe, wanted=views, progress=start)


def draft_recipe(
    folder: Path, file: Path | None = None, *, target: str | None = None, listener: Listener = SILENT
) -> tuple[Path, str | None, InferredDataset]:
    """Write a draft recipe for a folder that nobody prepared, by default <its name>.toml.

    Returns the file, what is translated to (None in a segmentation), and what was found. Raises UsageError where the
    file is there already, DataError where there is nothing to learn from, and SaveError.
    """
    path = file or Path(f"{recipe_name(folder.resolve().name)}.toml")
    elsewhere = "give another file with --out"
    check_free(path, elsewhere)
    with listener.counting("reading modalities") as progress:
        inferred = infer_dataset(folder.resolve(), progress=progress)
    made = target or default_target(inferred)
    text = draft(inferred, recipe_name(path.stem), file=str(path), target=made)
    write_bytes(path, text.encode(), hint=elsewhere)
    return path, made, inferred


def draw_samples(recipe: Recipe, check: DataCheck, count: int, folder: Path) -> list[Path]:
    """Draw `count` samples of each split that was checked as the network sees them, and the shares of the classes.

    Those of train are augmented as in the first epoch. Raises SaveError.
    """
    written = []
    for split in check.splits:
        data = builders.dataset(recipe, split.split, training=split.split == "train")
        indices = sorted({number * len(data) // count for number in range(count)})
        rows, palette = sample_rows(data, indices), builders.palette(recipe)
        panel = segmentation_panel(rows, data.class_names, palette, truth_over=True)
        written.append(write_png(folder / f"{split.split}.png", panel))
    shares = {split.split: [line.share for line in split.labels] for split in check.splits if split.labels}
    if shares:
        names = [line.class_name for line in check.splits[0].labels]
        written.append(class_shares(shares, class_names=names, out=folder / "classes.png"))
    return written


def write_statistics(file: str | Path, recipe: Recipe, check: DataCheck) -> tuple[str, ...]:
    """Write mean and deviation of the inputs, as they were measured in train, at the end of the recipe's `file`.

    Returns the inputs; those that the recipe states already stay. Raises UsageError for a shipped recipe, for a
    translation, and where it states all.
    """
    if not Path(file).is_file():
        raise UsageError(
            f"--statistics: {file} is a shipped recipe, which stays as it is", hint=command("recipes", "copy", file)
        )
    if recipe.task == "translation":
        raise UsageError(f"--statistics: {file}: a translation brings every image to [-1, 1]")
    text = Path(file).read_text(encoding="utf-8")
    write_bytes(Path(file).resolve(), with_statistics(text, check, recipe.data.inputs).encode())
    return tuple(name for name in recipe.data.inputs if name not in recipe.data.normalize)
