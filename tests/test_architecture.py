"""The house rules that no linter knows: who may import whom, what stays in which room, what the command line loads."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import distribution
from pathlib import Path

import pytest

import cen_cli

PACKAGE = Path(__file__).parents[1] / "cen_cli"

_FLOOR = {"errors", "files", "wording"}
_GROUND = {"results", *_FLOOR}
_PARTS = {"models", "data", "metrics", "processes", "ranks", *_GROUND}
_WORK = {"runs", "scoring", *_PARTS}
_ALL = {"builders", "recipe", "engine", "analysis", *_WORK}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "wording": set(),
    "processes": set(),
    "files": {"errors"},
    "ranks": {"errors"},
    "results": set(),
    "recipe": _GROUND,
    "models": {"ranks", *_GROUND},
    "data": {"processes", *_GROUND},
    "metrics": _GROUND,
    "runs": _PARTS,
    "scoring": _PARTS,
    "engine": _WORK,
    "analysis": {"engine", *_WORK},
    "reporting": _GROUND,
    "builders": _ALL - {"builders"},
    "jobs": {"reporting", *_ALL},
    "cli": {"jobs", "reporting", *_ALL},
    "__init__": {"models", "metrics", "analysis", "builders", "jobs"},
    "__main__": {"cli"},
}
"""Room -> rooms that it may import from (its own goes without saying)."""

VERSION = ("cen_cli", "cen_cli.__version__")
"""Open to all: the package's head imports nothing."""

INNER = "cen_cli.data.rooms"
"""The renderer: others import what its `__init__` offers, and climb no deeper."""

ONLY_IN = {"rich": "reporting", "matplotlib": "reporting", "typer": "cli"}
NO_RECIPE_IN = {"models", "data", "metrics", "runs", "scoring", "engine", "analysis", "reporting"}
MOST_LINES = 450


def room_of(module: str) -> str:
    """The room of a module: cen_cli.data.rooms.scene is in data; the package itself is `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Modules imported anywhere in the source: at its head, in functions, under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """What the source of this module does against the rules, in words."""
    tree = ast.parse(source)
    room = room_of(module)
    found = []
    for imported in imported_modules(tree):
        top = imported.split(".")[0]
        if top == "cen_cli" and not _may_import(room, imported):
            found.append(f"{module} imports {imported}: {room} may not import {room_of(imported)}")
        if _climbs_into(module, imported):
            found.append(f"{module} imports {imported}: what is inside {INNER} is its own")
        if ONLY_IN.get(top, room) != room:
            found.append(f"{module} imports {top}, which belongs in {ONLY_IN[top]}")
        if top in ("torch", "torchvision") and room in ("recipe", "results", "errors", "reporting"):
            found.append(f"{module} imports {top}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found.append(f"{module}:{node.lineno} calls print")
        if isinstance(node, ast.arg) and room in NO_RECIPE_IN and _is_recipe(node.annotation):
            found.append(f"{module}:{node.lineno} takes a Recipe: builders hand over plain arguments")
    if module.endswith("utils"):
        found.append(f"{module}: no module is named utils; name it after what it holds")
    if source.count("\n") > MOST_LINES:
        found.append(f"{module} has more than {MOST_LINES} lines")
    return found


def _is_recipe(annotation: ast.expr | None) -> bool:
    names = ast.walk(annotation) if annotation else ()
    return any(isinstance(part, ast.Name) and part.id == "Recipe" for part in names)


def _may_import(room: str, imported: str) -> bool:
    other = room_of(imported)
    return other == room or other in ALLOWED[room] or imported in VERSION


def _climbs_into(module: str, imported: str) -> bool:
    file = imported.removeprefix(f"{INNER}.").split(".")[0]
    deep = imported.startswith(f"{INNER}.") and (PACKAGE / "data" / "rooms" / f"{file}.py").is_file()
    return deep and not f"{module}.".startswith(f"{INNER}.")


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """One import circle among modules, from a module back to itself; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def import_graph() -> dict[str, set[str]]:
    """Every module -> the modules that it imports, in functions too; all but the package's lazy head."""
    modules = {module: path for module, path in sources() if module != "cen_cli"}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        imported = imported_modules(ast.parse(path.read_text(encoding="utf-8")))
        found = {name if name in modules else name.rpartition(".")[0] for name in imported}
        graph[module] = {name for name in found if name in modules and name != module}
    return graph


