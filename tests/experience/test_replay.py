"""The ring against a plain list, and the two ways of sampling from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dima.config import ReplayConfig
from dima.experience.dimensions import Dimensions
from dima.experience.replay import Replay
from dima.experience.transitions import Episode

CPU = torch.device("cpu")
CONFIG = ReplayConfig(
    capacity=50,
    visit_temperature=20.0,
    window_sampling="recency",
    recency_weights=(0.1, 0.1, 0.1, 0.7),
    recency_remainder="newest",
)


def episode(first, length):
    """Transitions numbered on from `first`: state = number, action = number + 0.25, next state = number +
    0.5."""
    numbers = torch.arange(first, first + length, dtype=torch.float32)
    ends = torch.zeros(length, dtype=torch.bool)
    ends[-1] = True
    return Episode(
        state=numbers[:, None],
        observation=numbers[:, None, None].expand(-1, 2, 3),
        action=numbers[:, None, None].expand(-1, 2, 1) + 0.25,
        reward=-numbers,
        terminated=torch.zeros(length, dtype=torch.bool),
        truncated=ends,
        next_state=numbers[:, None] + 0.5,
    )


def filled(lengths, *, fixed_shapes=False, **changes):
    replay = Replay(CONFIG.model_copy(update=changes), Dimensions(1, 2, 3, 1), CPU, fixed_shapes=fixed_shapes)
    first = 0
    for length in lengths:
        replay.append(episode(first, length))
        first += length
    return replay


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rows_of_windows_are_those_rows():
    windows = filled([7, 5]).sample_windows(6, 3, generator())
    part = windows.rows(2, 5)
    for name, value in vars(windows).items():
        assert torch.equal(getattr(part, name), value[2:5])


def test_an_empty_or_too_long_episode_is_refused():
    with pytest.raises(ValueError, match="51 transitions does not fit"):
        filled([51])


@pytest.mark.parametrize("lengths", [[7, 5], [20, 20, 20], [30, 30, 30, 3, 11]])
def test_segments_are_contiguous_and_from_the_newest(lengths):
    replay = filled(lengths)
    segments = replay.sample_segments(200, 5, "reward_model", generator())
    state = segments.state[..., 0]
    assert torch.equal(state, state[:, :1] + torch.arange(5.0))
    assert torch.equal(segments.reward, -state)
    assert torch.equal(segments.action[..., 0, 0], state + 0.25)
    oldest = max(0, sum(lengths) - 50)
    assert set(state[:, 0].tolist()) == set(range(oldest, sum(lengths) - 4))


@pytest.mark.parametrize("lengths", [[7, 5], [3, 1, 2, 9, 4], [30, 30, 30, 3, 11]])
def test_windows_stay_inside_episodes(lengths):
    replay = filled(lengths)
    windows = replay.sample_windows(2000, 4, generator())
    state, valid = windows.state[..., 0], windows.valid
    starts = np.cumsum([0, *lengths])
    last = state[:, -1]
    assert valid[:, -1].all()
    for row in range(len(state)):
        numbers = state[row][valid[row]].tolist()
        assert numbers == list(range(int(last[row]) - len(numbers) + 1, int(last[row]) + 1))
        first = starts[np.searchsorted(starts, last[row].item(), side="right") - 1]
        assert len(numbers) == min(4, last[row].item() - first + 1)
    assert torch.equal(windows.next_state[..., 0][valid], state[valid] + 0.5)
    assert torch.equal(windows.action[..., 0, 0], (state + 0.25) * valid)
    assert torch.equal(windows.observation[:, 0, 0], last)


def test_windows_end_at_a_uniform_step_moved_forward_inside_its_episode():
    """stop = min(T, tau + 1 + U{0..L-1}) with tau uniform in an episode of T = 4 and L = 3: probabilities of
    the last step by hand."""
    replay = filled([4])
    last = replay.sample_windows(60_000, 3, generator()).state[:, -1, 0]
    share = torch.bincount(last.long(), minlength=4) / len(last)
    torch.testing.assert_close(share, torch.tensor([1, 2, 3, 6]) / 12, atol=0.01, rtol=0)


def test_recency_gives_seven_tenths_to_the_newest_quarter():
    replay = filled([5] * 8)
    last = replay.sample_windows(40_000, 1, generator()).state[:, -1, 0]
    share = torch.bincount((last // 10).long(), minlength=4) / len(last)
    torch.testing.assert_close(share, torch.tensor([0.1, 0.1, 0.1, 0.7]), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("remainder", "episodes"),
    [("newest", [0.1, 0.1, 0.1] + [0.7 / 4] * 4), ("spread", [0.1] + [0.05] * 4 + [0.35] * 2)],
)
def test_episodes_left_over_go_to_the_newest_quarter_or_one_each_to_some(remainder, episodes):
    """Seven episodes: quarters of 1, 1, 1, 4 as the release cuts them, or of 1, 2, 2, 2."""
    last = filled([5] * 7, recency_remainder=remainder).sample_windows(40_000, 1, generator()).state[:, -1, 0]
    share = torch.bincount((last // 5).long(), minlength=7) / len(last)
    torch.testing.assert_close(share, torch.tensor(episodes), atol=0.01, rtol=0)


@pytest.mark.parametrize("steps", [27, 1000])
def test_how_many_targets_are_padding_or_what_followed_the_last_action(steps):
    """All of a window's ways to lie in an episode: what `docs/fidelity.md` says of windows of 5 transitions,
    and of the release's 6 states.

    The targets are the states that follow the last three of 5 transitions, or the last three of 6 states.
    """
    ours = [min(steps - 1, step + shift) for step in range(steps) for shift in range(5)]
    replay = filled([steps], capacity=steps)
    windows = replay.sample_windows(60_000, 5, generator())
    last = windows.state[:, -1, 0].long()
    share = torch.bincount(last, minlength=steps) / len(last)
    torch.testing.assert_close(
        share, torch.tensor([ours.count(place) / len(ours) for place in range(steps)]), atol=0.004, rtol=0
    )
    padded = (~windows.valid[:, 2:]).any(dim=1).float().mean().item()
    assert padded == pytest.approx(sum(place < 2 for place in ours) / len(ours), abs=0.002)

    theirs = [min(steps - 1, step + shift) for step in range(steps) for shift in range(6)]
    told = {
        "what followed the last action": sum(place == steps - 1 for place in ours) / (3 * len(ours)),
        "padding in ours": sum(place < 2 for place in ours) / len(ours),
        "padding in the release's": sum(place < 2 for place in theirs) / len(theirs),
        "a first state in the release's": sum(place < 3 for place in theirs) / (3 * len(theirs)),
    }
    assert list(told.values()) == pytest.approx(
        [1 / steps, 3 / (5 * steps), 1 / (2 * steps), 1 / (3 * steps)]
    )


def test_few_or_uniformly_sampled_episodes_count_by_length():
    for replay in (filled([2, 6, 2]), filled([2, 6, 1, 1], window_sampling="uniform")):
        last = replay.sample_windows(40_000, 1, generator()).state[:, -1, 0]
        share = torch.bincount(last.long(), minlength=10) / len(last)
        torch.testing.assert_close(share, torch.full((10,), 0.1), atol=0.01, rtol=0)


def test_an_overwritten_episode_leaves_the_windows():
    replay = filled([20, 20, 20])
    assert replay.sample_windows(2000, 2, generator()).state[:, -1].min() >= 20


def test_an_episode_may_come_in_parts():
    whole, parts = filled([9]), filled([4])
    parts.append(episode(4, 5), continues=True)
    for name in ("state", "action", "valid"):
        ours, theirs = (
            getattr(replay.sample_windows(500, 4, generator()), name) for replay in (parts, whole)
        )
        assert torch.equal(ours, theirs)


def test_a_batch_has_no_step_twice_while_there_are_enough():
    replay = filled([40])
    states, _ = replay.sample_steps(40, "state_decoder", generator())
    assert sorted(states[:, 0].tolist()) == list(range(40))
    assert len(replay.sample_steps(100, "state_decoder", generator())[0]) == 100


@pytest.mark.parametrize("visit_temperature", [20.0, None])
@pytest.mark.parametrize("lengths", [[7], [7, 5, 3], [20, 20], [30, 30, 30, 3, 11]])
def test_drawing_among_all_rows_is_drawing_among_the_filled_ones(lengths, visit_temperature):
    """The same rows for the same numbers, whether the memory is almost empty, full or overwritten, also where
    a batch holds some twice."""
    memories = [
        filled(lengths, fixed_shapes=fixed, visit_temperature=visit_temperature) for fixed in (False, True)
    ]
    for count in (3, 7, 30, 120):
        steps = (memory.sample_steps(count, "state_decoder", generator(count))[0] for memory in memories)
        torch.testing.assert_close(*steps, rtol=0, atol=0)
        segments = (
            memory.sample_segments(count, 5, "reward_model", generator(count)).state for memory in memories
        )
        torch.testing.assert_close(*segments, rtol=0, atol=0)
    for model in ("state_decoder", "reward_model"):
        torch.testing.assert_close(*(memory._visits[model] for memory in memories), rtol=0, atol=0)


class Shapes(TorchDispatchMode):
    """The shapes of all that operators return."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.found.append(
            (func.name(), [value.shape for value in tree_leaves(result) if isinstance(value, torch.Tensor)])
        )
        return result


