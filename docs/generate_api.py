"""Writes docs/api.md from the signatures and docstrings of the public names, so that the page cannot say anything else.

python docs/generate_api.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import cen_cli
from cen_cli import errors, jobs, metrics, results

PAGE = Path(__file__).with_name("api.md")
WIDTH = 120
HEAD = """\
# Python API

<!-- written by `python docs/generate_api.py` from the docstrings: change those, and run it again -->

Every name of `cen_cli.__all__`, the scores in `cen_cli.metrics`, and the records and errors that they hand out. All are
imported on first use, so `import cen_cli` alone loads no torch; `cen_cli.__version__` is the version. M is the number
of modalities, B the batch, C channels, K classes or channels of the output, H and W height and width. P is the paper, S
its supplement; other words are in the [glossary](glossary.md).
"""
SECTIONS = {
    "Commands as functions": "train resume evaluate predict predict_views translate compare sweep analyze report",
    "Trained networks": "load LoadedNetwork",
    "Networks of your own": "to_cen ModalOutput exchange_layers sparsity_penalty health set_frozen_statistics "
    "set_synchronised set_norm_statistics active_dropout",
    "Layers": "exchange_channels ChannelExchange ModalBatchNorm2d ModalInstanceNorm2d PrivateCopies PrivateConv2d "
    "PrivateConvTranspose2d",
}
ELSEWHERE = {"__version__", "errors", "metrics", "results"}
"""Public names that have no entry of their own."""


def page() -> str:
    """The whole page. Raises ValueError where a public name stands in no section."""
    named = {name for names in SECTIONS.values() for name in names.split()}
    if named != set(cen_cli.__all__) - ELSEWHERE:
        raise ValueError(f"SECTIONS and cen_cli.__all__ differ in {named ^ (set(cen_cli.__all__) - ELSEWHERE)}")
    parts = [HEAD]
    for heading, names in SECTIONS.items():
        intro = markdown(jobs.__doc__ or "") if heading == "Commands as functions" else ""
        parts += [f"## {heading}\n", intro, *(_entry(name, getattr(cen_cli, name)) for name in names.split())]
    parts += ["## Scores\n", *(_entry(f"metrics.{name}", getattr(metrics, name)) for name in metrics.__all__)]
    parts += ["## Records\n", "Of `cen_cli.results`: plain values, frozen; `as_json(record)` makes JSON of one.\n"]
    parts += [_entry(record.__name__, record) for record in _records()]
    parts += ["## Errors\n", f"{markdown(errors.__doc__ or '')}\n", *(_error(error) for error in _errors())]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def markdown(doc: str) -> str:
    """A docstring as Markdown: lists of `name: text` below a line such as `Args:`, indented blocks as they are."""
    blocks = []
    for block in re.split(r"\n\n(?=\S)", inspect.cleandoc(doc)):
        head, _, rest = block.partition("\n")
        if head.endswith(":") and rest.startswith("    "):
            blocks.append(f"**{head[:-1]}**{_items(textwrap.dedent(rest))}")
        else:
            blocks.append(_plain(block))
    return "\n\n".join(blocks) + "\n"


def _plain(block: str) -> str:
    """A paragraph; what is indented below it stays as it is."""
    text, gap, literal = block.partition("\n\n    ")
    return _escaped(text) + gap + literal


def _items(text: str) -> str:
    """Lines `name: text`, continued by indented ones, as a list; other text as a paragraph."""
    items = [" ".join(item.split()) for item in re.split(r"\n(?=\S)", text)]
    if not all(re.match(r"\w+: ", item) for item in items):
        return f": {_escaped(text)}"
    return "\n\n" + "\n".join(_bullet(name, said) for name, _, said in (item.partition(": ") for item in items))


def _bullet(name: str, said: str) -> str:
    line = f"- `{name}`{': ' if said else ''}{_escaped(said)}"
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _escaped(text: str) -> str:
    """Stars and angles outside of code, which would be markup."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([*<])", r"\\\1", piece) for piece in pieces)