def sources() -> Iterator[tuple[str, Path]]:
    """Every module of the package by its dotted name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@pytest.mark.parametrize(("module", "path"), [pytest.param(*pair, id=pair[0]) for pair in sources()])
def test_module_keeps_the_rules(module: str, path: Path) -> None:
    assert room_of(module) in ALLOWED, "a new room needs a line in ALLOWED"
    assert violations(module, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("cen_cli.models.x", "from cen_cli.data.sample import Batch", "models may not import data"),
        ("cen_cli.models.x", "def f():\n    import cen_cli.engine.fit", "models may not import engine"),
        (
            "cen_cli.engine.x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cen_cli.recipe import Recipe",
            "engine may not import recipe",
        ),
        ("cen_cli.recipe.x", "from cen_cli import models", "recipe may not import models"),
        ("cen_cli.errors", "from cen_cli import to_cen", "errors may not import to_cen"),
        ("cen_cli.engine.x", "import cen_cli.analysis", "engine may not import analysis"),
        ("cen_cli.scoring.x", "from cen_cli.engine.fit import Fit", "scoring may not import engine"),
        ("cen_cli.builders", "from cen_cli.reporting import tables", "builders may not import reporting"),
        ("cen_cli.builders.x", "from cen_cli.jobs.train import train", "builders may not import jobs"),
        ("cen_cli.jobs.x", "from cen_cli.cli import options", "jobs may not import cli"),
        ("cen_cli.jobs.x", "import rich", "rich, which belongs in reporting"),
        ("cen_cli.data.sets.x", "from cen_cli.data.rooms.palette import PALETTE", "is its own"),
        ("cen_cli.recipe.x", "import torch.nn as nn", "imports torch"),
        ("cen_cli.cli.x", "def f():\n    from rich.table import Table", "rich, which belongs in reporting"),
        ("cen_cli.analysis.x", "import matplotlib.pyplot as plt", "matplotlib, which belongs in reporting"),
        ("cen_cli.reporting.x", "import typer", "typer, which belongs in cli"),
        ("cen_cli.data.x", "def f():\n    print('done')", "x:2 calls print"),
        ("cen_cli.engine.x", "def f(recipe: 'int | None', other: list[Recipe]): ...", "x:1 takes a Recipe"),
        ("cen_cli.models.utils", "", "no module is named utils"),
        ("cen_cli.models.x", "\n" * 451, "more than 450 lines"),
    ],
)
def test_checker_finds_what_is_against_the_rules(module: str, source: str, complaint: str) -> None:
    (found,) = violations(module, source)
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cen_cli.analysis.x", "from cen_cli.runs.checkpoint import read_model_file"),
        ("cen_cli.cli.x", "from cen_cli import builders, errors\nimport typer"),
        ("cen_cli.engine.x", "import cen_cli\nfrom cen_cli import __version__"),
        ("cen_cli.data.rooms.x", "from cen_cli.data.sample import Batch\nimport torch"),
        ("cen_cli.reporting.x", "from rich.table import Table\nfrom cen_cli.results import Evaluation"),
    ],
)
def test_checker_lets_pass_what_keeps_them(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_no_import_goes_in_a_circle() -> None:
    graph = import_graph()
    assert circles(graph) == []
    below, above = "cen_cli.errors", "cen_cli.cli.app"
    assert circles({**graph, below: {above}})[0] in graph, "a circle is found"


def test_diagram_of_rooms_says_what_is_allowed() -> None:
    """An arrow stands for everything below it, so that few are enough."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    arrows = re.findall(r"^  (\w+) --> (\w+)$", text, flags=re.MULTILINE)
    below: dict[str, set[str]] = {room: set() for room in ALLOWED if not room.startswith("__")}
    for _ in below:  # as many rounds as the longest way down may take
        for room, other in arrows:
            below[room] |= {other, *below[other]}
    assert below == {room: rooms for room, rooms in ALLOWED.items() if not room.startswith("__")}


@pytest.mark.parametrize("module", ["cen_cli", "cen_cli.cli.app", "cen_cli.recipe", "cen_cli.results"])
def test_import_loads_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'numpy', 'matplotlib', 'PIL', 'skimage'}"
    code = f"import sys, {module}; sys.stdout.write(' '.join({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_command_line_loads_no_rich_before_it_prints() -> None:
    code = "import sys, cen_cli.cli.app; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tests_run_on_what_is_installed() -> None:
    """A wheel may lack a file that the checkout has; an editable install is the checkout."""
    installed = distribution("cen-cli")
    editable = json.loads(installed.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable", False)
    assert editable or Path(cen_cli.__file__).samefile(str(installed.locate_file("cen_cli/__init__.py")))


def test_every_test_file_is_collected(pytestconfig: pytest.Config) -> None:
    """Pytest passes over folders by their names (`build`, `dist`, `venv`): no test may lie in one."""
    tests, skipped = Path(__file__).parent, pytestconfig.getini("norecursedirs")
    lost = [
        str(path.relative_to(tests))
        for path in tests.rglob("test_*.py")
        if any(fnmatch(folder, pattern) for folder in path.relative_to(tests).parts[:-1] for pattern in skipped)
    ]
    assert lost == []
