"""The Perceiver between agents."""

from __future__ import annotations

import math

import torch

from dima.baselines.marie.aggregation import Aggregation, sinusoidal_code


def made(make_cell, agents=3):
    torch.manual_seed(0)
    return Aggregation(agents, 16, make_cell().parameters.world_model.aggregation).eval()


def test_the_code_by_hand():
    code = sinusoidal_code(3, 4)
    for agent in range(3):
        expected = [math.sin(agent), math.cos(agent), math.sin(agent / 100), math.cos(agent / 100)]
        torch.testing.assert_close(code[agent], torch.tensor(expected))


def test_every_agents_tokens_move_every_agents_slot_of_its_own_row(make_cell):
    model = made(make_cell)
    tokens = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0))
    before = model(tokens)
    assert before.shape == (2, 3, 16)
    for agent in range(3):
        for token in range(5):
            other = tokens.clone()
            other[1, agent, token] += torch.randn(16, generator=torch.Generator().manual_seed(1))
            moved = (model(other) - before).abs().amax(dim=-1)
            assert (moved[1] > 1e-6).all()
            assert not moved[0].any()


def test_whose_token_it_is_counts_but_not_its_place(make_cell):
    model = made(make_cell)
    tokens = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(tokens.flip(2)), model(tokens))
    assert not torch.allclose(model(tokens.flip(1)), model(tokens), atol=1e-4)


def test_its_latents_are_standard_normal_and_its_dropout_is_in_training_alone(paper_marie):
    torch.manual_seed(0)
    model = Aggregation(6, 256, paper_marie.world_model.aggregation)
    assert abs(model.latents.std().item() - 1) < 0.05
    assert (len(model.blocks), model.heads, model.query.out_features) == (2, 8, 512)
    assert (
        {block.feed_forward.dropout for block in model.blocks}
        == {0.1}
        == {block.attention.dropout for block in model.blocks}
    )
    tokens = torch.randn(1, 6, 4, 256)
    assert not torch.equal(model.train()(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))
