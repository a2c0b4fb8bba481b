import shutil
from pathlib import Path

import pytest

from cen_cli import files
from cen_cli.errors import DataError, SaveError, UsageError


def write(text: str):
    return lambda folder: (folder / "file").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    files.write_bytes(tmp_path / "file", b"one")
    files.write_bytes(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    files.write_bytes(tmp_path / "file", b"one")
    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(SaveError, match=r"could not write .*file: No space left on device"):
        files.write_bytes(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_folder_that_was_there(tmp_path, monkeypatch):
    files.write_directory(tmp_path / "last", write("one"))
    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(SaveError, match="No space left on device") as caught:
        files.write_directory(tmp_path / "last", write("two"))
    assert (tmp_path / "last" / "file").read_text() == "one"
    assert names(tmp_path) == ["last"]
    assert "untouched" in caught.value.hint


def test_a_folder_is_replaced_whole(tmp_path):
    files.write_directory(tmp_path / "last", write("one"))
    files.write_directory(tmp_path / "last", write("two"))
    assert (tmp_path / "last" / "file").read_text() == "two"
    assert names(tmp_path) == ["last"]


LEFT = [
    (("last", "last.new"), "last"),  # killed while the new one was written: it may be incomplete
    (("last.old", "last.new"), "last.new"),  # killed between the two renames: the new one is complete
    (("last", "last.old"), "last"),  # killed before the old one was removed
    (("last.old",), "last.old"),
    (("last.new",), None),  # killed while the very first one was written
]


@pytest.mark.parametrize(("present", "expected"), LEFT)
def test_a_killed_replacement_is_finished_or_undone(tmp_path, present, expected):
    leave(tmp_path, present)
    assert files.whole_directory(tmp_path / "last") == (tmp_path / expected if expected else None)
    assert names(tmp_path) == sorted(present)
    files.recover_directory(tmp_path / "last")
    assert names(tmp_path) == ([] if expected is None else ["last"])
    if expected:
        assert (tmp_path / "last" / "file").read_text() == expected


def test_a_new_folder_that_has_lost_a_file_never_counts_before_a_whole_old_one(tmp_path):
    leave(tmp_path, ("last.old", "last.new"))
    (tmp_path / "last.new" / "file").rename(tmp_path / "last.new" / "other")
    assert files.whole_directory(tmp_path / "last") == tmp_path / "last.old"
    files.recover_directory(tmp_path / "last")
    assert (tmp_path / "last" / "file").read_text() == "last.old"
    assert names(tmp_path) == ["last"]


def test_a_replacement_that_fails_between_the_renames_is_undone(tmp_path, monkeypatch):
    files.write_directory(tmp_path / "last", write("one"))
    rename = Path.rename

    def fails(path, target):
        if path.name == "last.new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(SaveError, match="Input/output error"):
        files.write_directory(tmp_path / "last", write("two"))
    assert (tmp_path / "last" / "file").read_text() == "one"
    assert names(tmp_path) == ["last"]


def leave(folder: Path, present: tuple[str, ...]) -> None:
    for name in present:
        (folder / name).mkdir()
        (folder / name / "file").write_text(name)


def test_a_link_or_a_copy_has_the_same_content(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("text")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")

    def no_links(*_):
        raise OSError("no hard links here")

    monkeypatch.setattr(files.os, "link", no_links)
    files.link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "text"


def no_space(_):
    raise OSError(28, "No space left on device")


def test_a_folder_of_folders_is_written_whole(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "rgb").mkdir()
        (folder / "rgb/1.png").write_bytes(b"picture")

    files.write_directory(tmp_path / "deep" / "out", fill)
    assert (tmp_path / "deep/out/rgb/1.png").read_bytes() == b"picture"


@pytest.mark.parametrize("error", [DataError("bad frame"), KeyboardInterrupt()])
def test_what_the_writer_raises_is_passed_on_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").touch()
        raise error

    with pytest.raises(type(error)):
        files.write_directory(tmp_path / "out", fill)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_into_a_new_folder_under_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / ("x" * 255)
    files.write_bytes(file, b"one")
    assert file.read_bytes() == b"one"


def test_what_exists_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (tmp_path, tmp_path / "file", tmp_path / "link"):
        with pytest.raises(UsageError, match="exists already, and nothing is overwritten") as caught:
            files.check_free(taken, "another name")
        assert caught.value.hint == "another name"
    (tmp_path / "empty").mkdir()
    files.check_free(tmp_path / "empty", "")
    files.check_free(tmp_path / "new", "")


def test_the_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", str(tmp_path)):
        with pytest.raises(UsageError, match="the current folder"):
            files.check_new_directory(Path(name), "")
    files.check_new_directory(tmp_path / "new", "")


def test_a_folder_that_a_writer_finishes_meanwhile_is_found(tmp_path, monkeypatch):
    leave(tmp_path, ("last.old", "last.new"))
    names_of = files._names

    def finished(folder: Path) -> set[Path]:
        if (tmp_path / "last.new").exists():
            (tmp_path / "last.new").rename(tmp_path / "last")
            shutil.rmtree(tmp_path / "last.old")
        return names_of(folder)

    monkeypatch.setattr(files, "_names", finished)
    assert files.whole_directory(tmp_path / "last") == tmp_path / "last"
