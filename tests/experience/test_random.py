"""Named streams are independent of one another and continue from where they were saved."""

from __future__ import annotations

import pytest
import torch

from dima.errors import UserError
from dima.experience.random import RandomStreams, stream_seed

CPU = torch.device("cpu")


def draw(streams, name, count=3):
    return torch.rand(count, generator=streams[name]).tolist()


def test_drawing_from_one_stream_leaves_the_others():
    plain, drained = (RandomStreams(1, ["a", "b"], CPU) for _ in range(2))
    draw(drained, "a", 1000)
    assert draw(plain, "b") == draw(drained, "b")


def test_streams_differ_by_name_seed_and_index():
    seeds = {
        stream_seed(seed, name, *index) for seed in range(5) for name in "ab" for index in [(), (0,), (1,)]
    }
    assert len(seeds) == 30


def test_every_stream_continues():
    streams = RandomStreams(1, ["a", "b"], CPU)
    draw(streams, "a")
    torch.rand(5)
    state = streams.state_dict()
    expected = draw(streams, "a"), draw(streams, "b"), torch.rand(3).tolist()
    other = RandomStreams(2, ["a", "b"], CPU)
    other.load_state_dict(state)
    assert (draw(other, "a"), draw(other, "b"), torch.rand(3).tolist()) == expected


def test_a_stream_that_an_older_checkpoint_does_not_know_begins_as_in_a_new_run():
    older, new = RandomStreams(1, ["a"], CPU), RandomStreams(1, ["a", "b"], CPU)
    draw(older, "a")
    state, expected = older.state_dict(), draw(older, "a")
    first = draw(new, "b")
    new.load_state_dict(state)
    assert (draw(new, "a"), draw(new, "b")) == (expected, first)


def test_streams_of_another_device_are_refused():
    streams = RandomStreams(1, ("replay",), torch.device("cpu"))
    with pytest.raises(
        UserError, match=r"was made on cuda.* continue with --device cuda, or start again with --from-scratch"
    ):
        streams.load_state_dict(streams.state_dict() | {"device": "cuda"})
