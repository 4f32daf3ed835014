"""Parameter counts of the paper's sizes (docs/baselines.md#network-sizes), and which parameters decay."""

from __future__ import annotations

import pytest

from dima.world_model.denoiser import Denoiser
from dima.world_model.optimizer import ModelOptimizer
from dima.world_model.reward_model import RewardModel
from dima.world_model.state_decoder import StateDecoder


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("state", "action", "encoder", "rest", "total"),
    [
        (17, 3, 11.87e6, 2.22e6, 14.09e6),
        (111, 4, 11.87e6, 2.25e6, 14.13e6),
        (420, 26, 11.88e6, 2.37e6, 14.25e6),
    ],
)
def test_denoiser(paper, state, action, encoder, rest, total):
    model = Denoiser(state, 2, action, paper.parameters.denoiser)
    assert parameters(model.action_encoder) == pytest.approx(encoder, rel=0.01)
    assert parameters(model) - parameters(model.action_encoder) == pytest.approx(rest, rel=0.01)
    assert parameters(model) == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize(("state", "observation", "count"), [(17, 19, 0.59e6), (420, 221, 1.01e6)])
def test_state_decoder(paper, state, observation, count):
    assert parameters(StateDecoder(state, 2, observation, paper.parameters.state_decoder)) == pytest.approx(
        count, rel=0.01
    )


@pytest.mark.parametrize(("state", "action", "count"), [(17, 3, 8.44e6), (420, 26, 8.55e6)])
def test_reward_model(paper, state, action, count):
    assert parameters(RewardModel(state, 2, action, 15, paper.parameters.reward_model)) == pytest.approx(
        count, rel=0.01
    )


def test_every_parameter_of_the_state_decoder_decays_and_elsewhere_weights_alone(paper):
    config = paper.parameters
    groups = ModelOptimizer(
        StateDecoder(17, 2, 19, config.state_decoder), config.state_decoder.optimizer
    ).state_dict()["optimizer"]
    assert [(group["weight_decay"], len(group["params"])) for group in groups["param_groups"]] == [(0.01, 12)]
    assert [part.optimizer.decayed for part in (config.denoiser, config.reward_model)] == [
        "weights",
        "weights",
    ]


def test_only_weights_of_linear_and_convolution_layers_decay(paper):
    model = Denoiser(17, 2, 3, paper.parameters.denoiser)
    groups = ModelOptimizer(model, paper.parameters.denoiser.optimizer).state_dict()["optimizer"][
        "param_groups"
    ]
    names = [name for name, _ in model.named_parameters()]
    decayed, free = (group["weight_decay"] for group in groups)
    assert (decayed, free) == (0.01, 0.0)
    assert len(groups[0]["params"]) + len(groups[1]["params"]) == len(names)
    vectors = [name for name, parameter in model.named_parameters() if parameter.ndim == 1]
    embeddings = ["action_encoder.latents", "action_encoder.time", "action_encoder.tokens.agent"]
    assert len(groups[1]["params"]) == len(vectors) + len(embeddings)
