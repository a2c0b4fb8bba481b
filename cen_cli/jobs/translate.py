"""Making images of another modality, from one's own files or from views of the recipe's split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from cen_cli.analysis.pictures import rendered, stored_image, translate_view, translated_row
from cen_cli.builders import LoadedNetwork
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import RawView
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import resize_view
from cen_cli.data.views import read_view
from cen_cli.errors import DataError, UsageError
from cen_cli.files import check_free
from cen_cli.jobs.arguments import check_at_least, several
from cen_cli.jobs.evaluate import dataset, evaluated_recipe
from cen_cli.jobs.own_images import find_views
from cen_cli.jobs.predict import FRAMED
from cen_cli.jobs.translators import domain, domain_names, find_run, load_translator, name_of
from cen_cli.models.translator import Translator
from cen_cli.recipe import Recipe
from cen_cli.recipe.overrides import Changes, with_options
from cen_cli.reporting.files import write_png
from cen_cli.reporting.translation import contact_sheet, stored_depth, write_measurement, write_stored
from cen_cli.results import SILENT, Listener, PictureRow, Translations
from cen_cli.scoring.translation import Protocol, check_sides

MOST_ROWS = 16
"""Rows of the contact sheet, which shows the first views."""
CONTACT_SHEET = "contact_sheet.png"


def translate(
    images: str | Path | Sequence[str | Path] = (),
    *,
    inputs: str | Sequence[str] = (),
    target: str | None = None,
    checkpoint: str | Path | None = None,
    split: str | None = None,
    count: int | None = None,
    out: str | Path | None = None,
    changes: Changes = (),
    data_root: str | None = None,
    device: str = "auto",
    engine: str = "torch",
    listener: Listener = SILENT,
) -> Translations:
    """Translate images of one's own, or views of the recipe's data, by a translation network.

    Args:
        images: for each of `inputs`, in that order, one file or one folder; none: views of `split`.
        inputs: modalities, by their full or short names; absent, the network's.
        target: the modality that is to be made, where runs of the same inputs make several.
        checkpoint: absent, the newest finished run in runs/ that takes `inputs` and makes `target`.
        split: "train", "val" or "test"; absent, the recipe's `eval.split`.
        count: only the first so many views, at least 1.
        out: a new folder; absent, translations/<name of the run>.
        engine: "torch", or "onnx" for ONNX Runtime, as in `load`.

    Returns:
        the files that were written; views that could not be read stand in `skipped`.

    Raises:
        UsageError: no network fits, or the request contradicts itself.
        DataError: none of the views can be read.
    """
    files, inputs = several(images), several(inputs)
    check_at_least(1, count=count)
    if files and split:
        raise UsageError("--split names views of the recipe's data set, and images of your own are given")
    names = domain_names(inputs, target, None if checkpoint is None else str(checkpoint))
    source = str(checkpoint or find_run(names, target).root)
    if not checkpoint:
        listener.on_note(f"network: {source}, the newest finished run that fits")
    model = load_translator(source, device, names, target, engine)
    recipe = evaluated_recipe(model, with_options(changes, eval__split=split), data_root, source)
    folder = Path(out or Path("translations") / name_of(source))
    check_free(folder, "give a new folder with --out DIR")
    if files:
        views = _own_views([Path(file) for file in files], names or model.modalities, model, recipe)
    else:
        data = dataset(recipe, listener)
        views = _Views([partial(data.view, index) for index in range(len(data))])
    return _translate_all(model, source, recipe, views.first(count), folder, listener)


# ---- views ----


@dataclasses.dataclass(frozen=True)
class _Views:
    """Views that are read one by one, so that one that cannot be read does not stop the others."""

    readers: Sequence[Callable[[], RawView]]
    size: tuple[int, int] | None = None
    """Height and width to which they are brought for the network; what it makes is brought back. None: as they are."""

    def first(self, count: int | None) -> _Views:
        """The first so many of them; None: all."""
        return dataclasses.replace(self, readers=self.readers[:count])


def _own_views(images: Sequence[Path], names: Sequence[str], model: LoadedNetwork, recipe: Recipe) -> _Views:
    """The user's own images, one view or as many as the folders hold."""
    own = {domain(recipe, name): name for name in model.modalities}
    framed, mixed = recipe.data.kind == FRAMED, recipe.evaluation_size is not None
    readers = []
    inputs = [own[domain(recipe, name)] for name in names]
    for name, files in find_views(images, inputs, model.specs, recipe).items():
        readers.append(partial(read_view, name, files, model.specs, crop_depth=framed, mixed=mixed))
    return _Views(readers, size=recipe.scored_size)


