"""Writes docs/recipes.md's tables from the schema, so that the page cannot say anything else than the code.

python docs/generate_recipes.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from cen_cli.recipe import kinds
from cen_cli.recipe.paths import dotted
from cen_cli.recipe.schema import Recipe
from cen_cli.recipe.switches import READ_ONLY_WITH
from cen_cli.recipe.table import Table
from cen_cli.recipe.wording import one_of, show_value

PAGE = Path(__file__).with_name("recipes.md")
BEGIN = "<!-- begin: written by `python docs/generate_recipes.py` -->"
END = "<!-- end -->"


def reference() -> str:
    """Every table and key of the schema as Markdown."""
    return "\n".join(_section(Recipe, ()))


def refreshed(page: str) -> str:
    """The page with the part between the two marks written anew. Raises ValueError where a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _section(table: type[Table], path: tuple[str, ...]) -> Iterator[str]:
    yield f"## {f'`[{_written(path)}]`' if path else 'Top level'}"
    yield ""
    yield f"{_one_line(table.__doc__ or '')}{_condition(path)}"
    yield ""
    keys = {name: field for name, field in table.model_fields.items() if _inner(field) is None}
    if keys:
        yield "| key | takes | default | meaning |"
        yield "|---|---|---|---|"
        yield from (_row((*path, name), name, field) for name, field in keys.items())
        yield ""
    for name, field in table.model_fields.items():
        named = kinds.tables_by_name(field.annotation)
        inner = _inner(field)
        if inner is not None:
            yield from _section(inner, (*path, name, "<name>") if named else (*path, name))


def _inner(field: FieldInfo) -> type[Table] | None:
    return kinds.table_of(field.annotation) or kinds.tables_by_name(field.annotation)


def _row(path: tuple[str, ...], name: str, field: FieldInfo) -> str:
    default = _default(field)
    meaning = _one_line(field.description or "") + _condition(path)
    return f"| `{name}` | {_cell(kinds.allowed(field))} | {default} | {_cell(meaning)} |"


def _default(field: FieldInfo) -> str:
    """What a key is where it is not written; one that the loader fills in says so in the schema ("absent")."""
    if isinstance(field.json_schema_extra, dict) and "absent" in field.json_schema_extra:
        return str(field.json_schema_extra["absent"])
    if field.is_required():
        return "required"
    value = kinds.plain(field.get_default())
    return "absent" if value is None else f"`{_cell(show_value(value))}`"


def _condition(path: tuple[str, ...]) -> str:
    read = [f"`{switch} = {one_of(needed)}`" for key, switch, needed in READ_ONLY_WITH if path == tuple(key.split("."))]
    return f" Read only with {' and '.join(read)}." if read else ""


def _written(path: tuple[str, ...]) -> str:
    return dotted(path).replace('"<name>"', "<name>")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
