"""The command `cen`: its commands by name, and how every error becomes a few lines and an exit code.

Nothing heavy is imported here or at the head of a command's file, so that `cen --help` answers at once.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import cen_cli
from cen_cli.cli import (
    analyze,
    bench,
    compare,
    convert,
    data,
    evaluate,
    export,
    options,
    predict,
    recipes,
    report,
    sweep,
    train,
    translate,
)
from cen_cli.cli.options import flag
from cen_cli.errors import CenError, Interrupted, UsageError

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_ClickError = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Base of the parser's errors; Typer has carried its own copy of click since 0.26, so it is not imported by name."""

_NO_MEMORY = (
    "out of memory",
    "t allocate memory",
    "annot allocate memory",
    "failed to map segment",
    "Storage size calculation overflowed",
)
"""How torch, the C library and its loader of programs say that memory is short."""


def _group(callback: Callable[..., None]) -> typer.Typer:
    """A group of commands whose help is its callback's docstring."""
    group = typer.Typer(context_settings=_SETTINGS, rich_markup_mode=None, pretty_exceptions_enable=False)
    group.callback(**_help(callback), invoke_without_command=True)(callback)
    return group


def _add(group: typer.Typer, name: str, command: Callable[..., None]) -> None:
    group.command(name, **_help(command), context_settings=_SETTINGS)(command)


def _help(function: Callable[..., None]) -> dict[str, Any]:
    """The docstring up to its examples, and the examples, which end the help (a line of \\b keeps them unwrapped).

    Its first line stands in the list of commands, where typer would cut it.
    """
    about, heading, examples = (inspect.getdoc(function) or "").partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    epilog = "\n".join(["\b", heading, *(f"  {line}" for line in lines)])
    return {"help": about.rstrip(), "short_help": about.partition("\n")[0], "epilog": epilog}


