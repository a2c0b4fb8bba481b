"""Processes that start afresh and never run the caller's script again, so that a script needs no main guard.

None outlives the process that started it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext
from types import ModuleType


@contextmanager
def fresh_processes() -> Iterator[SpawnContext]:
    """The context to start them from, within the block alone; what they run must stand in an importable module.

    A spawned process first imports the parent's `__main__`, to find what was pickled from there. Where that is a script
    without `if __name__ == "__main__":`, it would start all over again: meanwhile an empty module stands in its place.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield multiprocessing.get_context("spawn")
    finally:
        sys.modules["__main__"] = script


def end_with_parent() -> None:
    """In a child: be stopped by SIGTERM should the process that started this one disappear."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a child process"

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