def test_the_shapes_of_all_steps_stay_the_same_while_the_memory_fills():
    """What a CUDA graph needs; and it reads what is stored later."""
    replay, found = filled([9], fixed_shapes=True), []
    for length in (0, 20, 40):
        if length:
            replay.append(episode(100, length))
        with Shapes() as shapes:
            replay.sample_steps(6, "state_decoder", generator())
            replay.sample_segments(6, 5, "reward_model", generator())
            replay.sample_windows(6, 3, generator())
        found.append(shapes.found)
    assert found[0] == found[1] == found[2]


def test_a_row_that_was_visited_far_more_than_another_is_still_sooner_drawn_than_one_that_holds_nothing():
    replay = filled([4], fixed_shapes=True)
    replay._visits["state_decoder"][0] = 1e5
    assert sorted(replay.sample_steps(4, "state_decoder", generator())[0][:, 0].tolist()) == [0, 1, 2, 3]


def test_visited_steps_are_drawn_less_by_exp_of_visits_over_20():
    """Half of the steps have been visited 20 times: a single draw takes them with weight 1/e."""
    replay = filled([40])
    replay._visits["reward_model"][:20] = 20.0
    old = 0
    for seed in range(4000):
        replay._visits["reward_model"][20:40] = 0.0
        replay._visits["reward_model"][:20] = 20.0
        old += replay.sample_segments(1, 1, "reward_model", generator(seed)).state.item() < 20
    assert old / 4000 == pytest.approx(np.exp(-1) / (1 + np.exp(-1)), abs=0.025)


