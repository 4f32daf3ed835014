"""Latent rollouts in a hand-written model, and one PPO update against a plain loop."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import CONFIG

from dima.baselines.mamba.actor_critic import MambaActorCritic
from dima.baselines.mamba.imagination import LatentRollout, imagine
from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.behavior.networks import Actor
from dima.config import MambaParameters
from dima.config.grid import merge, validate
from dima.config.yaml_file import read_yaml
from dima.experience.dimensions import Dimensions

CPU = torch.device("cpu")


class Counting(RecurrentModel):
    """The deterministic state sums up the actions it is given; reward and continuation say what they are made
    from."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def imagine_step(self, state, action, generator):
        return LatentState(state.deterministic + action, state.stochastic + 1)

    def outcome(self, stochastic, next_deterministic):
        return next_deterministic[..., 0] + 100 * stochastic[..., 0], stochastic[..., 0]


class Alternating(Actor):
    """Agent i's action is 3 times what its feature says, minus the state's number."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def sample(self, feature, generator):
        return 3 * feature[..., 1:] - feature[..., :1]


def test_a_rollout_by_hand():
    """Two agents; the second one's actions leave [-1, 1] and enter the model clipped, but are kept as
    sampled."""
    start = LatentState(torch.tensor([[[0.2], [2.0]]]), torch.zeros(1, 2, 1))
    rollout = imagine(Counting(), Alternating(), start, 4, torch.Generator(), torch.Generator())
    first, second = [0.2], [2.0]
    actions = []
    for step in range(3):
        actions.append((3 * first[-1] - step, 3 * second[-1] - step))
        first.append(first[-1] + max(-1, min(1, actions[-1][0])))
        second.append(second[-1] + max(-1, min(1, actions[-1][1])))
    assert max(abs(action) for pair in actions for action in pair) > 1
    torch.testing.assert_close(rollout.action[0, :, :, 0], torch.tensor(actions))
    torch.testing.assert_close(rollout.feature[0, :, :, 1], torch.tensor([first, second]).T)
    assert rollout.feature[0, :, 0, 0].tolist() == [0, 1, 2, 3]
    reward = [(first[step + 1] + second[step + 1]) / 2 + 100 * step for step in range(3)]
    torch.testing.assert_close(rollout.reward[0], torch.tensor(reward))
    torch.testing.assert_close(rollout.continuation[0, :, 1], torch.tensor([0.0, 1.0, 2.0]).sigmoid())


ROWS, STATES, AGENTS, ACTION = 6, 5, 3, 2


@pytest.fixture
def parameters() -> MambaParameters:
    small = {
        "model": {"hidden": 8, "recurrent": 3, "categoricals": 2, "classes": 2, "attention": {"heads": 2}},
        "behavior": {
            "actor_hidden": [8], "critic_hidden": 8,
            "critic_attention": {"heads": 2, "feed_forward": 8, "dropout": 0.0},
            "ppo_epochs": 2, "minibatch_size": 10, "clip": 0.001, "entropy_decay": 0.5,
            "entropy_coefficient": 0.1,
            "actor_optimizer": {"learning_rate": 0.01, "weight_decay": 0.1, "gradient_clip": 0.05},
            "critic_optimizer": {"learning_rate": 0.02},
        },
    }  # fmt: skip
    return validate(
        MambaParameters, merge(read_yaml(CONFIG / "methods/mamba.yaml")["parameters"], small), "test"
    )


@pytest.fixture
def rollout() -> LatentRollout:
    generator = torch.Generator().manual_seed(0)
    return LatentRollout(
        feature=torch.randn(ROWS, STATES, AGENTS, 7, generator=generator, dtype=torch.float64),
        action=torch.randn(ROWS, STATES - 1, AGENTS, ACTION, generator=generator, dtype=torch.float64),
        reward=torch.randn(ROWS, STATES - 1, generator=generator, dtype=torch.float64),
        continuation=torch.rand(ROWS, STATES - 1, AGENTS, generator=generator, dtype=torch.float64),
    )


def plain_update(networks, rollout, config, generator):
    """What `MambaActorCritic.update` says it does. Returns (actor, critic)."""
    actor, critic = copy.deepcopy(networks.actor), copy.deepcopy(networks.critic)
    values = critic(rollout.feature).detach()
    returns = torch.zeros(ROWS, STATES - 1, AGENTS, dtype=torch.float64)
    for row in range(ROWS):
        for agent in range(AGENTS):
            following = values[row, -1, agent]
            for step in reversed(range(STATES - 1)):
                mixed = (1 - config.return_lambda) * values[
                    row, step + 1, agent
                ] + config.return_lambda * following
                following = (
                    rollout.reward[row, step]
                    + config.discount * rollout.continuation[row, step, agent] * mixed
                )
                returns[row, step, agent] = following
    advantages = returns - values[:, :-1]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-4)
    rows = [(row, step) for row in range(ROWS) for step in range(STATES - 1)]

    def log_prob(row, step, agent):
        policy = actor(rollout.feature[row, step, agent])
        return policy.log_prob(rollout.action[row, step, agent]).sum(), policy.entropy().sum()

    old = {
        (row, step, agent): log_prob(row, step, agent)[0].detach()
        for row, step in rows
        for agent in range(AGENTS)
    }
    actor_adam = torch.optim.Adam(
        actor.parameters(), lr=torch.tensor(0.01).item(), weight_decay=0.1, eps=1e-8
    )
    critic_adam = torch.optim.Adam(critic.parameters(), lr=torch.tensor(0.02).item(), eps=1e-8)
    entropy_coefficient = 0.1
    for _ in range(2):
        order = torch.randperm(len(rows), generator=generator).tolist()
        for first in range(0, len(rows), 10):
            chosen = [rows[number] for number in order[first : first + 10]]
            actor_terms, critic_terms = [], []
            for row, step in chosen:
                for agent in range(AGENTS):
                    new, entropy = log_prob(row, step, agent)
                    ratio, advantage = (new - old[row, step, agent]).exp(), advantages[row, step, agent]
                    objective = torch.min(ratio * advantage, ratio.clamp(0.999, 1.001) * advantage)
                    actor_terms.append(-objective - entropy_coefficient * entropy)
                    critic_terms.append(
                        (critic(rollout.feature[row, step])[agent] - returns[row, step, agent]) ** 2 / 2
                    )
            for network, optimizer, terms, bound in (
                (actor, actor_adam, actor_terms, 0.05),
                (critic, critic_adam, critic_terms, 100),
            ):
                optimizer.zero_grad()
                torch.stack(terms).mean().backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), bound)
                optimizer.step()
            entropy_coefficient *= 0.5
    return actor, critic


def test_an_update_against_a_plain_loop(parameters, rollout):
    """Shuffled minibatches of 10, 10 and 4 rows, twice; clipping of ratios and of the actor's gradient both
    at work."""
    torch.manual_seed(0)
    networks = MambaActorCritic(Dimensions(0, AGENTS, 1, ACTION), parameters, CPU)
    (
        networks.actor.double(),
        networks.critic.double(),
    )  # the keys' bias has no gradient, and Adam makes steps of what rounding leaves of it
    torch.nn.init.normal_(networks.actor.mean.weight)
    actor, critic = plain_update(networks, rollout, parameters.behavior, torch.Generator().manual_seed(5))
    before = copy.deepcopy(networks.actor)
    report = networks.update(rollout, torch.Generator().manual_seed(5))
    for own, plain in ((networks.actor, actor), (networks.critic, critic)):
        for name, weight in plain.named_parameters():
            torch.testing.assert_close(own.get_parameter(name), weight, atol=1e-9, rtol=1e-9, msg=name)
    assert not torch.allclose(before.mean.weight, networks.actor.mean.weight, atol=1e-3)
    assert networks.entropy_coefficient == pytest.approx(0.1 * 0.5**6)
    assert report["imagined_reward"] == rollout.reward.mean()
    assert not networks.critic.training


def test_the_critic_of_an_agent_sees_all_agents_of_its_state(parameters, rollout):
    torch.manual_seed(0)
    critic = MambaActorCritic(Dimensions(0, AGENTS, 1, ACTION), parameters, CPU).critic.double()
    changed = rollout.feature.clone()
    changed[0, 0, 1] += 1
    moved = (critic(changed) - critic(rollout.feature)).abs() > 1e-6
    assert moved[0, 0].tolist() == [True] * AGENTS
    assert moved.sum() == AGENTS