def _entry(name: str, thing: Any) -> str:
    if name != thing.__name__ and not name.endswith(f".{thing.__name__}"):
        return f"### {name}\n\nAnother name of `{thing.__name__}`.\n"
    made_of_fields = dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")
    call = "" if made_of_fields else f"```python\n{signature(name, thing)}\n```\n\n"
    members = [*(_fields(thing) if made_of_fields else ()), *(_members(thing) if inspect.isclass(thing) else ())]
    return f"### {name}\n\n{call}{markdown(thing.__doc__ or '')}\n" + "\n".join(members) + "\n"


def signature(name: str, function: Any) -> str:
    """How it is called, with the types and defaults of the source; one argument a line where it is long."""
    found = inspect.signature(function)
    parts, keywords = list[str](), False
    for parameter in (one for one in found.parameters.values() if one.name not in ("self", "cls")):
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            parts, keywords = [*parts, "*"], True
        default = parameter.default if parameter.default is parameter.empty else _Text(_default(parameter.default))
        parts.append(str(parameter.replace(annotation=_Text(parameter.annotation), default=default)))
    end = "" if inspect.isclass(function) else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(parts)}){end}"
    return line if len(line) <= WIDTH else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


class _Text(str):
    """Shown without quotes where a signature is printed."""

    def __repr__(self) -> str:
        return str(self)


def _default(value: Any) -> str:
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if hasattr(value, "__name__"):
        return str(value.__name__)
    return repr(value).replace("'", '"') if type(value).__module__ == "builtins" else f"{type(value).__name__}()"


def _fields(record: type) -> Iterator[str]:
    """Fields with their types, and what stands below them in the source."""
    for base in reversed(record.__mro__):
        own = inspect.get_annotations(base) if base.__module__.startswith("cen_cli") else {}
        said = _attribute_docs(base) if own else {}
        for name, kind in own.items():
            if not str(getattr(kind, "__forward_arg__", kind)).startswith("ClassVar"):
                yield _bullet(f"{name}: {getattr(kind, '__forward_arg__', kind)}", said.get(name, ""))


def _attribute_docs(record: type) -> dict[str, str]:
    """The texts that stand below the fields of a class, which Python itself does not keep."""
    (definition,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)
    body = definition.body
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _members(thing: type) -> Iterator[str]:
    """Its public methods and properties, in the order of the source."""
    for name, member in vars(thing).items():
        inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(inner) or name == "extra_repr":
            continue
        call = name if isinstance(member, property) else signature(name, inner)
        yield _bullet(" ".join(call.split()), " ".join((inner.__doc__ or "").split()))


def _records() -> list[type]:
    """The records that public functions return, and those that they are made of, by name."""
    known = {name: item for name, item in vars(results).items() if not inspect.ismodule(item)}
    functions = [getattr(cen_cli, name) for name in cen_cli.__all__ if name not in ELSEWHERE]
    functions += [getattr(metrics, name) for name in metrics.__all__]
    found: set[str] = set()
    todo = [inspect.signature(one).return_annotation for one in functions if inspect.isfunction(one)]
    while todo:
        for name in set(re.findall(r"\w+", str(todo.pop()))) & (known.keys() - found):
            found.add(name)
            record = dataclasses.is_dataclass(known[name])
            todo += [field.type for field in dataclasses.fields(known[name])] if record else [known[name]]
    return [known[name] for name in sorted(found) if dataclasses.is_dataclass(known[name])]


def _errors() -> list[type]:
    return [thing for thing in vars(errors).values() if inspect.isclass(thing) and issubclass(thing, errors.CenError)]


def _error(error: type) -> str:
    parent = f"{error.__bases__[0].__name__}" if error is not errors.CenError else "Exception"
    return _bullet(f"{error.__name__}({parent})", " ".join((error.__doc__ or "").split()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
