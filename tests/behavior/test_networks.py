"""Actor, critic and value statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dima.behavior.networks import Actor, Critic, DirectPolicy, SampledPolicy, ValueNormalizer


def test_the_actor_has_as_many_parameters_as_harls(paper):
    """36,780 for HalfCheetah-2x3 (docs/baselines.md#network-sizes)."""
    actor = Actor(19, 3, paper.parameters.behavior.actor_hidden)
    assert sum(parameter.numel() for parameter in actor.parameters()) == 36_780


def test_the_initial_policy_is_almost_centred_with_deviation_0_3655():
    torch.manual_seed(0)
    actor = Actor(19, 3, [128, 128, 128])
    policy = actor(torch.randn(1000, 19))
    assert policy.mean.abs().max() < 0.1
    assert policy.stddev.unique().tolist() == pytest.approx([0.5 / (1 + math.exp(-1))])


def test_samples_have_the_policys_moments():
    torch.manual_seed(0)
    actor = Actor(4, 2, [8])
    observations = torch.randn(4).expand(200_000, -1)
    samples, policy = actor.sample(observations, torch.Generator().manual_seed(0)), actor(observations[:1])
    torch.testing.assert_close(samples.mean(0), policy.mean[0], atol=4e-3, rtol=0)
    torch.testing.assert_close(samples.std(0), policy.stddev[0], atol=4e-3, rtol=0)


@pytest.mark.parametrize("layer_norm", [True, False])
def test_direct_calls_give_the_bits_of_the_modules(layer_norm):
    """Also after the weights have changed in place, as they do at the end of an epoch."""
    torch.manual_seed(0)
    actor, random = Actor(19, 3, [128, 128, 128], layer_norm=layer_norm), np.random.default_rng(0)
    with torch.no_grad():
        actor.std_logit.normal_()
    direct, sampled = DirectPolicy(actor), SampledPolicy(actor)
    for _ in range(3):
        observations, noise = (random.standard_normal((1, 2, size), dtype=np.float32) for size in (19, 3))
        np.testing.assert_array_equal(direct(observations, noise), sampled(observations, noise))
        with torch.no_grad():
            for layer in (*actor.trunk.parameters(), *actor.mean.parameters()):
                layer += 0.1 * torch.randn_like(layer)


def test_one_value_for_each_state():
    assert Critic(5, [8, 8])(torch.randn(3, 7, 5)).shape == (3, 7)


def test_value_statistics_are_debiased():
    normalizer = ValueNormalizer(decay=0.9)
    for batch in ([1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 6.0, 6.0]):
        normalizer.update(torch.tensor(batch))
    weights = [0.09, 0.1]  # of the older and the newer batch
    mean = (weights[0] * 4 + weights[1] * 4) / 0.19
    square = (weights[0] * 21 + weights[1] * 20) / 0.19
    std = math.sqrt(square - mean**2)
    assert normalizer.normalize(torch.tensor(10.0)).item() == pytest.approx((10 - mean) / std, rel=1e-5)
    assert normalizer.denormalize(normalizer.normalize(torch.tensor(3.3))).item() == pytest.approx(
        3.3, rel=1e-5
    )


def test_the_variance_never_falls_below_a_hundredth():
    normalizer = ValueNormalizer()
    normalizer.update(torch.full((8,), 3.0))
    assert normalizer.normalize(torch.tensor(4.0)).item() == pytest.approx(10.0, rel=1e-4)


def test_weights_begin_orthogonal():
    """Gain sqrt 2 in the layers, 0.01 for the means, 1 for the value; LayerNorm at the input and after every
    ReLU."""
    torch.manual_seed(0)
    actor, critic = Actor(19, 3, [128, 128, 128]), Critic(23, [256, 256])
    for network, layers in ((actor, 3), (critic, 2)):
        kinds = [torch.nn.LayerNorm, *[torch.nn.Linear, torch.nn.ReLU, torch.nn.LayerNorm] * layers]
        assert [type(layer) for layer in network.trunk] == kinds
        weight = network.trunk[4].weight
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(len(weight)), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        actor.mean.weight @ actor.mean.weight.T, 1e-4 * torch.eye(3), atol=1e-7, rtol=0
    )
    assert critic.value.weight.norm().item() == pytest.approx(1.0, rel=1e-5)
    assert not any(layer.bias.any() for layer in (actor.mean, critic.value, actor.trunk[1]))


def test_actions_are_neither_squashed_nor_clipped():
    torch.manual_seed(0)
    actor = Actor(4, 2, [8])
    torch.nn.init.constant_(actor.mean.bias, 3.0)
    samples = actor.sample(torch.zeros(1000, 4), torch.Generator().manual_seed(0))
    assert samples.mean().item() == pytest.approx(3.0, abs=0.1)
    policy, log = actor(torch.zeros(1000, 4)), actor(torch.zeros(1000, 4)).log_prob(samples)
    expected = (
        -0.5 * ((samples - policy.mean) / policy.stddev).square()
        - policy.stddev.log()
        - 0.5 * math.log(2 * math.pi)
    )
    torch.testing.assert_close(log, expected)
