"""`cen recipes ls|show|copy`: the recipes and sweeps that come with cen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import argument, flag
from cen_cli.wording import command

Destination = Annotated[Path, argument("[TO]", "File or folder to write; the current folder by default.")]


def ls(json: options.Json = False) -> None:
    """List the recipes and sweeps that come with cen.

    Examples:
        cen recipes ls
        cen recipes ls --json
    """
    from cen_cli.recipe import catalog
    from cen_cli.reporting import console, tables

    listed = {"recipe": catalog.shipped(), "sweep": catalog.shipped_sweeps()}
    summaries = {kind: {name: catalog.summary(path) for name, path in paths.items()} for kind, paths in listed.items()}
    if json:
        console.print_json(
            [
                {"kind": kind, "name": name, "summary": summaries[kind][name], "path": str(path)}
                for kind, paths in listed.items()
                for name, path in paths.items()
            ]
        )
        return
    tables.show(console.out(), [tables.catalog_table(kind, names) for kind, names in summaries.items()])
    console.note("next: cen recipes show rooms, cen train rooms, or cen sweep table7-rooms --dry-run")


def show(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    resolved: Annotated[bool, flag("--resolved", "Print every key that a run would use.")] = False,
    json: options.Json = False,
) -> None:
    """Print a recipe, as written or resolved.

    Resolved means every key that a run would use, with defaults filled in and `extends` and --set applied. --set and
    --json print the resolved recipe, too.

    Examples:
        cen recipes show rooms
        cen recipes show rooms --resolved
        cen recipes show rooms --set train.epochs=5 --json
    """
    import tomllib

    from cen_cli.recipe import catalog, dump_toml, load_recipe
    from cen_cli.reporting import console

    text = dump_toml(load_recipe(recipe, overrides or ()))
    if json:
        console.print_json(tomllib.loads(text))
    elif resolved or overrides:
        console.print_text(text)
    else:
        console.print_text(catalog.find(recipe).read_text(encoding="utf-8"))


def copy(recipe: options.RecipeName, to: Destination = Path(), json: options.Json = False) -> None:
    """Copy a recipe into a file of your own.

    An existing file is never overwritten. The copy is used by its path: cen train FILE.

    Examples:
        cen recipes copy rooms
        cen recipes copy rooms my-rooms.toml
    """
    from cen_cli.files import check_free, write_bytes
    from cen_cli.recipe import catalog
    from cen_cli.reporting import console

    source = catalog.find(recipe)
    target = to / source.name if to.is_dir() else to
    elsewhere = f"give another name: {command('recipes', 'copy', recipe, f'my-{source.name}')}"
    check_free(target, elsewhere)
    write_bytes(target, source.read_bytes(), hint=elsewhere)
    if json:
        console.print_json({"path": str(target)})
        return
    console.print_text(str(target))
    console.note(f"next: {command('train', target)}")
