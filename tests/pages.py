"""What is wrong with an HTML page that must need nothing beside it, found without a browser."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

from PIL import Image

VOID_ELEMENTS = {"meta", "link", "img", "br", "hr", "input"}
DATA_URI = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=]+)")


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.labels: list[str] = []
        self.problems: list[str] = []
        self.images = 0
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        self.labels += given.get("aria-labelledby", "").split()
        if tag == "script":
            self.problems.append("a script")
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            if name in given and not given[name].startswith(("data:", "#")):
                self.problems.append(f"{tag} refers to {given[name][:60]}")
        if given.get("href", "").startswith("#"):
            self.links.append(given["href"][1:])
        if tag == "img":
            self._check_image(given)
        if tag == "th" and given.get("scope") not in ("row", "col"):
            self.problems.append("a table header without a scope")

    def _check_image(self, given: dict[str, str]) -> None:
        self.images += 1
        if not given.get("alt"):
            self.problems.append("a picture without words")
        match = DATA_URI.fullmatch(given.get("src", ""))
        if match is None:
            self.problems.append(f"a picture that is not in the page: {given.get('src', '')[:60]}")
            return
        with Image.open(io.BytesIO(base64.b64decode(match[2], validate=True))) as image:
            image.load()
            if image.format != match[1].upper() or image.size != (int(given["width"]), int(given["height"])):
                self.problems.append(f"a picture said to be what it is not: {given['alt']}")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            if re.search(r"url\(|@import|https?:", data):
                self.problems.append("a style that loads something")
        else:
            self.text.append(data)


def check_page(html: str) -> tuple[list[str], str, int]:
    """Problems of the page, the text that it shows, and how many pictures it has."""
    checker = _Checker()
    checker.feed(html)
    checker.close()
    problems = checker.problems + [f"<{tag}> is never closed" for tag in checker.open]
    if len(set(checker.ids)) != len(checker.ids):
        problems.append("an id stands twice")
    problems += [f"nothing is called {name}" for name in (*checker.links, *checker.labels) if name not in checker.ids]
    if checker.headings.count("h1") != 1 or checker.headings[:1] != ["h1"]:
        problems.append("not one first heading")
    for needed in ("<!doctype html>", 'lang="en"', 'name="viewport"', "prefers-color-scheme: dark"):
        if needed not in html:
            problems.append(f"no {needed}")
    return problems, " ".join(" ".join(checker.text).split()), checker.images
