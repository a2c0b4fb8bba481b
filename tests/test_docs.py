"""The pages keep their word: links lead somewhere, blocks of Python run, command lines parse, names exist."""

from __future__ import annotations

import pydoc
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from cen_cli.cli.app import app
from cen_cli.cli.options import spread_inputs
from cen_cli.recipe.catalog import find, shipped
from cen_cli.recipe.load import load_recipe
from cen_cli.recipe.problems import keys_named

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
COMMANDS_WITH_RECIPE = (["train"], ["recipes", "show"], ["recipes", "copy"])
TABLES = "data|model|sharing|exchange|optimizer|schedule|train|eval"
PLACEHOLDER = re.compile(r"[A-Z]+")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fences(text: str, language: str | None = None) -> list[str]:
    """Contents of fenced blocks, of one language or of all."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in blocks if language in (None, name)]


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(page: Path) -> list[str]:
    """Lines that begin with `cen ` in fenced or indented blocks."""
    text = page.read_text()
    lines = "\n".join(fences(text)).splitlines()
    lines += re.findall(r"^ {4}(cen .*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), flags=re.M)
    return [line.removeprefix("$ ") for line in lines if line.removeprefix("$ ").startswith("cen ")]


ALL_COMMANDS = [pytest.param(line, id=f"{relative(page)}: {line}") for page in PAGES for line in command_lines(page)]


def words_of(line: str) -> list[str]:
    return spread_inputs([word for word in shlex.split(line, comments=True)[1:] if word != "--debug"])


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{relative(page)}: {target}"
        assert not anchor or anchor in anchors(file), f"{relative(page)}: {target} has no such heading"


def test_pictures_are_small_and_shown():
    shown = "\n".join(page.read_text() for page in PAGES)
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < 200_000, picture.name
        assert f"images/{picture.name})" in shown, f"no page shows {picture.name}"


def test_the_index_lists_every_page():
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text()))
    assert listed == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


RUNNABLE = [ROOT / "README.md", DOCS / "quickstart.md", DOCS / "own-network.md"]


@pytest.mark.parametrize("page", RUNNABLE, ids=relative)
def test_python_blocks_run(page, tiny_run, tmp_path, monkeypatch):
    shutil.copytree(tiny_run, tmp_path / "runs" / "quick")
    monkeypatch.chdir(tmp_path)
    blocks = fences(page.read_text(), "python")
    assert blocks
    names: dict[str, object] = {"__name__": "block"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"{relative(page)}, block {number}", "exec"), names)


def test_commands_are_shown():
    assert len(ALL_COMMANDS) > 20


def command_of(words: list[str]) -> tuple[str, Any, list[str]]:
    """The command that the words begin with: its path, itself, and the words after it."""
    command, path = typer.main.get_command(app), "cen"
    while words and words[0] in getattr(command, "commands", {}):
        path, command, words = f"{path} {words[0]}", command.commands[words[0]], words[1:]
    return path, command, words


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_command_lines_parse(line):
    path, command, words = command_of(words_of(line))
    if words in (["--help"], ["--version"]):
        return
    assert words or not hasattr(command, "commands"), f"{path} alone does nothing"
    assert not hasattr(command, "commands"), f"{path} has no command {words[0]}"
    command.make_context(path, words)  # raises for an option that does not exist, a value that does not fit


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_options_in_running_text_exist(page):
    for code in re.findall(r"`(cen [^`]*)`", page.read_text()):
        _, command, words = command_of(" ".join(code.split()).split(" ")[1:])
        options = {"--help", *(name for option in command.params for name in option.opts)}
        unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
        assert unknown == [], f"{relative(page)}: {code}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_files_and_names_of_the_package_exist(page):
    text = page.read_text()
    for file in re.findall(r"(?<![\w/.])((?:cen_cli|tests|benchmarks|examples|docs)/[\w/-]*(?:\.\w+)?)", text):
        assert (ROOT / file).exists(), f"{relative(page)}: {file}"
    for name in set(re.findall(r"\bcen_cli(?:\.\w+)+", text)):
        assert pydoc.locate(name) is not None, f"{relative(page)}: {name}"


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_recipes_of_command_lines_exist_and_take_the_overrides(line):
    words = words_of(line)
    begin = next((start for start in COMMANDS_WITH_RECIPE if words[: len(start)] == start), None)
    name = words[len(begin)] if begin and len(words) > len(begin) else "-"
    if name.startswith(("-", "my-")) or PLACEHOLDER.fullmatch(name):
        return
    find(name)
    overrides = [value for option, value in pairwise(words) if option == "--set"]
    load_recipe(name, [text for text in overrides if "TABLE" not in text and "table.key" not in text])


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_recipes_that_are_named_exist(page):
    text = page.read_text()
    for path in re.findall(r"\brecipes/([\w-]+)\.toml", text):
        assert path in shipped(), f"{relative(page)}: recipes/{path}.toml"
    for name in re.findall(r"recipes? `([\w-]+)`", text):
        assert name in shipped(), f"{relative(page)}: recipe {name}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_keys_of_recipes_that_are_named_exist(page):
    for key in re.findall(rf"`({TABLES})\.(?!safetensors)([a-z_]+)(?: = [^`]*)?`", page.read_text()):
        assert ".".join(key) in keys_named(key[1]), f"{relative(page)}: {'.'.join(key)}"


def test_code_named_in_the_method_page_exists():
    rows = re.findall(
        r"\]\(\.\./(cen_cli/[\w/]+\.py)\): (.+?) \|$", (DOCS / "method.md").read_text(), flags=re.MULTILINE
    )
    assert rows
    for file, names in rows:
        source = (ROOT / file).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(class|def) {name}\b|^{name}\b.* = ", source, flags=re.MULTILINE), f"{file}: {name}"
