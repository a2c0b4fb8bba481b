"""The API page says what the docstrings say, and the docstrings of public functions leave no argument out."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import cen_cli
from cen_cli import jobs, metrics

DOCS = Path(__file__).parents[1] / "docs"
GENERATOR = runpy.run_path(str(DOCS / "generate_api.py"))
FUNCTIONS = [getattr(cen_cli, name) for name in cen_cli.__all__] + [getattr(metrics, name) for name in metrics.__all__]


def test_page_is_current() -> None:
    assert (DOCS / "api.md").read_text() == GENERATOR["page"](), "run: python docs/generate_api.py"


def test_every_public_name_needs_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cen_cli, "__all__", [*cen_cli.__all__, "forgotten"])
    with pytest.raises(ValueError, match="forgotten"):
        GENERATOR["page"]()


@pytest.mark.parametrize("thing", [one for one in FUNCTIONS if callable(one)], ids=lambda thing: thing.__name__)
def test_docstring_names_every_argument(thing: Any) -> None:
    said = f"{thing.__doc__}{jobs.__doc__ if thing.__module__.startswith('cen_cli.jobs') else ''}"
    fields = inspect.get_annotations(thing) if inspect.isclass(thing) else {}
    arguments = [name for name in inspect.signature(thing).parameters if name not in fields]
    assert [name for name in arguments if not re.search(rf"`{name}\b|^ +{name}: ", said, flags=re.M)] == []


def test_docstring_becomes_markdown() -> None:
    def sample(x: int, *, how: str = "so") -> list[int]:
        """Take [M*B], where x < 1.

            a -> *b*

        Args:
            x: a number;
                continued.

        Returns:
            `M*B` numbers.
        """
        return [x, len(how)]

    assert GENERATOR["markdown"](sample.__doc__).split("\n\n") == [
        r"Take [M\*B], where x \< 1.",
        "    a -> *b*",
        "**Args**",
        "- `x`: a number; continued.",
        "**Returns**: `M*B` numbers.\n",
    ]
    assert GENERATOR["signature"]("sample", sample) == 'sample(x: int, *, how: str = "so") -> list[int]'