def _help_alone(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _cen(
    context: typer.Context,
    version: Annotated[bool, flag("--version", "Print the version and exit.")] = False,
    debug: Annotated[bool, flag("--debug", "Show the traceback of an error.")] = False,  # noqa: ARG001 (see `main`)
) -> None:
    """Channel Exchanging Networks: train, evaluate and analyse networks that fuse aligned image modalities.

    Examples:
        cen recipes ls
        cen train rooms
        cen eval runs/rooms-261123-101500
        cen analyze-gammas runs/rooms-261123-101500
    """
    if version:
        typer.echo(f"cen {cen_cli.__version__}")
        raise typer.Exit
    if context.invoked_subcommand != "train" and "TORCHELASTIC_RUN_ID" in os.environ:
        from cen_cli import ranks

        if ranks.launched():
            hint = "only training takes several processes: start it without torchrun"
            raise ranks.common(UsageError(f"cen {context.invoked_subcommand} under torchrun", hint=hint))
    _help_alone(context)


def _recipes(context: typer.Context) -> None:
    """List, print and copy recipes.

    Examples:
        cen recipes ls
        cen recipes show rooms
    """
    _help_alone(context)


def _data(context: typer.Context) -> None:
    """Check data, draft a recipe, write data sets as files.

    Examples:
        cen data init orchard
        cen data check nyudv2 --data-root /data/nyudv2
        cen data rooms rooms --size 96
        cen data prepare nyudv2 nyu_depth_v2_labeled.mat nyudv2
    """
    _help_alone(context)


app = _group(_cen)
_add(app, "train", train.train)
_add(app, "eval", evaluate.evaluate)
_add(app, "analyze-gammas", analyze.analyze_gammas)
_add(app, "exchange-stats", analyze.exchange_stats)
_add(app, "report", report.report)
_add(app, "bench", bench.bench)
_add(app, "predict", predict.predict)
_add(app, "translate", translate.translate)
_add(app, "compare", compare.compare)
_add(app, "sweep", sweep.sweep)
_add(app, "convert", convert.convert)
_add(app, "compact", export.compact)
_add(app, "export", export.export)

recipes_app = _group(_recipes)
_add(recipes_app, "ls", recipes.ls)
_add(recipes_app, "show", recipes.show)
_add(recipes_app, "copy", recipes.copy)
app.add_typer(recipes_app, name="recipes")

data_app = _group(_data)
_add(data_app, "check", data.check)
_add(data_app, "init", data.init)
_add(data_app, "rooms", data.rooms)
_add(data_app, "prepare", data.prepare)
app.add_typer(data_app, name="data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cen` with the arguments (the process's own by default) and return the exit code.

    0: done. 1: the work failed. 2: the request was wrong. 130: interrupted from the keyboard.
    """
    words, debug = _split_debug(list(sys.argv[1:] if arguments is None else arguments))
    try:
        code = _run(options.spread_inputs(words))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _silenced()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except Exception as error:
        if debug:
            raise
        try:
            return _report(error)
        except OSError:  # stderr is closed or full, too
            return _silenced()


def _run(words: list[str]) -> int:
    result = typer.main.get_command(app).main(args=words, prog_name="cen", standalone_mode=False)
    if result == 130:
        return _interrupted()
    return result if isinstance(result, int) else 0


def _split_debug(words: list[str]) -> tuple[list[str], bool]:
    """Take `--debug` out of the arguments, wherever it stands before a `--`."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return kept + words[end:], len(kept) < end


def _report(error: Exception) -> int:
    """Say what went wrong in a few lines on stderr; the exit code that follows from it."""
    from cen_cli.reporting.console import print_error

    if isinstance(error, CenError):
        kind = "interrupted" if isinstance(error, Interrupted) else "error"
        if not error.said_elsewhere:
            print_error(error.message, error.hint, kind=kind)
        return error.exit_code
    if isinstance(error, _ClickError):
        return _report_request(error)
    if told := _of_the_machine(error):
        print_error(*told)
        return 1
    text = " ".join(f"{type(error).__name__}: {error}".split())
    print_error(f"{text} (run again with --debug for the traceback)", kind="internal error")
    return 1


def _of_the_machine(error: Exception) -> tuple[str, str] | None:
    """What the system refused, and what to do; None for any other error."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        widths = "model.width, unet.filters or gan.filters"
        return "out of memory", f"lower train.batch, eval.batch, data.crop, data.workers, {widths}"
    if isinstance(error, RecursionError):
        return "tables or lists are nested too deeply to be read", "write them flatter"
    if isinstance(error, OSError) and error.errno is not None:
        place = error.filename or "standard output"
        return f"{place}: {error.strerror}", "choose another path, or free some space"
    return None


def _report_request(error: Any) -> int:
    """An error of the parser: an unknown or missing command, option or argument."""
    from cen_cli.reporting.console import print_error

    context = error.ctx
    command = context.command_path if context else "cen"
    message = error.format_message().replace(": Value error, ", ": ")  # what typer puts before a wrong choice
    print_error(message, _recipe_key_hint(error) or f"{command} --help")
    return 2


def _recipe_key_hint(error: Any) -> str | None:
    """`--epochs` is no option, but `--set train.epochs=...` is what was meant; not so `--input`, for `--inputs`."""
    name = getattr(error, "option_name", None)
    takes_set = error.ctx and any("--set" in parameter.opts for parameter in error.ctx.command.params)
    if not name or not takes_set or any(each.startswith(name) for each in getattr(error, "possibilities", None) or ()):
        return None
    from cen_cli.recipe.problems import keys_named

    keys = keys_named(name.lstrip("-").replace("-", "_"))
    return f"a key of the recipe is set with --set {keys[0]}=VALUE" if keys else None


def _interrupted() -> int:
    from cen_cli.reporting.console import note

    note("interrupted")
    return 130


def _silenced() -> int:
    """Point the streams at nothing, so that the interpreter's last flush does not complain; the exit code."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nothing, number)
    return 1