def test_visits_are_counted_for_each_model_apart_and_forgotten_when_overwritten():
    replay = filled([40])
    replay.sample_steps(40, "state_decoder", generator())
    assert replay._visits["state_decoder"][:40].tolist() == [1.0] * 40
    assert replay._visits["reward_model"].sum() == 0
    replay.append(episode(40, 30))
    assert replay._visits["state_decoder"].sum() == 20


def test_state_dict_restores_sampling_bit_for_bit():
    replay = filled([30, 30, 30])
    replay.sample_steps(13, "state_decoder", generator())
    copy = Replay(CONFIG, Dimensions(1, 2, 3, 1), CPU)
    copy.load_state_dict(replay.state_dict())
    for other in (replay, copy):
        other.append(episode(90, 7))
    for first, second in zip(
        *(other.sample_steps(20, "state_decoder", generator(3)) for other in (replay, copy)), strict=True
    ):
        assert torch.equal(first, second)
    ours, theirs = (other.sample_windows(50, 3, generator(4)) for other in (replay, copy))
    assert torch.equal(ours.state, theirs.state)


def test_a_segment_longer_than_what_is_stored_is_refused():
    with pytest.raises(ValueError, match="hold no segment of 6"):
        filled([5]).sample_segments(1, 6, "reward_model", generator())


def test_without_a_temperature_the_weight_is_one_minus_the_share_of_visits():
    """Visits 3, 1, 0, 0 give the weights 1/4, 3/4, 1, 1."""
    replay = filled([4], visit_temperature=None)
    drawn = []
    for seed in range(6000):
        replay._visits["reward_model"][:4] = torch.tensor([3.0, 1.0, 0.0, 0.0])
        drawn.append(int(replay.sample_segments(1, 1, "reward_model", generator(seed)).state.item()))
    share = torch.bincount(torch.tensor(drawn), minlength=4) / len(drawn)
    torch.testing.assert_close(share, torch.tensor([0.25, 0.75, 1.0, 1.0]) / 3, atol=0.02, rtol=0)


def test_sequences_are_segments_with_what_the_agents_saw():
    replay, other = filled([7, 9]), filled([7, 9])
    sequences = replay.sample_sequences(20, 5, "reward_model", generator())
    segments = other.sample_segments(20, 5, "reward_model", generator())
    for name in ("action", "reward", "terminated", "truncated"):
        assert torch.equal(getattr(sequences, name), getattr(segments, name))
    assert torch.equal(sequences.observation, segments.state[..., None].expand(-1, -1, 2, 3))
    assert torch.equal(replay._visits["reward_model"], other._visits["reward_model"])


def test_starts_are_uniform_among_episodes_and_then_in_the_episode():
    """Episodes of 2, 6 and 1 steps: 1/3 each, whatever their length, and an overwritten one no more."""
    share = (
        torch.bincount(filled([2, 6, 1]).sample_starts(60_000, generator())[:, 0, 0].long(), minlength=9)
        / 60_000
    )
    torch.testing.assert_close(share, torch.tensor([1 / 6] * 2 + [1 / 18] * 6 + [1 / 3]), atol=0.01, rtol=0)
    starts = filled([20, 20, 20]).sample_starts(2000, generator())
    assert (starts.min(), starts.max()) == (20, 59)
    assert starts.shape == (2000, 2, 3)


def test_visits_are_counted_for_the_models_that_are_named():
    replay = Replay(CONFIG, Dimensions(1, 2, 3, 1), CPU, ("tokenizer",))
    replay.append(episode(0, 9))
    replay.sample_steps(4, "tokenizer", generator())
    assert set(replay.state_dict()["visits"]) == {"tokenizer"}
    assert replay._visits["tokenizer"].sum() == 4
