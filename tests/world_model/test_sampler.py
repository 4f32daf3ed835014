"""The sampler: orders, exactness of what is hoisted out of its loop, and its limit for a known denoiser."""

from __future__ import annotations

import pytest
import torch

from dima.world_model.denoiser import Denoiser
from dima.world_model.sampler import EulerSampler

CPU = torch.device("cpu")


def with_(config, **changes):
    return config.model_copy(update=changes)


@pytest.mark.parametrize(("agents", "steps"), [(1, 2), (2, 4), (3, 3), (4, 4), (6, 6)])
def test_number_of_steps_is_table_4(paper, agents, steps):
    assert paper.parameters.sampler.steps_for(agents) == steps


def sampler(cell, agents=2, conditioning="sequential", **changes):
    torch.manual_seed(0)
    model = Denoiser(5, agents, 2, with_(cell.parameters.denoiser, conditioning=conditioning))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return EulerSampler(model.double().eval(), with_(cell.parameters.sampler, **changes), CPU)


@pytest.mark.parametrize(
    ("agents", "order", "expected"),
    [
        (2, "descending", [2, 2, 1, 1]),
        (2, "ascending", [1, 1, 2, 2]),
        (3, "descending", [3, 2, 1]),
        (2, (2, 1, 1, 2), [2, 1, 1, 2]),
    ],
)
def test_orders_as_the_paper_writes_them(tiny_cell, agents, order, expected):
    drawn = sampler(tiny_cell, agents, order=order).draw_order(3, torch.Generator())
    assert (drawn + 1).tolist() == [expected] * 3


def test_a_random_order_is_a_fresh_permutation_for_every_row(tiny_cell):
    drawn = sampler(tiny_cell, 3, order="random").draw_order(600, torch.Generator().manual_seed(0))
    assert {tuple(sorted(row)) for row in drawn.tolist()} == {(0, 1, 2)}
    counts = [drawn.tolist().count(list(row)) for row in {tuple(row) for row in drawn.tolist()}]
    assert len(counts) == 6
    assert min(counts) > 60


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": (2, 1, 1)}, "each of the 4 steps"),
        ({"order": (3, 1, 1, 2)}, "agents 1 to 2"),
        ({"steps": 3}, "no multiple of 2 agents"),
    ],
)
def test_orders_that_do_not_fit_are_refused(tiny_cell, changes, words):
    with pytest.raises(ValueError, match=words):
        sampler(tiny_cell, **changes)


@pytest.mark.parametrize("conditioning", ["sequential", "joint", "cumulative"])
def test_sampling_equals_euler_steps_written_out(tiny_cell, conditioning):
    """One call of the whole denoiser, conditioning included, at every step, as the formula stands in the
    paper."""
    ours = sampler(tiny_cell, conditioning=conditioning, order="random")
    ours.sigmas = ours.sigmas.double()
    model = ours.denoiser
    generator = torch.Generator().manual_seed(1)
    history = torch.randn(7, 3, 5, generator=generator, dtype=torch.float64)
    actions = torch.randn(7, 3, 2, 2, generator=generator, dtype=torch.float64)
    order = ours.draw_order(7, generator)
    noise = ours.draw_noise(7, 5, generator).double()
    x = noise
    for step, (sigma, following) in enumerate(zip(ours.sigmas[:-1], ours.sigmas[1:], strict=True)):
        mask = model.revealed(order)[:, step : step + 1]
        condition = model.action_encoder(actions, mask)[:, 0]
        c = model.precondition(sigma.expand(7, 1))
        slope = (x - model(x, c, history, model.modulation(c.c_noise[:, 0], condition))) / sigma
        x = x + slope * (following - sigma)
    sampled = ours.sample(history, actions, order, noise)
    torch.testing.assert_close(sampled, x, rtol=1e-9, atol=1e-9)


def test_a_perfect_denoiser_is_sampled_exactly(tiny_cell):
    """D(x) = target whatever x: the last step returns it."""
    ours = sampler(tiny_cell)
    target = torch.arange(5.0).double()
    ours.denoiser.forward = lambda noisy, *_: target.expand_as(noisy)
    history, actions = torch.zeros(2, 3, 5).double(), torch.zeros(2, 3, 2, 2).double()
    sampled = ours.sample(history, actions, ours.draw_order(2, torch.Generator()), torch.randn(2, 5).double())
    torch.testing.assert_close(sampled, target.expand(2, -1))


def test_initial_noise_has_the_highest_level_or_unit_variance(tiny_cell):
    for kind, std in [("scaled", 5.0), ("unscaled", 1.0)]:
        noise = sampler(tiny_cell, initial_noise=kind).draw_noise(20_000, 5, torch.Generator().manual_seed(0))
        assert noise.std().item() == pytest.approx(std, rel=0.02)
