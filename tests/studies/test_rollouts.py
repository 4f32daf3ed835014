"""World models rolled out along the actions of a scene: models written by hand, and ones whose draws are
decided."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from counting_model import AGENTS, TOKENS, CountingTokenizer, CountingWorld

from dima.baselines.mamba.imagination import filtered
from dima.baselines.mamba.imagination import imagine_along as along_latents
from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.baselines.mamba.sequences import Aligned
from dima.baselines.marie.imagination import imagine_along as along_tokens
from dima.cell.methods import build_learner
from dima.config.grid import CellKey, merge, validate
from dima.errors import UserError
from dima.studies.episodes import RealEpisode, play
from dima.studies.rollouts import imagined
from dima.studies.scene import Scene

CPU = torch.device("cpu")


def scene(start=6, horizon=10, length=30):
    """Two agents; at step t agent i sees (100 t + 10 i, 0, 0, 0, 0) and does (t + i) / 10, which is clipped
    from t = 10 - i on."""
    time, agent = np.arange(length, dtype=np.float32)[:, None], np.arange(AGENTS, dtype=np.float32)
    observations = np.zeros((length, AGENTS, 5), dtype=np.float32)
    observations[:, :, 0] = 100 * time + 10 * agent
    ends = np.arange(length) == length - 1
    states = np.repeat(time, 6, axis=1)
    episode = RealEpisode(
        states, observations, ((time + agent) / 10)[..., None], time[:, 0], np.zeros_like(ends), ends
    )
    return Scene(episode, start, horizon, "dima seed-1")


def tensors(*arrays):
    return [torch.from_numpy(array).float() for array in arrays]


def known(model, scene):
    """MAMBA's latent state at the start of the scene."""
    return filtered(model, *tensors(*scene.past[1:]))


def mamba_observations(model, scene, seed):
    actions, generator = torch.from_numpy(scene.action), torch.Generator().manual_seed(seed)
    return along_latents(model, known(model, scene), actions, generator)


def marie_observations(world_model, most, scene, seed):
    start, actions = tensors(scene.past.observation[-1, :, :1], scene.action[:most])
    return along_tokens(CountingTokenizer(), world_model, start, actions, torch.Generator().manual_seed(seed))


def decoded(model, state):
    return model.observation_head(model.decoder(state.feature))


