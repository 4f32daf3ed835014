"""What is stored of an episode, and how stored rows are paired."""

from __future__ import annotations

import torch

from dima.baselines.mamba.sequences import aligned, stored
from dima.config import ReplayConfig
from dima.experience.dimensions import Dimensions
from dima.experience.replay import Replay
from dima.experience.transitions import Episode, Sequences

LENGTHS = (5, 3, 1, 4, 6)
TERMINATED = (False, True, True, False, True)


def episode(number: int, length: int, terminated: bool) -> Episode:
    """Observation, action and reward say the episode and the step."""
    steps = torch.arange(length, dtype=torch.float32)
    name = 10.0 * (number + 1) + steps
    last = steps == length - 1
    return Episode(
        state=torch.zeros(length, 3),
        observation=name[:, None, None].repeat(1, 2, 4),
        action=(name / 100)[:, None, None].repeat(1, 2, 1),
        reward=name,
        terminated=last & terminated,
        truncated=last & (not terminated),
        next_state=torch.zeros(length, 3),
    )


def test_two_absorbing_rows_follow_a_true_termination():
    part = stored(episode(0, 3, terminated=True), torch.Generator().manual_seed(0))
    assert part.reward.tolist() == [10, 11, 12, 0, 0]
    assert part.terminated.tolist() == [False, False, True, True, True]
    assert part.truncated.tolist() == [False, False, False, True, True]
    assert part.observation[3:].abs().sum() == 0
    made_up = part.action[3:]
    assert made_up.unique().numel() == made_up.numel()
    assert made_up.abs().max() <= 1
    assert part.state.shape == part.next_state.shape == (5, 0)


def test_nothing_follows_a_time_limit_or_part_of_an_episode():
    whole = episode(0, 3, terminated=False)
    part = Episode(*(getattr(whole, name)[:2] for name in Episode.__dataclass_fields__))
    for given in (whole, part):
        kept = stored(given, torch.Generator())
        assert kept.reward.tolist() == given.reward.tolist()
        assert not kept.terminated.any()


def test_alignment_against_a_plain_loop_over_every_sequence():
    """Five episodes, ended in both ways, one of a single step; every start of a sequence of 6, absorbing ones
    among them."""
    generator = torch.Generator().manual_seed(0)
    parts = [stored(episode(*given), generator) for given in zip(range(5), LENGTHS, TERMINATED, strict=True)]
    rows = []  # observation, action, reward, terminated, absorbing, first of its episode
    for number, (part, length) in enumerate(zip(parts, LENGTHS, strict=True)):
        for step in range(len(part.reward)):
            observation = 10.0 * (number + 1) + step if step < length else 0.0
            ended = TERMINATED[number] and step >= length - 1
            rows.append((observation, part.action[step], part.reward[step], ended, step >= length, step == 0))
    data = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in Sequences.__dataclass_fields__
    }
    starts = torch.arange(len(rows) - 5)
    found = aligned(
        Sequences(**{name: values[starts[:, None] + torch.arange(6)] for name, values in data.items()}), 0.5
    )
    assert len(rows) == sum(LENGTHS) + 6
    for start in starts.tolist():
        for step in range(5):
            observation, _, reward, terminated, absorbing, first = rows[start + step + 1]
            previous = torch.zeros(2, 1) if first else rows[start + step][1].clamp(-1, 1)
            assert found.observation[start, step].unique().tolist() == [observation]
            assert torch.equal(found.previous_action[start, step], previous)
            assert found.reward[start, step] == 0.5 * reward
            assert bool(found.terminated[start, step]) == terminated
            assert bool(found.absorbing[start, step]) == absorbing
            assert bool(found.begins[start, step]) == first


def test_actions_are_clipped_as_the_environment_clips_them():
    part = episode(0, 4, terminated=False)
    wild = Sequences(
        part.observation[None],
        100 * part.action[None],
        part.reward[None],
        part.terminated[None],
        part.truncated[None],
    )
    assert aligned(wild, 1.0).previous_action.unique().tolist() == [1.0]


def test_sequences_start_everywhere_alike_and_wrap_around_the_ring():
    config = ReplayConfig.by_visits(20)
    replay = Replay(config, Dimensions(0, 2, 4, 1), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for number in range(5):
        replay.append(stored(episode(number, 7, terminated=False), generator))
    drawn = replay.sample_uniform_sequences(17000, 4, generator)
    newest = [10 * (number + 1) + step for number in range(5) for step in range(7)][-20:]
    firsts, counts = drawn.reward[:, 0].unique(return_counts=True)
    assert firsts.tolist() == newest[:17]
    assert (counts - 1000).abs().max() < 150
    for first, row in zip(drawn.reward[:50, 0].tolist(), drawn.reward[:50].tolist(), strict=True):
        place = newest.index(int(first))
        assert row == newest[place : place + 4]
    assert torch.equal(drawn.observation[..., 0, 0], drawn.reward)
