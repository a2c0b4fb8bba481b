"""The command `cen` as a user meets it: help, errors, exit codes, pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

import cen_cli
from cen_cli.cli import app, recipes
from cen_cli.errors import DataError, Interrupted
from tests.cli.conftest import Cen


def commands(here: Any, *words: str) -> Iterator[list[str]]:
    """The command itself, and every one below it, as words."""
    yield [*words]
    for name, below in getattr(here, "commands", {}).items():
        yield from commands(below, *words, name)


COMMANDS = list(commands(typer.main.get_command(app.app)))

Captured = pytest.CaptureFixture[str]


def refused(capsys: Captured, *arguments: str) -> list[str]:
    """Run what must be refused; the lines on stderr, with nothing on stdout."""
    assert app.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()


def command_of(words: Sequence[str]) -> Any:
    """The parser's command that the words name; words after it are left aside."""
    here: Any = typer.main.get_command(app.app)
    for word in words:
        here = getattr(here, "commands", {}).get(word, here)
    return here


def plain(example: str) -> str:
    """The command of an example, without the torchrun that starts it in several processes."""
    return re.sub(r"^torchrun .*-m cen_cli ", "cen ", example.strip())


# ---- help ----


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_in_runnable_examples(command: list[str], capsys: Captured) -> None:
    assert app.main([*command, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    head, _, examples = captured.out.partition("  Examples:\n")
    assert head.startswith(f"Usage: {' '.join(['cen', *command])} ")
    lines = [plain(line) for line in examples.splitlines()]
    assert lines
    assert all(line.startswith(" ".join(["cen", *command])) for line in lines)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_examples_name_only_commands_and_options_that_exist(command: list[str], capsys: Captured) -> None:
    for example in (command_of(command).epilog or "").splitlines()[2:]:
        words = plain(example).split()[1:]
        there = command_of(words)
        options = {name for parameter in there.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} - {"--"} <= options


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_is_explained(command: list[str]) -> None:
    for parameter in command_of(command).params:
        assert getattr(parameter, "help", ""), parameter.name


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_written_for_people(command: list[str], capsys: Captured) -> None:
    assert app.main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^ +--.*<(?:str|path|int range|int|float|list.*)>", out, flags=re.M) == [], "give it a metavar"
    assert re.findall(r"^  [\w-]+ .*\.\.\.$", out, flags=re.M) == [], "the first sentence is too long for the list"


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"], ["eval", "--help"], ["recipes", "ls"]])
def test_help_and_recipes_load_no_torch(command: list[str]) -> None:
    code = (
        "import sys; from cen_cli.cli.app import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 3 * bool({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cen_alone_and_its_groups_show_their_help(capsys: Captured) -> None:
    assert app.main([]) == 0
    assert "analyze-gammas" in capsys.readouterr().out
    assert app.main(["recipes"]) == 0
    assert "copy" in capsys.readouterr().out


def test_version(capsys: Captured) -> None:
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"cen {cen_cli.__version__}\n"


# ---- requests that are wrong ----


def test_unknown_command_suggests_the_nearest(capsys: Captured) -> None:
    assert refused(capsys, "trian", "rooms") == [
        "error: No such command 'trian'. Did you mean 'train'?",
        "hint: cen --help",
    ]


def test_unknown_option_points_at_the_help(capsys: Captured) -> None:
    first, second = refused(capsys, "recipes", "ls", "--zzz")
    assert first.startswith("error: No such option: --zzz")
    assert second == "hint: cen recipes ls --help"


def test_option_that_is_a_key_of_the_recipe_says_how_to_set_it(capsys: Captured) -> None:
    _, hint = refused(capsys, "train", "rooms", "--epochs", "3")
    assert hint == "hint: a key of the recipe is set with --set train.epochs=VALUE"
    _, hint = refused(capsys, "translate", "--input", "a.png")  # meant is --inputs, not data.inputs
    assert hint == "hint: cen translate --help"


@pytest.mark.parametrize(
    "arguments", [["recipes", "show"], ["recipes", "ls", "extra"], ["data", "rooms", "x", "--size", "3"]]
)
def test_missing_surplus_and_invalid_arguments_are_refused(arguments: list[str], capsys: Captured) -> None:
    error, hint = refused(capsys, *arguments)
    assert error.startswith("error: ")
    assert hint == f"hint: cen {' '.join(arguments[:2])} --help"


def test_unknown_recipe_suggests_the_nearest(capsys: Captured) -> None:
    error, hint = refused(capsys, "train", "romms")
    assert error == "error: no recipe 'romms': neither a file nor a shipped recipe"
    assert hint.startswith("hint: did you mean 'rooms'")


def test_every_problem_of_a_recipe_is_on_a_line_of_its_own(capsys: Captured) -> None:
    settings = ["--set", "train.epochs=_[bold]", "--set", "model.fusion=_[/red]"]
    assert refused(capsys, "recipes", "show", "rooms", *settings)[:3] == [
        "error: rooms: 2 problems",
        '  model.fusion = "_[/red]": "exchange", "none", "concat", "average", "align" or "self-attention" '
        "[from an option]",
        '  train.epochs = "_[bold]": a whole number >= 1 [from an option]',
    ]


def test_error_beside_json_goes_to_stderr_only(capsys: Captured) -> None:
    assert refused(capsys, "recipes", "show", "romms", "--json")[0].startswith("error: no recipe 'romms'")


# ---- work that fails ----


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `cen recipes ls` raise the error."""

    def fail() -> None:
        raise error

    monkeypatch.setattr("cen_cli.recipe.catalog.shipped", fail)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataError("a.png: empty", hint="copy it [again]"), 1, "error: a.png: empty\nhint: copy it [again]\n"),
        (DataError("a.png: empty"), 1, "error: a.png: empty\n"),
        (Interrupted(15, "saved at step 3"), 143, "interrupted: saved at step 3\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "internal error: ZeroDivisionError: division by zero (run again with --debug for the traceback)\n",
        ),
        (SystemExit(7), 7, ""),
    ],
)
def test_error_becomes_a_few_lines_and_an_exit_code(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, error)
    assert app.main(["recipes", "ls"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.lstrip("\n") == text


@pytest.mark.parametrize("words", [["--debug", "recipes", "ls"], ["recipes", "ls", "--debug"]])
def test_debug_lets_the_traceback_through(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        app.main(words)


def test_debug_after_two_dashes_is_an_argument(capsys: Captured) -> None:
    assert refused(capsys, "recipes", "show", "--", "--debug")[0].startswith("error: no recipe '--debug'")


def test_closed_pipe_is_quiet() -> None:
    code = "import sys; from cen_cli.cli.app import main; sys.exit(main(['recipes', 'show', 'rooms']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 1


# ---- recipes ----


def test_recipes_ls(capsys: Captured) -> None:
    assert app.main(["recipes", "ls"]) == 0
    captured = capsys.readouterr()
    assert "nyudv2-small-depth" in captured.out
    assert "Segmentation of the built-in rooms from colour and sensor depth, with channel exchanging." in captured.out
    assert "S-Table 7 on the built-in rooms: what sharing, pressing and exchanging do, 11 rows." in captured.out
    assert "next: cen" in captured.err


def test_recipes_ls_json(capsys: Captured) -> None:
    assert app.main(["recipes", "ls", "--json"]) == 0
    captured = capsys.readouterr()
    listed = {(entry["kind"], entry["name"]): Path(entry["path"]) for entry in json.loads(captured.out)}
    assert listed["recipe", "rooms"].is_file()
    assert listed["sweep", "table7-rooms"].is_file()
    assert captured.err == ""


def test_recipes_show_prints_the_file_as_it_is(capsys: Captured) -> None:
    assert app.main(["recipes", "show", "rooms-none"]) == 0
    shown = capsys.readouterr().out
    assert shown == (Path(__file__).parents[2] / "recipes" / "rooms-none.toml").read_text(encoding="utf-8")


def test_recipes_show_resolved_and_as_json(capsys: Captured) -> None:
    assert app.main(["recipes", "show", "rooms-none", "--resolved"]) == 0
    assert "encoder_width = 16" in capsys.readouterr().out
    assert app.main(["recipes", "show", "rooms-none", "--set", "train.epochs=77"]) == 0
    assert "epochs = 77" in capsys.readouterr().out
    assert app.main(["recipes", "show", "rooms-none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exchange"]["choose"] == "none"


def test_recipes_copy_writes_once_and_never_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.main(["recipes", "copy", "rooms"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "rooms.toml\n"
    assert captured.err == "next: cen train rooms.toml\n"
    assert "[exchange]" in (tmp_path / "rooms.toml").read_text(encoding="utf-8")
    assert refused(capsys, "recipes", "copy", "rooms") == [
        "error: rooms.toml: exists already, and nothing is overwritten",
        "hint: give another name: cen recipes copy rooms my-rooms.toml",
    ]
    assert app.main(["recipes", "copy", "rooms", "mine.toml"]) == 0
    assert (tmp_path / "mine.toml").is_file()


def test_recipes_copy_into_what_is_no_folder(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "file").touch()
    assert app.main(["recipes", "copy", "rooms", str(tmp_path / "file" / "x.toml")]) == 1
    assert "could not write" in capsys.readouterr().err


def test_every_command_is_documented_by_its_function() -> None:
    for command in (recipes.ls, recipes.show, recipes.copy):
        assert "Examples:" in (command.__doc__ or "")


def test_what_stands_in_brackets_is_shown(capsys: Captured) -> None:
    """As text, and not taken for markup of the terminal."""
    assert app.main(["recipes", "ls"]) == 0
    assert "a template that explains [data.folders]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (OSError(28, "No space left on device"), "standard output: No space left on device"),
        (OSError(36, "File name too long", "x" * 300), "File name too long"),
    ],
)
def test_what_the_machine_refuses_is_no_internal_error(
    monkeypatch, capsys: Captured, error: Exception, words: str
) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(app, "_run", fail)
    assert app.main(["recipes", "ls"]) == 1
    text = capsys.readouterr().err
    assert words in text
    assert "hint: " in text
    assert "internal error" not in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device, which Linux has")
@pytest.mark.parametrize("errors", ["/dev/full", "/dev/null"])
def test_a_full_standard_output_is_an_error(errors: str) -> None:
    with open("/dev/full", "w") as full, open(errors, "w") as told:
        done = subprocess.run([sys.executable, "-m", "cen_cli", "recipes", "ls"], stdout=full, stderr=told, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("words", [(), ("data",), ("recipes",)])
def test_no_line_of_a_list_of_commands_is_cut(cen: Cen, words: tuple[str, ...]) -> None:
    listed = cen(*words, "--help").out.partition("Commands:")[2].partition("Examples:")[0]
    assert "..." not in listed
    assert listed.count(".\n") >= 3
