"""Causality, episode borders and losses of the reward and termination transformer."""

from __future__ import annotations

import math

import pytest
import torch

from dima.experience.transitions import Segments
from dima.world_model.attention import KeyValueCache
from dima.world_model.reward_model import RewardModel, Scoring

STATE, AGENTS, ACTION, HORIZON = 4, 2, 3, 6


@pytest.fixture(params=["bernoulli", "categorical"])
def model(request, tiny_cell):
    torch.manual_seed(0)
    config = tiny_cell.parameters.reward_model.model_copy(update={"termination": request.param})
    return RewardModel(STATE, AGENTS, ACTION, HORIZON, config).double().eval()


def inputs():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, HORIZON, STATE, generator=generator, dtype=torch.float64)
    return states, torch.randn(3, HORIZON, AGENTS, ACTION, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("what", [0, 1])
def test_a_step_depends_on_itself_and_the_past_alone(model, what):
    before = inputs()
    after = [part.clone() for part in before]
    after[what][:, 3] += 1.0
    changed = (model(*before)[0] - model(*after)[0]).abs().amax(dim=0) > 1e-12
    assert changed.tolist() == [False] * 3 + [True] * 3


def test_attention_stops_at_the_border_of_an_episode(model):
    states, actions = inputs()
    episode = torch.tensor([0, 0, 1, 1, 1, 2]).expand(3, -1)
    other = states.clone()
    other[:, 2] += 1.0
    changed = (model(states, actions, episode)[0] - model(other, actions, episode)[0]).abs().amax(
        dim=0
    ) > 1e-12
    assert changed.tolist() == [False, False, True, True, True, False]


def test_one_episode_needs_no_mask(model):
    states, actions = inputs()
    torch.testing.assert_close(
        model(states, actions)[0], model(states, actions, torch.zeros(3, HORIZON, dtype=torch.long))[0]
    )


def test_a_shorter_rollout_scores_as_the_beginning_of_a_longer_one(model):
    states, actions = inputs()
    torch.testing.assert_close(model(states[:, :3], actions[:, :3])[0], model(states, actions)[0][:, :3])


def test_steps_scored_one_by_one_are_those_of_the_whole_segment(model):
    """Episodes begin at steps of their own in every row."""
    states, actions = inputs()
    episode = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0], [0, 1, 2, 2, 3, 3]])
    begins = torch.cat([torch.ones(3, 1, dtype=torch.bool), episode.diff(dim=1) > 0], dim=1)
    scoring = Scoring(model)
    steps = [scoring.step(states[:, step], actions[:, step], begins[:, step]) for step in range(HORIZON)]
    for found, expected in zip(zip(*steps, strict=True), model(states, actions, episode), strict=True):
        torch.testing.assert_close(torch.stack(found, dim=1), expected, rtol=0, atol=1e-12)


def test_a_block_that_reads_from_a_cache_sees_all_that_is_in_it(model):
    """Token by token and without a mask, as with the causal one."""
    tokens = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    block, cache = model.blocks[0], KeyValueCache(5)
    one_by_one = torch.cat([block(tokens[:, step : step + 1], None, cache) for step in range(5)], dim=1)
    torch.testing.assert_close(one_by_one, block(tokens, None), rtol=0, atol=1e-12)


def segments(terminated, truncated):
    states, actions = inputs()
    reward = torch.full((3, HORIZON), 2.0, dtype=torch.float64)
    return states, Segments(states, actions, reward, terminated, truncated)


def zero(model):
    for head in (model.reward_head, model.termination_head):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.zeros_(head[-1].bias)
    return model


def test_losses_by_hand(model):
    """Output 0 against reward 2: SmoothL1 = 2 - 0.5; even odds of the end: ln 2, whatever the truth."""
    ends = torch.zeros(3, HORIZON, dtype=torch.bool)
    states, data = segments(ends, ends)
    losses = zero(model).loss(states, data)
    assert losses["reward"].item() == pytest.approx(1.5)
    assert losses["termination"].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("timeout_counts", [True, False])
def test_a_timeout_is_a_termination_if_so_configured(tiny_cell, timeout_counts):
    config = tiny_cell.parameters.reward_model.model_copy(update={"timeout_is_termination": timeout_counts})
    torch.manual_seed(0)
    model = zero(RewardModel(STATE, AGENTS, ACTION, HORIZON, config).double().eval())
    model.termination_head[-1].bias.data.fill_(5.0)  # almost sure that the episode goes on
    none, some = torch.zeros(3, HORIZON, dtype=torch.bool), torch.zeros(3, HORIZON, dtype=torch.bool)
    some[:, 2] = True
    loss = model.loss(*segments(none, some))["termination"].item()
    softplus = math.log1p(math.exp(-5.0))
    assert loss == pytest.approx(softplus + (5.0 / HORIZON if timeout_counts else 0.0))


