"""`cen translate`: makes images of another modality, from the user's own files or from views of the recipe's split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cen_cli.cli import options
from cen_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from cen_cli.analysis.translations import TranslationRow
    from cen_cli.cli.translators import TranslationRun
    from cen_cli.data.modality import ModalitySpec
    from cen_cli.data.sample import RawView
    from cen_cli.models.translator import Translator
    from cen_cli.recipe.schema import Recipe

VIEWS = 8
"""Views of a split that are translated where --count does not say it."""
MOST_ROWS = 16
"""Rows of the contact sheet, which shows the first views."""
CONTACT_SHEET = "contact_sheet.png"
PROTOCOLS = {
    "strict": "strict: images as the network makes them",
    "paper": "paper: dropout drew, and every image is stretched between its own minimum and maximum",
}
"""What each protocol means, for the report."""


class Protocol(StrEnum):
    """How images are made and written."""

    STRICT = "strict"
    PAPER = "paper"


def translate(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGES",
            help="Your own images, before --inputs or behind a --: for each input, in that order, one file or one "
            "folder [default: views of the recipe's data set].",
            show_default=False,
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            options.INPUTS,
            metavar="NAME...",
            help="What is given, for example shade texture: all words up to the next option. May be repeated; commas "
            "may join names [default: the inputs of --ckpt].",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="What is to be made.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--ckpt",
            metavar="CKPT|RUN",
            help="The network [default: the newest finished run in runs/ with these inputs and this target].",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: the recipe's eval.split].")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            metavar="N",
            min=1,
            help=f"Only the first N views [default: {VIEWS} of a split, all of your own].",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="A new folder [default: translations/<name of run or checkpoint>]."),
    ] = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            "--protocol",
            help="strict: images as the network makes them. paper: as the authors' release evaluates, dropout draws "
            "and every image is stretched [default: the recipe's eval.protocol].",
            show_default=False,
        ),
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Translate images: of each view what every input's branch makes of it, and what their ensemble does.

    Names are those of Taskonomy's domains or in short shade, texture, edge, depth, normal, rgb. Your own files are
    stored as the training data were (8-bit pictures; 16-bit depth and edges in the data set's own units); all inputs
    of a view show the same scene, pixel by pixel, and have one size. They are brought to the network's size, and
    what it makes back to the size of your files. Files of folders belong together by their name.

    Writes OUT/<view>_<branch>.png and OUT/<view>_ensemble.png, pictures with 8 bits and depth with 16 as the data set
    stores it, and OUT/contact_sheet.png: inputs, branches, ensemble and, where known, the truth. Views that cannot be
    read are skipped with a warning, and the exit code is then 1.

    Examples:
        cen translate --inputs shade texture
        cen translate --inputs shade texture --target rgb --split val --count 20 --out pictures
        cen translate shade.png texture.png --inputs shade texture
        cen translate --inputs shade,texture --ckpt runs/rooms-translate-261123-101500 -- shades/ textures/
    """
    from cen_cli import builders
    from cen_cli.cli.translators import domain_names, find_run, load_translator, name_of
    from cen_cli.recipe.load import override
    from cen_cli.reporting import console

    if images and split:
        raise UsageError("--split names views of the recipe's data set, and images of your own are given")
    names = domain_names(inputs or (), target, checkpoint)
    source = checkpoint or _said(find_run(names, target))
    model = load_translator(source, device, names, target)
    given = [*(overrides or []), *([f"eval.split={split}"] if split else [])]
    given += [f"eval.protocol={protocol.value}"] if protocol else []
    recipe = override(model.recipe, given, data_root=data_root, source=source)
    builders.check_statistics(model, recipe, source)
    folder = out or Path("translations") / name_of(source)
    _check_free(folder)
    if images:
        views = _own_views(images, names or model.modalities, model, recipe)
    else:
        views = _views_of_split(recipe, count or VIEWS)
    done = _translate_all(model, recipe, views if count is None else views.first(count), folder)
    if json:
        console.print_json({"network": source, **_described(model, recipe), **done.described()})
    else:
        _report(source, model, recipe, done)
    if done.skipped:
        total = done.views + len(done.skipped)
        raise DataError(f"{len(done.skipped)} of {total} views were skipped, see above; the others are written")


def _said(run: TranslationRun) -> str:
    """The run's path, said on stderr."""
    from cen_cli.reporting.console import note

    note(f"network: {run.root}, the newest finished run that fits")
    return str(run.root)


def _check_free(folder: Path) -> None:
    """Raises UsageError where the folder holds something: nothing is overwritten."""
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"{folder}: holds files already, and nothing is overwritten", hint="give a new folder with --out DIR"
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file", hint="give a folder with --out DIR")


# --- views ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Views:
    """Views that are read one by one, so that one that cannot be read does not stop the others."""

    readers: Sequence[Callable[[], RawView]]
    size: tuple[int, int] | None = None
    """Height and width to which they are brought for the network; what it makes is brought back. None: as they are."""

    def first(self, count: int) -> Views:
        """The first so many of them."""
        return dataclasses.replace(self, readers=self.readers[:count])


def _own_views(images: Sequence[Path], names: Sequence[str], model: Translator, recipe: Recipe) -> Views:
    """The user's own images, one view or as many as the folders hold."""
    from cen_cli.cli.own_images import find_views
    from cen_cli.cli.translators import domain
    from cen_cli.data.views import read_view

    own = {domain(recipe, name): name for name in model.modalities}
    framed = recipe.data.kind == "nyudv2"  # its depth images keep the white frame that the others have lost
    readers = []
    for name, paths in find_views(images, names).items():
        files = {own[domain(recipe, given)]: path for given, path in paths.items()}
        readers.append(partial(read_view, name, files, model.specs, crop_depth=framed))
    return Views(readers, size=recipe.eval.size or recipe.data.resize or recipe.data.crop)


