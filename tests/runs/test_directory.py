import shutil

import pytest

from cen_cli.errors import CheckpointError, SaveError, UsageError
from cen_cli.runs.directory import RunDirectory, create_run, default_root, locate, newest_run, open_run


def run_with(tmp_path, name="rooms-1", checkpoint="last"):
    run = create_run(tmp_path / name, recipe='name = "rooms"\n', environment={"data": {}})
    if checkpoint:
        (run.root / "checkpoints" / checkpoint).mkdir()
        (run.root / "checkpoints" / checkpoint / "model.safetensors").write_bytes(b"")
    return run


def test_a_run_directory_is_never_overwritten(tmp_path):
    run = run_with(tmp_path)
    with pytest.raises(UsageError, match="exists already, and nothing is overwritten") as caught:
        create_run(run.root, recipe="", environment={})
    assert f"cen train --resume {run.root}" in caught.value.hint
    assert run.recipe.read_text() == 'name = "rooms"\n'


def leave_nothing(root):
    root.mkdir()


def leave_folders(root):
    (root / "checkpoints").mkdir(parents=True)
    (root / ".lock").touch()


def leave_a_part_of_the_first_checkpoint(root):
    run_with(root.parent, root.name, checkpoint=None).append_event({"step": 1})
    (root / "checkpoints" / "last.new").mkdir()
    (root / ".123-abc.new").write_text("gammas that were being written")


def leave_a_link(root):
    (root.parent / "elsewhere").mkdir()
    root.symlink_to(root.parent / "elsewhere")


def test_a_link_to_an_empty_folder_is_where_the_run_goes(tmp_path):
    leave_a_link(tmp_path / "run")
    create_run(tmp_path / "run", recipe="new", environment={})
    assert (tmp_path / "elsewhere" / "recipe.toml").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run"]


def leave_what_a_tracker_made(root):
    run_with(root.parent, root.name, checkpoint=None)
    (root / "tensorboard").mkdir()


@pytest.mark.parametrize(
    "leave", [leave_what_a_tracker_made, leave_nothing, leave_folders, leave_a_part_of_the_first_checkpoint]
)
def test_a_run_that_was_killed_before_it_saved_anything_is_started_again(tmp_path, leave):
    leave(tmp_path / "run")
    run = create_run(tmp_path / "run", recipe="new", environment={})
    assert sorted(path.name for path in run.root.rglob("*")) == ["checkpoints", "environment.json", "recipe.toml"]
    assert run.read_recipe() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_of_other_files_is_never_taken_for_a_run(tmp_path):
    run = run_with(tmp_path, checkpoint=None)
    (run.root / "notes.txt").touch()
    with pytest.raises(UsageError, match="exists already"):
        create_run(run.root, recipe="", environment={})


@pytest.mark.parametrize("names", [("recipe.toml",), ("metrics.json", "checkpoints/"), ("checkpoints/mine.pth",)])
def test_files_with_the_names_of_a_run_s_are_not_a_run(tmp_path, names):
    root = tmp_path / "mine"
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir() if name.endswith("/") else (root / name).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        create_run(root, recipe="", environment={})
    assert all((root / name).exists() for name in names)


def test_a_run_that_is_about_to_save_for_the_first_time_is_left_alone(tmp_path):
    run = run_with(tmp_path, checkpoint=None)
    with run.held(), pytest.raises(UsageError, match="another process is training this run"):
        create_run(run.root, recipe="", environment={})
    assert run.read_recipe() == 'name = "rooms"\n'