def test_continuation_is_a_probability_or_a_sample_of_it(model):
    logits = torch.zeros(400, 10, 2 if model.config.termination == "categorical" else 1)
    logits[..., -1] = -math.log(3)
    values = model.continuation(logits, torch.Generator().manual_seed(0))
    if model.config.termination == "bernoulli":
        assert values.unique().tolist() == pytest.approx([0.25])
    else:  # class 1, the end, has probability 1/4
        assert values.unique().tolist() == [0.0, 1.0]
        assert values.mean().item() == pytest.approx(0.75, abs=0.02)


def test_dropout_is_off_in_evaluation(paper):
    model = RewardModel(17, 2, 3, 4, paper.parameters.reward_model)
    states, actions = torch.randn(2, 4, 17), torch.randn(2, 4, 2, 3)
    assert not torch.equal(model.train()(states, actions)[0], model(states, actions)[0])
    assert torch.equal(model.eval()(states, actions)[0], model(states, actions)[0])


def test_training_borders_follow_the_ends_of_episodes(model):
    """An end at step 2: the loss is that of attention inside steps 0-2 and 3-5, and changing step 2 leaves
    what follows alone."""
    none, end = torch.zeros(3, HORIZON, dtype=torch.bool), torch.zeros(3, HORIZON, dtype=torch.bool)
    end[:, 2] = True
    states, data = segments(end, none)
    reward, _ = model(states, data.action, torch.tensor([0, 0, 0, 1, 1, 1]).expand(3, -1))
    expected = torch.nn.functional.smooth_l1_loss(reward, data.reward)
    assert model.loss(states, data)["reward"].item() == pytest.approx(expected.item())


def test_class_one_is_the_end(tiny_cell):
    torch.manual_seed(0)
    config = tiny_cell.parameters.reward_model.model_copy(update={"termination": "categorical"})
    model = zero(RewardModel(STATE, AGENTS, ACTION, HORIZON, config).double().eval())
    model.termination_head[-1].bias.data = torch.tensor([-4.0, 4.0], dtype=torch.float64)
    none = torch.zeros(3, HORIZON, dtype=torch.bool)
    assert model.loss(*segments(~none, none))["termination"].item() < 0.001
    assert model.loss(*segments(none, none))["termination"].item() > 7


def test_it_begins_like_a_gpt_of_thirty_positions(paper):
    """Weights of deviation 0.02, no biases; two tokens a step, six blocks of four heads, dropout in and after
    each of them."""
    torch.manual_seed(0)
    config = paper.parameters.reward_model
    model = RewardModel(17, 2, 3, paper.parameters.behavior.horizon, config)
    assert model.position.shape == (30, 256)
    assert model.position.std().item() == pytest.approx(0.02, rel=0.1)
    for layer in (
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.weight.numel() > 5000
    ):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
    assert len(model.blocks) == 6
    assert {
        (block.attention.heads, block.attention.dropout, block.feed_forward[-1].p) for block in model.blocks
    } == {(4, 0.1, 0.1)}
    assert {type(layer) for layer in model.reward_head[1::2]} == {torch.nn.ReLU}
    shapes = [
        (layer.in_features, layer.out_features)
        for layer in (*model.reward_head[::2], model.termination_head[-1])
    ]
    assert shapes == [(256, 256), (256, 256), (256, 1), (256, 1)]
    sampled = RewardModel(17, 2, 3, 15, config.model_copy(update={"termination": "categorical"}))
    assert sampled.termination_head[-1].out_features == 2


def test_joint_actions_are_one_token_by_attention_over_the_agents(paper):
    """Three blocks of eight heads of 32 without dropout; every agent's action counts, and whose it is."""
    torch.manual_seed(0)
    token = RewardModel(17, 3, 2, 15, paper.parameters.reward_model).action_token.train()
    assert {
        (block.attention.heads, block.attention.dropout, block.attention.output.in_features)
        for block in token.blocks
    } == {(8, 0.0, 256)}
    assert len(token.blocks) == 3
    assert {block.feed_forward.narrow.in_features for block in token.blocks} == {4 * 256}
    actions = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    first = token(actions)
    assert first.shape == (2, 4, 256)
    assert torch.equal(token(actions), first)
    for agent in range(3):
        other = actions.clone()
        other[:, :, agent] += 1.0
        assert not torch.allclose(token(other), first, atol=1e-7, rtol=0)
    assert not torch.allclose(token(actions.flip(2)), first, atol=1e-7, rtol=0)