def _views_of_split(recipe: Recipe, count: int) -> Views:
    """The first views of the recipe's split."""
    from cen_cli import builders
    from cen_cli.reporting.progress import counting

    with counting("rendering rooms") as progress:
        data = builders.dataset(recipe, recipe.eval.split, progress=progress)
    return Views([partial(data.view, index) for index in range(min(count, len(data)))])


def _readable(views: Views, skipped: list[str]) -> Iterator[RawView]:
    """The views that can be read; of the others it is warned, and noted why."""
    from cen_cli.reporting.console import print_error

    for read in views.readers:
        try:
            view = read()
            _check_measured(view)
        except DataError as error:
            skipped.append(error.message)
            if len(views.readers) == 1:
                raise
            print_error(f"skipped: {error.message}", error.hint, kind="warning")
        else:
            yield view


def _check_measured(view: RawView) -> None:
    """Raises DataError for an input of depth in which nothing was measured."""
    from cen_cli.data.modality import DepthMap

    for name, image in view.inputs.items():
        if isinstance(image, DepthMap) and float(image.max()) <= 0:
            raise DataError(f"{view.files[name]}: nothing was measured, every pixel of this depth image is invalid")


def _for_network(view: RawView, size: tuple[int, int] | None, multiple: int) -> RawView:
    """The view as the network takes it. Raises UsageError where its sides are no multiples of `multiple`."""
    from cen_cli.data.transforms import resize_view

    seen = view if size is None else resize_view(view, size)
    height, width = seen.size
    if height % multiple or width % multiple:
        near = [max(multiple, round(side / multiple) * multiple) for side in (height, width)]
        raise UsageError(
            f"{view.name}: {height} x {width} pixels, but the network takes multiples of {multiple}",
            hint=f"bring the views to such a size: --set 'eval.size={near}'",
        )
    return seen


# --- translating ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Done:
    """What was written, and what was not."""

    files: list[Path]
    contact_sheet: Path
    views: int
    skipped: list[str]
    """Why, one sentence for each view that was not translated."""

    def described(self) -> dict[str, Any]:
        """As JSON takes it."""
        files = [str(path) for path in self.files]
        return {"files": files, "contact_sheet": str(self.contact_sheet), "skipped": self.skipped}


def _translate_all(model: Translator, recipe: Recipe, views: Views, folder: Path) -> Done:
    """Translate the views into the folder. Raises DataError where not one of them could be read."""
    from cen_cli.reporting.progress import counting
    from cen_cli.reporting.translation import write_contact_sheet

    files: list[Path] = []
    skipped: list[str] = []
    rows: list[TranslationRow] = []
    with counting("translating") as progress:
        for number, view in enumerate(_readable(views, skipped), start=1):
            row, written = _translate_one(model, recipe, view, views.size, folder)
            files += written
            rows += [row] if number <= MOST_ROWS else []
            progress(number + len(skipped), len(views.readers))
    if not rows:
        raise DataError(f"none of the {len(skipped)} views could be read, see above; nothing was written")
    sheet = write_contact_sheet(folder / CONTACT_SHEET, rows)
    return Done(files, sheet, len(views.readers) - len(skipped), skipped)


def _translate_one(
    model: Translator, recipe: Recipe, view: RawView, size: tuple[int, int] | None, folder: Path
) -> tuple[TranslationRow, list[Path]]:
    """Translate one view and write what was made of it; returns the row of the contact sheet and the files."""
    from cen_cli.analysis.translations import rendered, translate_view, translation_row

    spec, protocol = model.target_spec, recipe.eval.protocol
    seen = _for_network(view, size, model.size_multiple)
    images = translate_view(model, seen, protocol=protocol, norm_statistics=recipe.eval.norm_statistics)
    stem = view.name.replace("/", "_")
    files = [
        _write(folder / f"{stem}_{branch}", rendered(image, spec, protocol=protocol, size=view.size), spec)
        for branch, image in images.items()
    ]
    return translation_row(seen, images, spec, protocol=protocol), files


def _write(path: Path, image: np.ndarray, spec: ModalitySpec) -> Path:
    """Write what was made as the data set stores it; `path` is without suffix."""
    from cen_cli.reporting.translation import write_measurement, write_translated

    encoding = spec.encoding
    if encoding is None or image.ndim == 3:
        return write_translated(path.with_name(f"{path.name}.png"), image, units=spec.scale, invalid=spec.invalid)
    units, stored, invalid = encoding.scale, encoding.stored, encoding.invalid
    return write_measurement(path, image, units=units, floor=spec.floor, stored=stored, invalid=invalid)


def _described(model: Translator, recipe: Recipe) -> dict[str, Any]:
    """What was made of what and how, as JSON takes it."""
    target = model.target_spec.name
    return {"inputs": list(model.modalities), "target": target, "protocol": recipe.eval.protocol}


def _report(source: str, model: Translator, recipe: Recipe, done: Done) -> None:
    from cen_cli.cli.translators import described
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.translation import translation_parts

    pairs = [
        ("network", source),
        ("translated", described(model.modalities, model.target_spec.name)),
        ("protocol", PROTOCOLS[recipe.eval.protocol]),
    ]
    tables.show(console.out(), translation_parts(pairs, done.files, done.contact_sheet, done.views))