def _readable(network: Translator, views: _Views, skipped: list[str], listener: Listener) -> Iterator[RawView]:
    """The views that can be read and translated; of the others it is warned, and noted why."""
    for read in views.readers:
        try:
            view = read()
            _check_measured(view)
            check_sides(network, view.name, view.size if views.size is None else views.size)
        except DataError as error:
            skipped.append(error.message)
            if len(views.readers) == 1:
                raise
            listener.on_warning(f"skipped: {error.message}", error.hint)
        else:
            yield view


def _check_measured(view: RawView) -> None:
    """Raises DataError for an input of depth in which nothing was measured."""
    for name, image in view.inputs.items():
        if isinstance(image, DepthMap) and float(image.max()) <= 0:
            raise DataError(f"{view.files[name]}: nothing was measured, every pixel of this depth image is invalid")


# ---- translating ----


def _translate_all(
    model: LoadedNetwork, source: str, recipe: Recipe, views: _Views, folder: Path, listener: Listener
) -> Translations:
    """Translate the views into the folder. Raises DataError where not one of them could be read."""
    assert isinstance(model.network, Translator), "as `load_translator` sees to"
    files: list[Path] = []
    skipped: list[str] = []
    rows: list[PictureRow] = []
    with listener.counting("translating") as advance:
        for number, view in enumerate(_readable(model.network, views, skipped, listener), start=1):
            row, written = _translate_one(model, recipe, view, views.size, folder)
            files += written
            rows += [row] if number <= MOST_ROWS else []
            advance(number + len(skipped), len(views.readers))
    if not rows:
        raise DataError(f"none of the {len(skipped)} views could be read, see above; nothing was written")
    sheet = write_png(folder / CONTACT_SHEET, contact_sheet(rows))
    return Translations(
        network=source,
        inputs=model.modalities,
        target=str(recipe.data.target),
        protocol=recipe.eval.protocol,
        files=tuple(map(str, files)),
        contact_sheet=str(sheet),
        views=len(views.readers) - len(skipped),
        skipped=tuple(skipped),
    )


def _translate_one(
    model: LoadedNetwork, recipe: Recipe, view: RawView, size: tuple[int, int] | None, folder: Path
) -> tuple[PictureRow, list[Path]]:
    """Translate one view and write what was made of it; returns the row of the contact sheet and the files."""
    spec, protocol, network = model.target, recipe.eval.protocol, model.network
    assert isinstance(network, Translator), "as `load_translator` sees to"
    assert spec is not None, "a translation network has a target"
    seen = resize_view(view, size)
    made = translate_view(
        network,
        model.specs,
        seen,
        protocol=protocol,
        norm_statistics=recipe.eval.norm_statistics,
        precision=model.precision(recipe),
    )
    files = [
        _write(folder / f"{view.name}_{branch}", image, spec, protocol=protocol, size=view.size)
        for branch, image in made.items()
    ]
    return translated_row(seen, made, spec, protocol=protocol), files


def _write(path: Path, image: Tensor, spec: ModalitySpec, *, protocol: Protocol, size: tuple[int, int]) -> Path:
    """Write what was made, brought to `size`, as the data set stores it; `path` is without suffix."""
    encoding = spec.encoding
    if encoding is not None and spec.kind == "image" and protocol == "strict":
        return write_stored(path, stored_image(image, spec, size))
    values = rendered(image, spec, protocol=protocol, size=size)
    if encoding is not None and values.ndim == 2:
        units, stored, invalid = encoding.scale, encoding.stored, encoding.invalid
        return write_measurement(path, values, units=units, floor=spec.floor, stored=stored, invalid=invalid)
    return write_stored(path, values if values.ndim == 3 else stored_depth(values, spec.scale, spec.invalid))
