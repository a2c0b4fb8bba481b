import shlex
from pathlib import Path

import pytest

from cen_cli.wording import command, did_you_mean, listed, nearest


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b, and 1 more"),
        (range(12), "0, 1, and 10 more"),
    ],
)
def test_lists_the_first_and_counts_the_others(entries, expected):
    assert listed(entries, most=2) == expected


def test_separates_sentences_as_told():
    assert listed(["x is 1", "y is 2", "z is 3"], most=2, separator="; ") == "x is 1; y is 2; and 1 more"


def test_nearest_names():
    names = ("depth", "depth_sensor", "normals")
    assert nearest("deptf", names) == ["depth"]
    assert nearest("depth_senso", names, most=2) == ["depth_sensor", "depth"]
    assert nearest("zzz", names) == []


def test_asks_only_where_something_is_close():
    assert did_you_mean("deptf", ["depth", "normals"]) == "did you mean 'depth'?"
    assert did_you_mean("lin", ["line", "link", "x"], most=2) in (
        "did you mean 'link' or 'line'?",
        "did you mean 'line' or 'link'?",
    )
    assert did_you_mean("zzz", ["depth"]) is None


def test_a_command_can_be_pasted_into_a_shell():
    words = ["train", "--resume", "my runs/it's; rm x", Path("a b")]
    assert shlex.split(command(*words)) == ["cen", *map(str, words)]
    assert command("eval", "runs/quick") == "cen eval runs/quick"
