"""Bins of actions and the layout of a block, by hand."""

from __future__ import annotations

import torch

from dima.baselines.marie.tokens import BlockLayout, action_bins


def test_bins_of_actions():
    actions = torch.tensor([-7.0, -1.0, -0.51, -0.5, -0.01, 0.0, 0.49, 0.5, 1.0, 3.0])
    assert action_bins(actions, 4).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert 0 <= action_bins(torch.tensor([float("nan")]), 4).item() < 4
    assert action_bins(torch.tensor([[-1.0, -0.9921], [0.0, 0.9999]]), 256).tolist() == [[0, 1], [128, 255]]


def test_where_tokens_stand():
    """Two observation tokens, one action token: agent 1 of window 0 has 10 times its step plus the token's
    number, then its slot."""
    layout = BlockLayout(2, 1)
    assert layout.length == 4
    assert BlockLayout(16, 3).length == 20
    assert BlockLayout(16, 26).length == 43
    tokens = torch.zeros(1, 3, 2, 3, 1)
    for step in range(3):
        for agent in range(2):
            tokens[0, step, agent, :, 0] = 100 * agent + 10 * step + torch.arange(3.0)
    slots = -torch.arange(6.0).view(1, 3, 2, 1)
    rows = layout.sequence(tokens, slots)[..., 0].tolist()
    assert rows == [
        [0, 1, 2, -0.0, 10, 11, 12, -2, 20, 21, 22, -4],
        [100, 101, 102, -1, 110, 111, 112, -3, 120, 121, 122, -5],
    ]


def test_which_outputs_predict_what():
    """Of three observation tokens and two action tokens: outputs 0, 1 and 5 of a block of 6."""
    outputs = torch.arange(12.0).view(1, 12, 1)
    tokens, slots = BlockLayout(3, 2).predicting(outputs)
    assert tokens[..., 0].tolist() == [[[0, 1, 5], [6, 7, 11]]]
    assert slots[..., 0].tolist() == [[5, 11]]


def test_attention_is_causal_and_stops_where_an_episode_does():
    layout = BlockLayout(1, 1)
    allowed = layout.allowed(torch.tensor([[0, 0, 1], [4, 4, 4]]))
    for row, episode in enumerate([[0] * 6 + [1] * 3, [4] * 9]):
        for i in range(9):
            for j in range(9):
                assert allowed[row, i, j] == (j <= i and episode[i] == episode[j])
