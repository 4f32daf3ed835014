"""Optimal gains: against the toy's closed form and the sampler itself, and of MuJoCo's Jacobians."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CONFIG

from dima.config.grid import CellKey, load_grid
from dima.studies.optimal_gain import FLOOR, gait_jacobians, optimal_gains, revealed_by
from dima.world_model.denoiser import Denoiser
from dima.world_model.noise import sampling_noise_levels
from dima.world_model.sampler import EulerSampler

SAMPLER = load_grid("paper", CONFIG).resolve(CellKey("halfcheetah-2x3", "dima", 1)).parameters.sampler


def levels(steps: int) -> np.ndarray:
    return sampling_noise_levels(steps, SAMPLER).double().numpy()


@pytest.mark.parametrize(
    ("agents", "offset_noise", "expected"),
    [(2, 0.3, [0.996, 0.004]), (2, 0.0, [0.53, 0.46]), (6, 0.3, [0.915, 0.071, 0.011, 0.002, 0.001, 0.0])],
)
def test_a_sum_of_actions_has_the_gains_of_the_closed_form(agents, offset_noise, expected):
    """s' = s + the sum of the actions, of deviation 0.1 together: the numbers of
    tests/world_model/test_oracle.py, from the largest."""
    steps = 4 if agents == 2 else agents
    order = tuple(agent for agent in reversed(range(agents)) for _ in range(steps // agents))
    found = optimal_gains(
        np.ones((1, agents, 1, 1)),
        0.1 / np.sqrt(agents),
        revealed_by("sequential", order, agents),
        levels(steps),
        offset_noise,
    )
    assert found == pytest.approx(expected, abs=0.01)


def test_a_step_that_knows_all_actions_follows_them_all():
    jacobians = np.random.default_rng(0).normal(size=(3, 2, 3, 5))
    joint = optimal_gains(jacobians, 0.3, revealed_by("joint", (1, 1, 0, 0), 2), levels(4), 0.3)
    assert joint == pytest.approx([1.0, 1.0], abs=1e-4)
    cumulative = optimal_gains(jacobians, 0.3, revealed_by("cumulative", (1, 1, 0, 0), 2), levels(4), 0.3)
    assert cumulative == pytest.approx([1.0, 1.0], abs=1e-4)


def test_who_is_known_when():
    assert revealed_by("sequential", (1, 1, 0, 0), 2).astype(int).tolist() == [[0, 1], [0, 1], [1, 0], [1, 0]]
    assert revealed_by("cumulative", (1, 1, 0, 0), 2).astype(int).tolist() == [[0, 1], [0, 1], [1, 1], [1, 1]]
    assert revealed_by("joint", (1, 0), 2).all()


class LinearGaussian(Denoiser):
    """The denoiser of a linear world, called as the trained one is: its condition is the known part of the
    next state, and the covariance of the unknown part."""

    def __init__(self, jacobian: torch.Tensor, deviation: float, offset_noise: float) -> None:
        torch.nn.Module.__init__(self)
        self.jacobian, self.deviation, self.offset_noise = jacobian, deviation, offset_noise
        self.agents = len(jacobian)
        self.config = SimpleNamespace(
            conditioning="sequential", sigma_data=0.5, sigma_offset_noise=offset_noise
        )

    def action_encoder(self, actions, revealed):
        effects = torch.einsum("bia,iad->bid", actions[:, -1].double(), self.jacobian)
        known = (effects[:, None] * revealed[..., None]).sum(2)
        covariance = self.deviation**2 * torch.einsum("iad,iae->ide", self.jacobian, self.jacobian)
        unknown = torch.einsum("bki,ide->bkde", (~revealed).double(), covariance)
        return torch.cat([known, unknown.flatten(2)], dim=-1)

    def modulation(self, sigma, condition):
        return condition

    def prepared(self):
        return self.network

    def forward(self, noisy, c, history, modulation, network):
        size = noisy.shape[1]
        known, unknown = modulation[:, :size], modulation[:, size:].unflatten(1, (size, size))
        unknown = unknown + FLOOR * torch.eye(size, dtype=torch.float64)
        noise = (8 * c.c_noise.double()).exp()[..., None, None] * torch.eye(size)  # sigma² + offset noise²
        trust = unknown @ torch.linalg.inv(unknown + noise)
        return known + ((noisy - known)[:, None] @ trust.mT)[:, 0]


@pytest.mark.parametrize("offset_noise", [0.0, 0.3])
def test_the_projects_own_sampler_has_these_gains(offset_noise):
    """Two agents with two numbers each in five components: the sampler's answer to a change of one number."""
    jacobian = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 2, 5)) * 0.4)
    sampler = EulerSampler(LinearGaussian(jacobian, 0.5, offset_noise), SAMPLER, torch.device("cpu"))
    changes = torch.eye(4).reshape(4, 2, 2)
    actions = torch.cat([torch.zeros(1, 2, 2), changes])[:, None].expand(-1, 3, -1, -1)
    order = sampler.draw_order(5, torch.Generator())
    with torch.no_grad():
        sampled = sampler.sample(torch.zeros(5, 3, 5), actions, order, torch.zeros(5, 5))
    response = (sampled[1:] - sampled[0]).reshape(2, 2, 5).double()
    expected = (response * jacobian).sum((1, 2)) / jacobian.square().sum((1, 2))
    found = optimal_gains(
        jacobian[None].numpy(), 0.5, revealed_by("sequential", (1, 1, 0, 0), 2), levels(4), offset_noise
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert offset_noise == 0.0 or found[0] > 2 * found[1]


def test_jacobians_of_push_mass_are_those_of_its_equation():
    """Each agent pushes along an axis of its own, and the goal does not move."""
    jacobians, size = gait_jacobians("push-mass", 0.5, 0.2, 0.3, worlds=4, seed=3, steps=20)
    assert jacobians.shape == (4, 2, 1, 6)
    moved = np.abs(jacobians).max(axis=0)[:, 0] > 1e-6
    assert moved[:, 4:].sum() == 0  # the goal stays
    assert (moved[0] & moved[1]).sum() == 0  # an axis each
    assert size == pytest.approx(0.2 * np.sqrt((jacobians[:, :, 0] ** 2).mean(axis=(0, 2))))


def test_halfcheetahs_last_agent_dominates_with_offset_noise_only():
    """At the deviation with which training begins."""
    jacobians, _ = gait_jacobians("halfcheetah-2x3", 0.3, 0.36, 0.3, worlds=24, seed=0, steps=60)
    sequential = revealed_by("sequential", (1, 1, 0, 0), 2)
    with_offset, without = (
        optimal_gains(jacobians, 0.36, sequential, levels(4), offset) for offset in (0.3, 0.0)
    )
    assert with_offset[0] > 0.9
    assert with_offset[1] < 0.65
    assert min(without) > 0.75
