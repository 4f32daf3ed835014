"""What is saved comes back; what is damaged is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dima.cell.checkpoint import CONTENT, TENSORS, load_checkpoint, save_checkpoint
from dima.errors import UserError

STATE = {
    "tensor": torch.tensor([[1.5, -2.0]], dtype=torch.float64),
    "flag": torch.tensor([True, False]),
    "array": np.arange(6, dtype=np.uint32).reshape(2, 3),
    "scalar array": np.float64(0.1),
    "empty": torch.zeros(0, 2),
    "nested": {0: {"step": torch.tensor(3.0)}, "big": 2**127, "list": [1, "two", None, 0.1, True]},
}


def assert_equal(ours, theirs):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert_equal(ours[key], value)
    elif isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    elif isinstance(theirs, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    else:
        assert ours == theirs


def test_a_state_comes_back_as_it_was(tmp_path):
    save_checkpoint(tmp_path / "checkpoint", 7, STATE)
    state, faults = load_checkpoint(tmp_path / "checkpoint")
    assert_equal(state, STATE)
    assert faults == []


def test_optimizers_come_back(tmp_path):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 2) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    optimizers = [torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True) for layer in layers]

    def step(index):
        optimizers[index].zero_grad()
        layers[index](torch.ones(1, 3)).square().sum().backward()
        optimizers[index].step()

    step(0)
    save_checkpoint(tmp_path, 1, {"layer": layers[0].state_dict(), "optimizer": optimizers[0].state_dict()})
    state, _ = load_checkpoint(tmp_path)
    layers[1].load_state_dict(state["layer"])
    optimizers[1].load_state_dict(state["optimizer"])
    for index in range(2):
        step(index)
    assert torch.equal(layers[0].weight, layers[1].weight)


def test_the_last_two_are_kept(tmp_path):
    for number in (20, 100, 3000):
        save_checkpoint(tmp_path, number, {"number": number})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000100", "000000003000"]
    assert load_checkpoint(tmp_path)[0] == {"number": 3000}


def damage_nothing_left(path):
    (path / CONTENT).unlink()


def damage_empty(path):
    (path / TENSORS).write_bytes(b"")


def damage_bit(path):
    content = bytearray((path / TENSORS).read_bytes())
    content[-1] ^= 1
    (path / TENSORS).write_bytes(content)


def damage_truncate(path):
    content = (path / CONTENT).read_text()
    (path / CONTENT).write_text(content[: len(content) // 2])


def damage_version(path):
    (path / CONTENT).write_text((path / CONTENT).read_text().replace('"format": 1', '"format": 99'))


def damage_pickle(path):
    """A pickle that would write a file if anything executed it."""
    import pickle

    class Hostile:
        def __reduce__(self):
            return open, (str(path.parent / "executed"), "w")

    (path / TENSORS).write_bytes(pickle.dumps(Hostile()))


@pytest.mark.parametrize(
    "damage", [damage_nothing_left, damage_empty, damage_bit, damage_truncate, damage_version, damage_pickle]
)
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, damage):
    for number in (1, 2):
        save_checkpoint(tmp_path, number, {"tensor": torch.ones(3), "number": number})
    damage(tmp_path / "000000000002")
    state, faults = load_checkpoint(tmp_path)
    assert state["number"] == 1
    assert len(faults) == 1
    assert "000000000002" in faults[0]
    damage(tmp_path / "000000000001")
    with pytest.raises(UserError, match="--from-scratch"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_changed_number_is_damage(tmp_path):
    save_checkpoint(tmp_path, 1, {"number": 400})
    content = tmp_path / "000000000001" / CONTENT
    text = content.read_text()
    assert text.count("400") == 1
    content.write_text(text.replace("400", "401"))
    with pytest.raises(UserError, match="digest does not match"):
        load_checkpoint(tmp_path)


def test_no_checkpoint_is_no_error(tmp_path):
    assert load_checkpoint(tmp_path / "absent") == (None, [])


def test_what_cannot_be_held_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="/a/b is a set"):
        save_checkpoint(tmp_path, 1, {"a": {"b": {1}}})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"number": 1})

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dima.cell.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, 2, {"number": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001"]
    assert load_checkpoint(tmp_path)[0] == {"number": 1}


def test_a_damaged_checkpoint_does_not_outlive_the_next_one(tmp_path):
    """1000 is sound, 2000 damaged; the run goes on from 1000: its next checkpoint must not displace 1000 in
    favour of 2000."""
    for number in (1000, 2000):
        save_checkpoint(tmp_path, number, {"number": number})
    damage_truncate(tmp_path / "000000002000")
    save_checkpoint(tmp_path, 1500, {"number": 1500})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000001000", "000000001500"]
