"""A page in a real browser, Qt WebEngine (Chromium) without a screen: what it loaded, logged, and how wide it is.

    python -m tests.browser PAGE [--scheme dark] [--pictures FOLDER]

Prints one JSON document: a list with an entry for each width. A process of its own, since a browser and its threads do
not belong in that of the tests, and since a browser has one colour scheme from its start.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")  # as root there is none

from PySide6.QtCore import QEventLoop, QTimer, QUrl
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInfo, QWebEngineUrlRequestInterceptor
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication

SCHEMES = {"dark": 0, "light": 1}
"""Chromium's numbers for what prefers-color-scheme says."""
WIDTHS = {"phone": 390, "desktop": 1280}
PATIENCE = 30_000
"""Milliseconds."""

FINDINGS = """
JSON.stringify({
  broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.alt),
  images: document.images.length,
  inner: window.innerWidth,
  scrolled: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
  height: document.documentElement.scrollHeight,
  dark: matchMedia('(prefers-color-scheme: dark)').matches,
  ground: getComputedStyle(document.body).backgroundColor,
})
"""


class Recorder(QWebEngineUrlRequestInterceptor):
    """Remembers every address that the page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:  # noqa: N802 (Qt's name)
        self.addresses.append(info.requestUrl().toString()[:200])


class Loud(QWebEnginePage):
    """Remembers what the page's console says."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def javaScriptConsoleMessage(self, level: Any, message: str, line: int, source: str) -> None:  # noqa: N802
        self.messages.append(f"{message} ({source}:{line})")


def look(page_file: Path, width: int, picture: Path | None) -> dict[str, Any]:
    """Open the page and say what was found."""
    page, recorder = Loud(), Recorder()
    page.setUrlRequestInterceptor(recorder)
    view = QWebEngineView()
    view.setPage(page)
    view.resize(width, 900)
    view.show()
    loaded = _wait(page.loadFinished, lambda: page.load(QUrl.fromLocalFile(str(page_file.resolve()))))
    _pause(300)
    found = json.loads(_run(page, FINDINGS))
    if picture is not None:
        view.resize(width, min(found["height"], 12_000))
        _pause(1500)
        picture.parent.mkdir(parents=True, exist_ok=True)
        view.grab().save(str(picture))
    view.setPage(None)
    return {**found, "loaded": loaded, "console": page.messages, "requests": recorder.addresses}


def _wait(signal: Any, start: Any) -> Any:
    """Start something and return what the signal then says; None where it says nothing in time."""
    answers: list[Any] = []
    loop = QEventLoop()

    def answered(*values: Any) -> None:
        answers.append(values[0] if values else None)
        loop.quit()

    signal.connect(answered)
    QTimer.singleShot(PATIENCE, loop.quit)
    start()
    loop.exec()
    return answers[0] if answers else None


def _run(page: QWebEnginePage, script: str) -> str:
    answers: list[str] = []
    loop = QEventLoop()

    def answered(value: str) -> None:
        answers.append(value)
        loop.quit()

    QTimer.singleShot(PATIENCE, loop.quit)
    page.runJavaScript(script, answered)
    loop.exec()
    return answers[0]


def _pause(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def main() -> None:
    """Look at the page in every width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--pictures", type=Path, default=None, help="folder for a picture of each look")
    parser.add_argument("--scheme", choices=SCHEMES, default="light")
    given = parser.parse_args()
    os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = f"--blink-settings=preferredColorScheme={SCHEMES[given.scheme]}"
    application = QApplication(sys.argv[:1])
    found = [
        {"name": name, **look(given.page, width, given.pictures and given.pictures / f"{name}-{given.scheme}.png")}
        for name, width in WIDTHS.items()
    ]
    sys.stdout.write(json.dumps(found, indent=1))
    sys.stdout.flush()
    application.quit()
    os._exit(0)  # Qt's own end may wait for Chromium's threads


if __name__ == "__main__":
    main()
