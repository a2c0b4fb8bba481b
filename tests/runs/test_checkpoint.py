import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cen_cli.errors import CheckpointError, SaveError, UsageError
from cen_cli.runs.checkpoint import load_weights, read_state, read_tensors, write_checkpoint, write_tensors


@pytest.fixture
def tensors():
    return {
        "b": torch.arange(6.0).reshape(2, 3),
        "a": torch.tensor([1, 2]),
        "empty": torch.zeros(0),
        "one": torch.ones(()),
    }


def test_tensors_and_metadata_come_back(tmp_path, tensors):
    write_tensors(tmp_path / "x.safetensors", tensors, {"task": "segmentation"})
    read, metadata = read_tensors(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) and read[name].dtype == tensors[name].dtype for name in tensors)
    assert metadata["task"] == "segmentation"


def test_a_missing_file_is_a_wrong_request(tmp_path):
    with pytest.raises(UsageError, match="no such checkpoint file"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, tensors, kept):
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_tensors(path)


def test_a_flipped_bit_is_found(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {})
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="corrupted, its contents do not match its digest"):
        read_tensors(path)


def test_every_flipped_bit_of_header_and_tensors_is_found(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {"recipe": "threshold = 0.01", "step": "7"})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(CheckpointError):
            read_tensors(path)


def test_equal_contents_give_equal_bytes(tmp_path, tensors):
    metadata = {name: name.upper() for name in ("recipe", "task", "modalities", "classes", "specs")}
    write_tensors(tmp_path / "a.safetensors", tensors, metadata)
    write_tensors(tmp_path / "b.safetensors", dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_file_of_version_0_1_whose_digest_is_of_the_tensors_alone_is_read(tmp_path):
    digest = "b347dfef16cc08434bd984ff21066ca3fc97073620c5f3687420c4cb34022166"
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", {"format": "cen-1", "step": "7", "digest": digest})
    tensors, metadata = read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(tensors["a"], torch.ones(2))
    assert metadata["step"] == "7"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    model = nn.BatchNorm2d(2)
    state = {**model.state_dict(), "running_var": torch.tensor([1.0, value])}
    with pytest.raises(CheckpointError, match="NaN or infinity in running_var"):
        load_weights(model, state, tmp_path / "x.safetensors")


def test_the_state_is_read_while_its_folder_is_being_replaced(tmp_path):
    (tmp_path / "last.old").mkdir()
    (tmp_path / "last.old" / "state.json").write_text('{"step": 1}')
    assert read_state(tmp_path / "last") == {"step": 1}


def test_files_that_are_not_ours_are_refused(tmp_path, tensors):
    save_file({"a": torch.ones(2)}, tmp_path / "theirs.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint of cen"):
        read_tensors(tmp_path / "theirs.safetensors")
    torch.save({"a": torch.ones(2)}, tmp_path / "pickle.pth")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_tensors(tmp_path / "pickle.pth")


def test_weights_of_another_network_are_refused_by_name_and_shape(tmp_path):
    model = nn.Conv2d(3, 4, 3)
    expected = r"missing bias; unexpected extra; weight has shape \[1\], the model \[4, 3, 3, 3\]"
    with pytest.raises(CheckpointError, match=expected):
        load_weights(model, {"weight": torch.ones(1), "extra": torch.ones(1)}, tmp_path / "x.safetensors")


def test_state_that_is_missing_or_damaged_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no state\.json"):
        read_state(tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        read_state(tmp_path)
    (tmp_path / "state.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        read_state(tmp_path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one(tmp_path, monkeypatch):
    folder = tmp_path / "last"

    def write(step: int) -> None:
        tensors = {"w": torch.ones(2)}
        write_checkpoint(folder, model=tensors, metadata={}, training=tensors, state={"step": step})

    write(1)
    monkeypatch.setattr("cen_cli.files.os.fsync", no_space)
    with pytest.raises(SaveError, match="No space left on device"):
        write(2)
    assert json.loads((folder / "state.json").read_text()) == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]


def no_space(_):
    raise OSError(28, "No space left on device")
