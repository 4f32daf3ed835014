"""The critic that attends over agents, and the update against a plain one."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from dima.baselines.marie.actor_critic import MarieActorCritic
from dima.baselines.marie.imagination import TokenRollout
from dima.baselines.marie.networks import AttentionCritic
from dima.experience.dimensions import Dimensions

BATCH, TIME, AGENTS, OBSERVATION, ACTION = 6, 5, 3, 4, 2


@pytest.fixture
def config(make_cell):
    return make_cell(
        behavior={"ppo_epochs": 3, "entropy_coefficient": 0.02, "clip": 0.05, "gradient_clip": 0.5}
    ).parameters.behavior


def rollout(seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return TokenRollout(
        observation=normal(BATCH, TIME + 1, AGENTS, OBSERVATION),
        action=0.4 * normal(BATCH, TIME, AGENTS, ACTION),
        reward=normal(BATCH, TIME, AGENTS),
        continuation=torch.rand(BATCH, TIME, AGENTS, generator=generator),
    )


def test_every_agents_value_depends_on_every_agents_observation(config):
    torch.manual_seed(0)
    critic = AttentionCritic(AGENTS, OBSERVATION, config)
    observations = torch.randn(2, 7, AGENTS, OBSERVATION)
    before = critic(observations)
    assert before.shape == (2, 7, AGENTS)
    for agent in range(AGENTS):
        other = observations.clone()
        other[0, 3, agent] += torch.tensor([1.0, -1.0, 0.5, 0.0])
        moved = (critic(other) - before).abs() > 1e-7
        assert moved[0, 3].all()
        assert moved.sum() == AGENTS


@pytest.mark.parametrize("coded", [True, False])
def test_the_critic_tells_agents_apart_by_their_code_alone(make_cell, coded):
    torch.manual_seed(0)
    critic = AttentionCritic(
        AGENTS, OBSERVATION, make_cell(behavior={"critic_agent_code": coded}).parameters.behavior
    )
    observations = torch.randn(7, AGENTS, OBSERVATION)
    turned, expected = critic(observations.flip(1)), critic(observations).flip(1)
    assert torch.allclose(turned, expected, atol=1e-5) != coded


def test_the_releases_critic(paper_marie):
    critic = AttentionCritic(2, 19, paper_marie.behavior)
    linear = [layer for layer in critic.mlp if isinstance(layer, torch.nn.Linear)]
    assert critic.embed[1].out_features == 128
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(128, 128)] * 3 + [(128, 1)]
    torch.testing.assert_close(linear[0].weight @ linear[0].weight.T, 2 * torch.eye(128), rtol=0, atol=1e-4)


def test_the_critic_is_what_the_releases_layers_compute(paper_marie):
    """Step by step: the code, attention of 8 heads and a ReLU feed-forward behind norms, ReLU, norms around
    the hidden layers."""
    torch.manual_seed(0)
    critic = AttentionCritic(2, 19, paper_marie.behavior).double()
    layer, observations = critic.attention, torch.randn(5, 2, 19, dtype=torch.float64)
    angles = 1 / 10000 ** (torch.arange(0, 128, 2, dtype=torch.float64) / 128)
    code = torch.stack(
        [
            torch.cat([f(n * angles)[:, None] for f in (torch.sin, torch.cos)], dim=1).flatten()
            for n in range(2)
        ]
    )
    tokens = (critic.embed[1](F.layer_norm(observations, (19,), *critic.embed[0].parameters()))).relu() + code
    query, key, value = F.linear(
        layer.norm1(tokens), layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias
    ).chunk(3, dim=-1)
    query, key, value = (part.view(5, 2, 8, 16).transpose(1, 2) for part in (query, key, value))
    mixed = (query @ key.transpose(-2, -1) / 4).softmax(dim=-1) @ value
    tokens = tokens + layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
    tokens = tokens + layer.linear2(layer.linear1(layer.norm2(tokens)).relu())
    hidden = critic.mlp[0](tokens.relu())
    for linear, norm in ((1, 3), (4, 6), (7, 9)):
        hidden = critic.mlp[norm](critic.mlp[linear](hidden).relu())
    torch.testing.assert_close(critic(observations), critic.mlp[10](hidden)[..., 0], rtol=1e-6, atol=1e-6)
    assert {type(critic.mlp[place]) for place in (0, 3, 6, 9)} == {torch.nn.LayerNorm}


def test_returns_are_each_agents_own(config):
    """r + gamma c ((1 - lambda) v' + lambda R'), backwards from the last value, agent by agent."""
    learner = MarieActorCritic(Dimensions(0, AGENTS, OBSERVATION, ACTION), config, torch.device("cpu"))
    data, values = rollout(), torch.randn(BATCH, TIME + 1, AGENTS)
    found = learner._returns(data, values)
    gamma, lam = config.discount, config.return_lambda
    for b in range(BATCH):
        for n in range(AGENTS):
            following = values[b, TIME, n]
            for t in reversed(range(TIME)):
                mixed = (1 - lam) * values[b, t + 1, n] + lam * following
                following = data.reward[b, t, n] + gamma * data.continuation[b, t, n] * mixed
                assert found[b, t, n].item() == pytest.approx(following.item(), rel=1e-4, abs=1e-5)


def test_an_update_is_ppo_with_every_agents_own_advantage(config):
    """Against a plain one that is written out: the same weights after three passes."""
    torch.manual_seed(0)
    learner = MarieActorCritic(Dimensions(0, AGENTS, OBSERVATION, ACTION), config, torch.device("cpu"))
    learner.value_normalizer.update(torch.randn(50) * 3 + 1)
    actor, critic, normalizer = (
        copy.deepcopy(part) for part in (learner.actor, learner.critic, learner.value_normalizer)
    )
    data = rollout()
    report = learner.update(data)

    acted_on = data.observation[:, :-1]
    with torch.no_grad():
        old_values = critic(data.observation)
        values = normalizer.denormalize(old_values)
        returns = learner._returns(data, values)
        advantage = returns - values[:, :-1]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-4)
        old = actor(acted_on).log_prob(data.action).sum(-1)
    optimizers = [
        torch.optim.Adam(part.parameters(), lr=config.learning_rate, eps=config.adam_epsilon)
        for part in (actor, critic)
    ]
    for _ in range(3):
        policy = actor(acted_on)
        ratio = (policy.log_prob(data.action).sum(-1) - old).exp()
        bounded = ratio.clamp(0.95, 1.05)
        actor_loss = (
            -torch.minimum(ratio * advantage, bounded * advantage).mean()
            - 0.02 * policy.entropy().sum(-1).mean()
        )
        normalizer.update(returns)
        target = normalizer.normalize(returns)
        value = critic(acted_on)
        near = old_values[:, :-1] + (value - old_values[:, :-1]).clamp(-0.05, 0.05)
        errors = [
            torch.where((x - target).abs() < 10, (x - target) ** 2 / 2, 10 * ((x - target).abs() - 5))
            for x in (value, near)
        ]
        critic_loss = torch.maximum(*errors).mean()
        for part, optimizer, loss in zip((actor, critic), optimizers, (actor_loss, critic_loss), strict=True):
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(part.parameters(), 0.5)
            optimizer.step()
    for mine, theirs in ((learner.actor, actor), (learner.critic, critic)):
        for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert report["actor_loss"].item() == pytest.approx(actor_loss.item(), rel=1e-4)
    assert report["critic_loss"].item() == pytest.approx(critic_loss.item(), rel=1e-4)
    assert report["imagined_reward"].item() == pytest.approx(data.reward.mean().item())