class Adding(RecurrentModel):
    """An agent's deterministic state is the first number that it saw, plus what it did since."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.told = []
        self.decoder = torch.nn.Identity()
        self.observation_head = lambda feature: feature[..., 1:]

    def initial(self, batch, agents):
        return LatentState(torch.zeros(batch, agents, 1), torch.zeros(batch, agents, 1))

    def observe_step(self, state, action, observation, generator):
        assert generator is None
        self.told.append(action[0, :, 0].tolist())
        return LatentState(observation[..., :1], state.stochastic)

    def imagine_step(self, state, action, generator):
        assert generator is not None
        return LatentState(state.deterministic + action, state.stochastic)


def test_mamba_is_told_the_past_and_imagines_along_clipped_actions():
    model = Adding()
    found = mamba_observations(model, scene(), 1)
    torch.testing.assert_close(
        torch.tensor(model.told), torch.tensor([[0.0, 0.0], *([t / 10, (t + 1) / 10] for t in range(6))])
    )
    done = np.minimum((np.arange(6, 16)[:, None] + np.arange(2)) / 10, 1)
    np.testing.assert_allclose(found[..., 0], np.array([600.0, 610.0]) + done.cumsum(axis=0), rtol=1e-6)


@pytest.fixture
def mamba(tiny):
    learner = build_learner(tiny.resolve(CellKey("push-mass", "mamba", 1)), CPU)
    yield learner
    learner.close()


@torch.no_grad()
def decided(model):
    """Priors and posteriors so sharp that a sample is the most likely class."""
    for layers in (model.prior_logits, model.posterior_logits):
        layers[-1].weight.mul_(1e5)
        layers[-1].bias.mul_(1e5)
    return model


@torch.no_grad()
def test_the_filtered_state_is_the_last_of_the_posterior_chain_that_training_unrolls(mamba):
    model, given = decided(mamba.model), scene()
    observations, actions = (
        torch.from_numpy(getattr(given.episode, name)[:7])[None] for name in ("observation", "action")
    )
    previous = torch.cat([torch.zeros_like(actions[:, :1]), actions[:, :-1].clamp(-1, 1)], dim=1)
    flags = torch.zeros(1, 7, dtype=torch.bool)
    sequence = Aligned(observations, previous, flags, flags, torch.zeros(1, 7), flags)
    states = model.unroll(sequence, torch.Generator().manual_seed(3)).states
    found = known(model, given)
    torch.testing.assert_close(found.deterministic, states.deterministic[:, -1])
    torch.testing.assert_close(found.stochastic, states.stochastic[:, -1])
    torch.testing.assert_close(
        decoded(model, found), model.observation_head(model.decoder(states.feature))[:, -1]
    )


@torch.no_grad()
def test_mamba_imagines_by_its_prior(mamba):
    model, given = decided(mamba.model), scene(horizon=5)
    found = mamba_observations(model, given, 1)
    torch.testing.assert_close(mamba_observations(model, given, 2), found)  # nothing is left to chance
    state = known(model, given)
    for step, action in enumerate(torch.from_numpy(given.action).clamp(-1, 1)):
        deterministic = model.advance(state, action[None])
        most_likely = (
            torch.nn.functional.one_hot(model.prior(deterministic).argmax(dim=-1), model.config.classes)
            .flatten(-2)
            .float()
        )
        state = LatentState(deterministic, most_likely)
        torch.testing.assert_close(found[step], decoded(model, state)[0])


def test_mambas_latent_states_follow_from_the_seed(mamba):
    first, again, other = (mamba_observations(mamba.model, scene(), seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_filter_knows_what_the_deterministic_policy_remembers(mamba, tiny):
    policy = mamba.frozen_policy()
    (episode,) = play(lambda observations, _noise: policy(observations), tiny.task("push-mass"), 1, 1)
    last = len(episode) - 1
    state, _ = policy._memory
    found = known(mamba.model, Scene(episode, last, 0, "mamba seed-1"))
    torch.testing.assert_close(found.feature, state.feature)


@pytest.mark.parametrize(("most", "reached"), [(3, 3), (10, 10), (14, 10)])
def test_marie_goes_on_from_the_start_along_the_actions_and_no_further_than_it_can(most, reached):
    world = CountingWorld()
    found = marie_observations(world, most, scene(), 1)
    np.testing.assert_array_equal(found[..., 0], np.array([600, 610]) + np.arange(1, reached + 1)[:, None])
    actions, uniform = (torch.stack(values) for values in list(zip(*world.given, strict=True))[1:])
    np.testing.assert_allclose(
        actions[:, 0, :, 0], (np.arange(6, 6 + reached)[:, None] + np.arange(2)) / 10, rtol=1e-6
    )
    assert uniform.shape == (reached, 1, AGENTS, TOKENS)
    assert len(uniform.unique()) == uniform.numel()  # fresh numbers for every token

    again, other = CountingWorld(), CountingWorld()
    for model, seed in ((again, 1), (other, 2)):
        marie_observations(model, most, scene(), seed)
    assert torch.equal(again.given[0][2], world.given[0][2])
    assert not torch.equal(other.given[0][2], world.given[0][2])


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("descending", ["descending", "ascending", "random", "2-1-1-2"]),
        ("random", ["random", "descending", "ascending", "2-1-1-2"]),
        ([2, 1, 1, 2], ["2-1-1-2", "descending", "ascending", "random"]),
        ([1, 2, 1, 2], ["1-2-1-2", "descending", "ascending", "random", "2-1-1-2"]),
    ],
)
def test_the_order_that_the_model_is_used_with_comes_first(tiny_cell, order, names):
    cell = validate(
        type(tiny_cell),
        merge(tiny_cell.model_dump(mode="json"), {"parameters": {"sampler": {"order": order}}}),
        "test",
    )
    learner = build_learner(cell, CPU)
    rollouts = imagined(learner, learner._collector.environment, scene(), 1)
    assert [rollout.name for rollout in rollouts] == names
    assert {rollout.state.shape for rollout in rollouts} == {(10, 6)}
    assert {rollout.observation.shape for rollout in rollouts} == {(10, 2, 5)}
    learner.close()


def test_a_model_that_is_given_more_than_has_happened_is_refused(tiny_cell):
    learner = build_learner(tiny_cell, CPU)
    with pytest.raises(
        UserError, match="The model is given 3 states, and the frames of dima seed-1 begin after step 1"
    ):
        imagined(learner, learner._collector.environment, scene(start=1), 1)
    learner.close()
