"""One whole PPO update against a plain implementation: loops over rows, steps and agents, in float64."""

from __future__ import annotations

import copy

import pytest
import torch

from dima.behavior.actor_critic import ActorCritic
from dima.behavior.imagination import Rollout
from dima.experience.dimensions import Dimensions

BATCH, HORIZON, AGENTS, ACTION = 6, 4, 2, 2


def rollout(seed):
    """Rewards, ends and observations are all different."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Rollout(
        state=normal(BATCH, HORIZON + 1, 3),
        last_action=normal(BATCH, HORIZON + 1, AGENTS, ACTION),
        observation=normal(BATCH, HORIZON, AGENTS, 4),
        action=normal(BATCH, HORIZON, AGENTS, ACTION),
        reward=3 * normal(BATCH, HORIZON),
        continuation=torch.rand(BATCH, HORIZON, generator=generator, dtype=torch.float64),
    )


def plain_update(learner, data):
    """What `ActorCritic.update` says it does, one number at a time. Returns (actor, critic) after the
    update."""
    config = learner.config
    actor, critic, values_of = (
        copy.deepcopy(learner.actor),
        copy.deepcopy(learner.critic),
        copy.deepcopy(learner.value_normalizer),
    )
    normalize = config.critic_loss == "normalized_huber"

    def value(row, step):
        inputs = data.state[row, step]
        if config.critic_input == "state_and_last_action":
            inputs = torch.cat([inputs, data.last_action[row, step].flatten()])
        return critic(inputs[None])[0]

    def log_probability(row, step, agent):
        policy = actor(data.observation[row, step, agent][None])
        return policy.log_prob(data.action[row, step, agent][None]).sum(), policy.entropy().sum()

    steps = [(row, step) for row in range(BATCH) for step in range(HORIZON)]
    with torch.no_grad():
        old = {(row, step): value(row, step) for row in range(BATCH) for step in range(HORIZON + 1)}
        in_returns = {
            key: values_of.denormalize(number) if normalize else number for key, number in old.items()
        }
        returns = {}
        for row in range(BATCH):
            following = in_returns[row, HORIZON]
            for step in reversed(range(HORIZON)):
                mixed = (1 - config.return_lambda) * in_returns[
                    row, step + 1
                ] + config.return_lambda * following
                following = data.reward[row, step] + config.discount * data.continuation[row, step] * mixed
                returns[row, step] = following
        advantage = {key: returns[key] - in_returns[key] for key in steps}
        of_all = torch.stack([advantage[key] for key in steps])
        advantage = {key: (advantage[key] - of_all.mean()) / (of_all.std() + 1e-4) for key in steps}
        old_log = {(*key, agent): log_probability(*key, agent)[0] for key in steps for agent in range(AGENTS)}

    actor_adam = torch.optim.Adam(actor.parameters(), lr=config.actor_learning_rate, eps=config.adam_epsilon)
    critic_adam = torch.optim.Adam(
        critic.parameters(), lr=config.critic_learning_rate, eps=config.adam_epsilon
    )
    for _ in range(config.ppo_epochs):
        objectives, entropies = [], []
        for row, step in steps:
            for agent in range(AGENTS):
                log, entropy = log_probability(row, step, agent)
                entropies.append(entropy)
                ratio = torch.exp(log - old_log[row, step, agent])
                kept = ratio.clamp(1 - config.clip, 1 + config.clip)
                objectives.append(torch.min(ratio * advantage[row, step], kept * advantage[row, step]))
        loss = -torch.stack(objectives).mean() - config.entropy_coefficient * torch.stack(entropies).mean()
        descend(actor, actor_adam, loss, config.gradient_clip)

        if normalize:
            values_of.update(torch.stack([returns[key] for key in steps]))
        errors = []
        for key in steps:
            now = value(*key)
            if normalize:
                target = values_of.normalize(returns[key])
                near = old[key] + (now - old[key]).clamp(-config.clip, config.clip)
                errors.append(
                    torch.max(
                        huber(now - target, config.huber_delta), huber(near - target, config.huber_delta)
                    )
                )
            else:
                errors.append((now - returns[key]) ** 2)
        descend(critic, critic_adam, torch.stack(errors).mean(), config.gradient_clip)
    return actor, critic


def huber(error, delta):
    size = error.abs()
    return 0.5 * size**2 if size <= delta else delta * (size - 0.5 * delta)


def descend(network, adam, loss, bound):
    """One step of Adam along the gradient, shortened to `bound` as a whole."""
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        parameter.grad = gradient * min(1.0, bound / (norm + 1e-6))
    adam.step()


@pytest.mark.parametrize("gradient_clip", [10.0, 1e-6])
@pytest.mark.parametrize("changes", [{}, {"critic_loss": "mse"}, {"critic_input": "state"}], ids=str)
def test_an_update_is_what_the_equations_say(tiny_cell, changes, gradient_clip):
    """A tiny bound on the gradient makes Adam's epsilon count, so that the bound itself shows in the
    weights."""
    torch.manual_seed(0)
    changes = {
        "ppo_epochs": 3,
        "clip": 0.02,
        "entropy_coefficient": 0.05,
        "gradient_clip": gradient_clip,
    } | changes
    config = tiny_cell.parameters.behavior.model_copy(update=changes)
    learner = ActorCritic(Dimensions(3, AGENTS, 4, ACTION), config, torch.device("cpu"))
    for network in (learner.actor, learner.critic):
        network.double()
    learner.update(rollout(1))  # so that the statistics of the returns are not those of the start
    for adam in (learner.actor_optimizer, learner.critic_optimizer):
        adam.state.clear()
    actor, critic = plain_update(learner, rollout(2))
    learner.update(rollout(2))
    for ours, plain in ((learner.actor, actor), (learner.critic, critic)):
        for (name, weight), expected in zip(ours.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(
                weight, expected, rtol=0, atol=2e-7, msg=lambda text, name=name: f"{name}: {text}"
            )
