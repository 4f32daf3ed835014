"""The PPO losses by hand, and that an update moves the policy towards what pays."""

from __future__ import annotations

import pytest
import torch

from dima.behavior.actor_critic import ActorCritic, clipped_objective, clipped_value_errors, normalized
from dima.behavior.imagination import Rollout
from dima.experience.dimensions import Dimensions


def test_clipped_objective_by_hand():
    ratio = torch.tensor([[1.5, 0.5, 1.05], [1.5, 0.5, 1.05]])
    advantages = torch.tensor([[2.0], [-2.0]])
    expected = [[2.2, 1.0, 2.1], [-3.0, -1.8, -2.1]]
    torch.testing.assert_close(clipped_objective(ratio, advantages, 0.1), torch.tensor(expected))


def test_clipped_value_errors_by_hand():
    """Values 1 and -1 from an old value 0, target 2: kept within 0.1 they are 0.1 and -0.1, and the larger
    Huber error counts."""
    errors = clipped_value_errors(
        torch.tensor([1.0, -1.0, 30.0]), torch.zeros(3), torch.full((3,), 2.0), 0.1, 10.0
    )
    torch.testing.assert_close(errors, torch.tensor([0.5 * 1.9**2, 0.5 * 3.0**2, 10 * (28 - 5.0)]))


def test_advantages_are_normalised_over_the_whole_batch():
    """Mean 3, and squares that add up to 16 over 5 degrees of freedom."""
    result = normalized(torch.tensor([[1.0, 1.0, 5.0], [5.0, 3.0, 3.0]]))
    expected = 2 / (3.2**0.5 + 1e-4)
    torch.testing.assert_close(result, torch.tensor([[-expected, -expected, expected], [expected, 0.0, 0.0]]))


def rollout(generator, batch=64, horizon=5, state=3, agents=2, action=1):
    """Reward is the sum of the agents' actions; the state is noise."""
    states = torch.randn(batch, horizon + 1, state, generator=generator)
    actions = torch.randn(batch, horizon, agents, action, generator=generator) * 0.3655
    return Rollout(
        state=states,
        last_action=torch.zeros(batch, horizon + 1, agents, action),
        observation=torch.randn(batch, horizon, agents, 4, generator=generator),
        action=actions,
        reward=actions.sum(dim=(2, 3)),
        continuation=torch.zeros(batch, horizon),
    )


@pytest.fixture(params=[{}, {"critic_loss": "mse"}, {"critic_input": "state"}])
def learner(request, tiny_cell):
    torch.manual_seed(0)
    config = tiny_cell.parameters.behavior.model_copy(update=request.param)
    return ActorCritic(Dimensions(3, 2, 4, 1), config, torch.device("cpu"))


def test_the_first_ratio_is_one(learner):
    """Before any step the objective is the mean advantage, 0, so the first actor loss is minus the entropy
    bonus."""
    one = learner.config.model_copy(update={"ppo_epochs": 1})
    learner.config = one
    result = learner.update(rollout(torch.Generator().manual_seed(0)))
    assert result["actor_loss"].item() == pytest.approx(
        -one.entropy_coefficient * result["entropy"].item(), abs=1e-6
    )


def test_the_policy_moves_towards_reward(learner):
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(100, 2, 4, generator=generator)
    before = learner.actor(observations).mean.mean().item()
    for _ in range(60):
        data = rollout(generator)
        policy = learner.actor(data.observation)
        action = (policy.mean + policy.stddev * torch.randn(policy.mean.shape, generator=generator)).detach()
        data = Rollout(**{**data.__dict__, "action": action, "reward": action.sum(dim=(2, 3))})
        learner.update(data)
    assert learner.actor(observations).mean.mean().item() > before + 0.3


def test_the_critic_learns_the_value(learner):
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        data = rollout(generator)
        learner.update(Rollout(**{**data.__dict__, "reward": torch.full_like(data.reward, 4.0)}))
    inputs = learner._critic_inputs(rollout(generator))
    assert learner._in_units_of_return(learner.critic(inputs)).mean().item() == pytest.approx(4.0, abs=0.5)


@pytest.mark.parametrize(("inputs", "size"), [("state_and_last_action", 17 + 2 * 3), ("state", 17)])
def test_the_critic_reads_the_state_and_perhaps_the_last_actions(paper, inputs, size):
    learner = ActorCritic(
        Dimensions(17, 2, 19, 3),
        paper.parameters.behavior.model_copy(update={"critic_input": inputs}),
        torch.device("cpu"),
    )
    assert learner.critic.trunk[0].normalized_shape == (size,)
    assert [layer.out_features for layer in learner.critic.trunk[1::3]] == [256, 256]
    assert learner.actor.trunk[0].normalized_shape == (19,)


def test_both_optimizers_are_adam_without_decay(paper):
    learner = ActorCritic(Dimensions(17, 2, 19, 3), paper.parameters.behavior, torch.device("cpu"))
    for optimizer in (learner.actor_optimizer, learner.critic_optimizer):
        assert type(optimizer) is torch.optim.Adam
        (group,) = optimizer.param_groups
        assert (group["lr"], group["eps"], group["weight_decay"], group["betas"]) == (
            5e-4,
            1e-5,
            0,
            (0.9, 0.999),
        )
    assert set(learner.state_dict()) == {
        "actor",
        "critic",
        "value_normalizer",
        "actor_optimizer",
        "critic_optimizer",
    }  # no target critic
