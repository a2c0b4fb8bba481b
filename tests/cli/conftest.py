"""Commands as a user runs them, in this process: what they printed and how they ended."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cen_cli.cli.app import main


@dataclasses.dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on stdout."""
        return json.loads(self.out)


Cen = Callable[..., Finished]


@pytest.fixture
def cen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cen:
    """Run `cen` with these words; `settings` become `--set`. Fails on another exit code and on a traceback."""
    monkeypatch.delenv("CEN_DATA", raising=False)

    def run(*words: object, settings: tuple[str, ...] = (), code: int = 0) -> Finished:
        capsys.readouterr()
        ended = main([*map(str, words), *(word for setting in settings for word in ("--set", setting))])
        captured = capsys.readouterr()
        assert ended == code, captured.err
        assert "Traceback" not in captured.err
        assert "internal error" not in captured.err
        return Finished(ended, captured.out, captured.err)

    return run


@pytest.fixture
def train(cen: Cen, tiny_recipe: Path) -> Cen:
    """Run `cen train` on the tiny recipe with these words, on the CPU."""

    def run(*words: object, settings: tuple[str, ...] = (), code: int = 0) -> Finished:
        return cen("train", tiny_recipe, "--device", "cpu", *words, settings=settings, code=code)

    return run