def test_neighbours_of_a_new_run_are_left_alone(tmp_path):
    for name in ("run.old", "run.new"):
        (tmp_path / name).mkdir()
    create_run(tmp_path / "run", recipe="", environment={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.new", "run.old"]


def test_locate_finds_the_best_checkpoint_while_it_is_being_replaced(tmp_path):
    run = run_with(tmp_path)
    old = run.best.with_name("best.old")
    old.mkdir()
    (old / "model.safetensors").write_bytes(b"")
    for path in (run.root, run.best):
        assert locate(path).model_file == old / "model.safetensors"
    assert locate(run.root).run == run.root.resolve()


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="could not write"):
        create_run(tmp_path / "file" / "run", recipe="", environment={})


def test_a_run_whose_checkpoints_were_moved_makes_no_room(tmp_path):
    run = run_with(tmp_path)
    shutil.rmtree(run.last.parent)
    run.last.parent.mkdir()
    run.metrics.write_text("{}")
    with pytest.raises(UsageError):
        create_run(run.root, recipe="", environment={})
    assert run.metrics.exists()


def test_default_names_do_not_collide(tmp_path):
    first = default_root("rooms", tmp_path)
    first.mkdir()
    second = default_root("rooms", tmp_path)
    assert first.name.startswith("rooms-")
    assert second != first
    assert not second.exists()


def test_events_are_appended_and_cut_back(tmp_path):
    run = run_with(tmp_path)
    run.append_event({"step": 1})
    size = run.events_size()
    run.append_event({"step": 2})
    run.truncate_events(size)
    assert run.events.read_text() == '{"step": 1}\n'


def test_locate_takes_a_run_a_checkpoint_or_a_file_and_prefers_the_best(tmp_path):
    run = run_with(tmp_path)
    assert locate(run.root).model_file == run.last / "model.safetensors"
    run.best.mkdir()
    (run.best / "model.safetensors").write_bytes(b"")
    for path in (run.root, run.best, run.best / "model.safetensors"):
        found = locate(path)
        assert found.model_file == run.best / "model.safetensors"
        assert found.run == run.root.resolve()


def test_a_file_outside_a_run_has_no_run(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert locate(tmp_path / "model.safetensors").run is None


def test_locate_refuses_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file or directory"):
        locate(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no checkpoint in this folder"):
        locate(tmp_path)


def enter(context):
    with context:
        pass


def test_open_run_refuses_what_cannot_be_resumed(tmp_path):
    with pytest.raises(UsageError, match="not a run directory"):
        enter(open_run(tmp_path))
    run = run_with(tmp_path, checkpoint=None)
    with pytest.raises(CheckpointError, match="stopped before its first checkpoint"):
        enter(open_run(run.root))


def test_open_run_finishes_a_killed_replacement(tmp_path):
    run = run_with(tmp_path)
    run.last.rename(run.last.with_name("last.old"))
    with open_run(run.root) as opened:
        assert opened.last.is_dir()


def test_a_run_is_opened_by_one_process_at_a_time(tmp_path):
    run = run_with(tmp_path)
    with open_run(run.root), pytest.raises(UsageError, match="another process is training this run"):
        enter(open_run(run.root))
    enter(open_run(run.root))


def test_the_newest_run_of_a_recipe_is_found(tmp_path):
    run_with(tmp_path, "rooms-1")
    newer = run_with(tmp_path, "rooms-2")
    run_with(tmp_path, "rooms-rgb")
    (newer.last / "state.json").write_text("{}")
    import os

    os.utime(newer.last, (2e9, 2e9))
    assert newest_run("rooms", tmp_path) == newer.root
    with pytest.raises(UsageError, match="no run of 'nyudv2'"):
        newest_run("nyudv2", tmp_path)


@pytest.mark.parametrize(
    ("text", "size", "kept"),
    [("one\ntwo\nthree\n", 8, "one\ntwo\n"), ("one\n", 8, "one\n"), ("one\nthree\n", 8, "one\n"), ("", 8, "")],
)
def test_a_log_keeps_whole_lines_and_never_grows(tmp_path, text, size, kept):
    run = RunDirectory(tmp_path)
    run.events.write_text(text)
    run.truncate_events(size)
    assert run.events.read_text() == kept
