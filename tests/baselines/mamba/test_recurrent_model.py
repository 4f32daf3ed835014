"""The world model: sizes, communication, episode borders, and its losses against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from conftest import CONFIG

from dima.baselines.mamba.actor_critic import MambaActorCritic
from dima.baselines.mamba.latent import LatentState, sampled
from dima.baselines.mamba.losses import model_losses
from dima.baselines.mamba.networks import AgentAttention, agent_code
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.baselines.mamba.sequences import Aligned
from dima.config import MambaModelConfig, MambaParameters
from dima.config.grid import merge, validate
from dima.config.yaml_file import read_yaml
from dima.experience.dimensions import Dimensions

CPU = torch.device("cpu")
AGENTS, OBSERVATION, ACTION, BATCH, TIME = 3, 4, 2, 5, 6


@pytest.fixture(scope="module")
def parameters() -> MambaParameters:
    return validate(MambaParameters, read_yaml(CONFIG / "methods/mamba.yaml")["parameters"], "test")


@pytest.fixture
def model(parameters) -> RecurrentModel:
    sizes = {
        "hidden": 8,
        "embedding": 6,
        "recurrent": 7,
        "categoricals": 3,
        "classes": 4,
        "attention": {"heads": 2, "feed_forward": 8},
    }
    torch.manual_seed(0)
    config = validate(MambaModelConfig, merge(parameters.model.model_dump(mode="json"), sizes), "test")
    return RecurrentModel(Dimensions(0, AGENTS, OBSERVATION, ACTION), config).eval()


@pytest.fixture
def sequence() -> Aligned:
    """Two episodes in every sequence; one row is absorbing, one ends."""
    generator = torch.Generator().manual_seed(1)
    begins = torch.zeros(BATCH, TIME, dtype=torch.bool)
    begins[torch.arange(BATCH), torch.tensor([0, 1, 2, 4, 5])] = True
    absorbing, terminated = torch.zeros(2, BATCH, TIME, dtype=torch.bool)
    absorbing[3, 2:4] = terminated[3, 1:4] = True
    return Aligned(
        observation=3 * torch.randn(BATCH, TIME, AGENTS, OBSERVATION, generator=generator),
        previous_action=(torch.rand(BATCH, TIME, AGENTS, ACTION, generator=generator) - 0.5)
        * ~begins[..., None, None],
        begins=begins,
        absorbing=absorbing,
        reward=2 * torch.randn(BATCH, TIME, generator=generator),
        terminated=terminated,
    )


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_as_many_parameters_as_upstream(parameters):
    """Measured upstream with two agents, 19 observations and 9 actions: model 4.56M, actor 0.40M, critic
    1.25M.

    Missing are the model's head of available actions (adaptation 5), and of the critic 0.46M: as many as a
    perceptron with three hidden layers on a feature has, for which the critic's description leaves no place.
    """
    feature, hidden = 1280, 256
    model = RecurrentModel(Dimensions(0, 2, 19, 9), parameters.model)
    networks = MambaActorCritic(Dimensions(0, 2, 19, 9), parameters, CPU)
    available_actions = (feature + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * 9
    perceptron = (feature + 1) * hidden + 2 * (hidden + 1) * hidden + hidden + 1
    assert count(model) + available_actions == pytest.approx(4.56e6, abs=0.005e6)
    assert count(networks.actor) == pytest.approx(0.40e6, abs=0.005e6)
    assert count(networks.critic) + perceptron == pytest.approx(1.25e6, abs=0.005e6)


def test_initial_weights_are_xavier_and_the_actors_orthogonal(parameters):
    model, networks = (
        RecurrentModel(Dimensions(0, 2, 19, 9), parameters.model),
        MambaActorCritic(Dimensions(0, 2, 19, 9), parameters, CPU),
    )
    for network in (model, networks.critic):
        for name, weight in network.named_parameters():
            if weight.ndim >= 2 and weight.numel() > 10000:
                bound = math.sqrt(6 / sum(weight.shape))
                assert weight.abs().max().item() == pytest.approx(bound, rel=0.01), name
                assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03), name
    first = networks.actor.trunk[0].weight
    torch.testing.assert_close(first @ first.T, 2 * torch.eye(256), atol=1e-4, rtol=0)
    mean = networks.actor.mean.weight
    torch.testing.assert_close(mean @ mean.T, 1e-4 * torch.eye(9), atol=1e-8, rtol=0)
    policy = networks.actor(torch.zeros(2, 1280))
    torch.testing.assert_close(policy.stddev, torch.full((2, 9), 0.5 / (1 + math.exp(-1))))


def test_the_agents_code():
    code = agent_code(3, 4)
    expected = [[f(i * rate) for rate in (1.0, 0.01) for f in (math.sin, math.cos)] for i in range(3)]
    torch.testing.assert_close(code, torch.tensor(expected))


def test_attention_is_a_post_norm_encoder_over_the_agents_of_one_world(parameters):
    """Against one written out, and worlds do not see each other."""
    config = parameters.model.attention.model_copy(update={"layers": 1, "heads": 2, "feed_forward": 8})
    torch.manual_seed(0)
    attention = AgentAttention(AGENTS, 8, config, "reference").eval()
    tokens = torch.randn(4, 2, AGENTS, 8)
    layer = attention.layers[0]
    x = tokens + agent_code(AGENTS, 8)
    q, k, v = (
        (x @ layer.self_attn.in_proj_weight.T + layer.self_attn.in_proj_bias)
        .unflatten(-1, (3, 2, 4))
        .unbind(-3)
    )
    weights = torch.einsum("...ihd,...jhd->...hij", q, k).div(2.0).softmax(-1)
    mixed = layer.self_attn.out_proj(torch.einsum("...hij,...jhd->...ihd", weights, v).flatten(-2))
    x = layer.norm1(x + mixed)
    x = layer.norm2(x + layer.linear2(layer.linear1(x).relu()))
    torch.testing.assert_close(attention(tokens), x, atol=1e-5, rtol=1e-5)


def test_the_agents_communicate_and_worlds_do_not(model):
    state = model.initial(2, AGENTS)
    action = torch.zeros(2, AGENTS, ACTION)
    changed = action.clone()
    changed[0, 1] = 1.0
    before, after = model.advance(state, action), model.advance(state, changed)
    moved = (before - after).abs().amax(dim=-1) > 1e-6
    assert moved.tolist() == [[True] * AGENTS, [False] * AGENTS]


def test_a_chain_after_a_border_does_not_know_what_was_before(model, sequence):
    """Row 2 of sequence 2 begins an episode: what came before changes nothing from there on, and everything
    before."""
    unrolled = model.unroll(sequence, torch.Generator().manual_seed(0))
    other = Aligned(
        **vars(sequence)
        | {"observation": sequence.observation.clone(), "previous_action": sequence.previous_action.clone()}
    )
    other.observation[2, :2] += 1.0
    other.previous_action[2, 1] += 0.1
    changed = model.unroll(other, torch.Generator().manual_seed(0))
    difference = (unrolled.posterior - changed.posterior).abs().amax(dim=(2, 3, 4))
    assert (difference[2, :2] > 1e-4).all()
    assert difference[2, 2:].max() == 0
    assert difference[[0, 1, 3, 4]].max() == 0


def test_unrolled_states_against_a_loop_over_one_agent_at_a_time(model, sequence):
    """Linear and ReLU, attention, a recurrent cell written out, prior and posterior; the samples are taken as
    they were drawn."""
    unrolled = model.unroll(sequence, torch.Generator().manual_seed(0))
    cell = model.cell
    for row in range(BATCH):
        deterministic, stochastic = torch.zeros(AGENTS, 7), torch.zeros(AGENTS, 12)
        for step in range(TIME):
            action = sequence.previous_action[row, step]
            if sequence.begins[row, step]:
                deterministic, stochastic = torch.zeros(AGENTS, 7), torch.zeros(AGENTS, 12)
            tokens = torch.stack(
                [model.transition_input(torch.cat([action[i], stochastic[i]])).relu() for i in range(AGENTS)]
            )
            tokens = model.attention(tokens[None])[0]
            following = []
            for agent in range(AGENTS):
                gates_in = (cell.weight_ih @ tokens[agent] + cell.bias_ih).chunk(3)
                gates_hidden = (cell.weight_hh @ deterministic[agent] + cell.bias_hh).chunk(3)
                reset, update = (
                    (a + b).sigmoid() for a, b in zip(gates_in[:2], gates_hidden[:2], strict=True)
                )
                new = (gates_in[2] + reset * gates_hidden[2]).tanh()
                following.append((1 - update) * new + update * deterministic[agent])
            deterministic = torch.stack(following)
            stochastic = unrolled.states.stochastic[row, step]
            torch.testing.assert_close(
                unrolled.states.deterministic[row, step], deterministic, atol=1e-5, rtol=1e-4
            )
            for agent in range(AGENTS):
                prior = model.prior_logits(deterministic[agent]).view(3, 4)
                embedded = model.encoder(sequence.observation[row, step, agent])
                posterior = model.posterior_logits(torch.cat([deterministic[agent], embedded])).view(3, 4)
                torch.testing.assert_close(unrolled.prior[row, step, agent], prior, atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(
                    unrolled.posterior[row, step, agent], posterior, atol=1e-5, rtol=1e-4
                )


def test_losses_against_a_loop_over_sequences_rows_and_agents(model, sequence):
    found = model_losses(model, sequence, torch.Generator().manual_seed(0))
    unrolled = model.unroll(sequence, torch.Generator().manual_seed(0))
    errors: dict[str, list[torch.Tensor]] = {name: [] for name in found}
    for row in range(BATCH):
        for step in range(TIME - 1):
            for agent in range(AGENTS):
                stochastic, deterministic = (
                    unrolled.states.stochastic[row, step, agent],
                    unrolled.states.deterministic[row, :, agent],
                )
                decoded = model.decoder(torch.cat([stochastic, deterministic[step]]))
                if not sequence.absorbing[row, step]:
                    misfit = (model.observation_head(decoded) - sequence.observation[row, step, agent]).abs()
                    errors["reconstruction"].append(
                        torch.where(misfit < 1, misfit**2 / 2, misfit - 0.5).sum()
                    )
                    if not sequence.begins[row, step]:
                        errors["information"].append(
                            F.mse_loss(model.action_head(decoded), sequence.previous_action[row, step, agent])
                        )
                if not sequence.begins[row, step + 1]:
                    feature = torch.cat([stochastic, deterministic[step + 1]])
                    misfit = (model.reward_head(feature)[0] - sequence.reward[row, step]).abs()
                    errors["reward"].append(torch.where(misfit < 1, misfit**2 / 2, misfit - 0.5))
                    goes_on = model.continuation_head(feature)[0].sigmoid()
                    errors["continuation"].append(
                        -(1 - goes_on if sequence.terminated[row, step] else goes_on).log()
                    )
                posterior, prior = (
                    logits[row, step, agent].softmax(-1) for logits in (unrolled.posterior, unrolled.prior)
                )
                errors["divergence"].append((posterior * (posterior / prior).log()).sum() / 3)
    for name, values in errors.items():
        torch.testing.assert_close(found[name], torch.stack(values).mean(), msg=name, atol=1e-5, rtol=1e-4)
    assert len(errors["reconstruction"]) == (BATCH * (TIME - 1) - 2) * AGENTS
    assert len(errors["reward"]) == (BATCH * (TIME - 1) - 4) * AGENTS


def test_every_weight_learns_from_the_losses(model, sequence):
    sum(model_losses(model, sequence, torch.Generator().manual_seed(0)).values()).backward()
    assert [
        name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
    ] == []


def test_a_step_by_observation_is_a_row_of_the_chain(model, sequence):
    """Acting sees what training sees: the same generator draws the same latent state at an episode's first
    row."""
    first = Aligned(
        **{
            name: values[:, :1]
            for name, values in (vars(sequence) | {"begins": torch.ones_like(sequence.begins)}).items()
        }
    )
    first = Aligned(**vars(first) | {"previous_action": torch.zeros_like(first.previous_action)})
    chain = model.unroll(first, torch.Generator().manual_seed(3)).states
    action = torch.zeros(BATCH, AGENTS, ACTION)
    step = model.observe_step(
        model.initial(BATCH, AGENTS), action, first.observation[:, 0], torch.Generator().manual_seed(3)
    )
    torch.testing.assert_close(step.feature, chain.feature[:, 0])
    likely = model.observe_step(model.initial(BATCH, AGENTS), action, first.observation[:, 0], None)
    logits = model.posterior(step.deterministic, model.encoder(first.observation[:, 0]))
    assert torch.equal(likely.stochastic, sampled(logits, None))


def test_imagined_steps_follow_the_prior(model):
    state = LatentState(torch.randn(4000, AGENTS, 7)[:1].expand(4000, -1, -1), torch.zeros(4000, AGENTS, 12))
    action = torch.zeros(4000, AGENTS, ACTION)
    with torch.no_grad():
        following = model.imagine_step(state, action, torch.Generator().manual_seed(0))
        prior = model.prior(following.deterministic[0]).softmax(-1)
    torch.testing.assert_close(following.stochastic.mean(0).unflatten(-1, (3, 4)), prior, atol=0.035, rtol=0)
