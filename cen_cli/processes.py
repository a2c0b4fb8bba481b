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


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """What is started within ignores Ctrl-C, which a terminal sends to every process, until it says otherwise.

    For children that import for seconds before they can save; whoever started them ends them.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    """In a child: be stopped by SIGTERM should the process that started this one disappear."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a child process"

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
