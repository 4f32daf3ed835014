"""The fast implementation computes what the plain one does, from the same weights and noise: losses,
gradients, rollouts, new weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from benchmarks.contenders import Dima, Plain, relative_error
from benchmarks.reference.denoiser import noise_levels
from benchmarks.reference.unet import unet
from benchmarks.workload import PARTS, Sizes, random_data, sizes
from dima.config import CellConfig, DimaParameters
from dima.world_model.denoiser import Denoiser

JOINT: dict[str, Any] = {"denoiser": {"conditioning": "joint"}}
CUMULATIVE: dict[str, Any] = {"denoiser": {"conditioning": "cumulative"}}
PAPER_TEXT: dict[str, Any] = {
    "denoiser": {"sigma_offset_noise": 0.0, "autoregressive_steps": 1},
    "state_decoder": {"loss": "l2"},
    "behavior": {"critic_input": "state", "critic_loss": "mse"},
    "reward_model": {"dropout": 0.0},
}
OTHER_OPTIONS: dict[str, Any] = {
    "sampler": {"order": "random", "initial_noise": "unscaled"},
    "reward_model": {"termination": "categorical", "timeout_is_termination": False},
    "behavior": {"lambda_return": "release", "start_observation": "real"},
}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "release, 2 agents": (2, {}),
    "release, 3 agents": (3, {}),
    "release, joint, 2 agents": (2, JOINT),
    "release, joint, 3 agents": (3, JOINT),
    "paper text, 3 agents": (3, PAPER_TEXT),
    "cumulative, 2 agents": (2, CUMULATIVE),
    "cumulative, random order, 3 agents": (3, OTHER_OPTIONS | CUMULATIVE),
    "cumulative, listed order, 2 agents": (2, {"sampler": {"order": [2, 1, 1, 2]}} | CUMULATIVE),
    "other options, 2 agents": (2, OTHER_OPTIONS),
    "other options, joint, 3 agents": (3, OTHER_OPTIONS | JOINT),
    "listed order, 2 agents": (2, {"sampler": {"order": [2, 1, 1, 2]}}),
}


@pytest.fixture
def in_double() -> Iterator[None]:
    """Everything is made in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def contenders(chosen: Sizes) -> tuple[Dima, Plain]:
    data = random_data(chosen)
    return Dima(chosen, data), Plain(chosen, data)


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", PARTS)
def test_parity_in_single_precision(small: Callable[..., Sizes], part: str, case: str) -> None:
    agents, changes = CASES[case]
    ours, plain = contenders(small(agents, **changes))
    for _ in range(2):
        assert relative_error(getattr(ours, part)(), getattr(plain, part)()) < 1e-5


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", PARTS)
def test_every_number_agrees_in_double_precision(small: Callable[..., Sizes], part: str, case: str) -> None:
    """Tensor by tensor, over three updates. `dima` keeps noise levels and the value of one loss in float32
    whatever the rest is in."""
    agents, changes = CASES[case]
    ours, plain = contenders(small(agents, **changes))
    sampler = ours.world_model.sampler
    sampler.sigmas = torch.tensor(noise_levels(sampler.steps, sampler.config))
    sampler._initial_scale = (
        sampler.sigmas[0] if sampler.config.initial_noise == "scaled" else sampler._initial_scale
    )
    for _ in range(3):
        results, expected = getattr(ours, part)(), getattr(plain, part)()
        assert results.keys() == expected.keys()
        for name, tensor in expected.items():
            tolerance = 1e-7 if name == "termination" else 1e-9
            allowed = tolerance * tensor.abs().max().item() + 1e-14
            torch.testing.assert_close(results[name].double(), tensor, rtol=tolerance, atol=allowed)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    ("state_dim", "past", "channels", "blocks"),
    [
        (17, 3, (64, 64, 64), (2, 2, 2)),
        (6, 3, (64, 64, 64), (1, 1, 1)),
        (111, 7, (32, 96), (1, 2)),
        (1, 5, (20, 8), (2, 1)),
        (5, 2, (32,), (1,)),
    ],
)
def test_products_are_the_networks_convolutions(
    tiny_cell: CellConfig,
    state_dim: int,
    past: int,
    channels: Sequence[int],
    blocks: Sequence[int],
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    """The raw network and every gradient, against convolutions one by one."""
    assert isinstance(tiny_cell.parameters, DimaParameters)
    config = tiny_cell.parameters.denoiser.model_copy(
        update={"channels": channels, "blocks": blocks, "conditioning_states": past}
    )
    torch.manual_seed(0)
    model = Denoiser(state_dim, 2, 1, config).to(dtype)
    weights = [
        *model.read.parameters(),
        *model.unet.parameters(),
        *model.write_norm.parameters(),
        *model.write.parameters(),
    ]
    for weight in weights:
        weight.data += 0.05 * torch.randn_like(weight)
    shapes = ((state_dim,), (past, state_dim), (config.condition_dim,))
    given = noisy, history, condition = [
        torch.randn(4, *shape, dtype=dtype, requires_grad=True) for shape in shapes
    ]
    found = model.network(noisy, history, model.unet.modulate(condition))
    hidden = unet(
        model.unet, model.read(torch.cat([history, noisy[:, None]], dim=1).transpose(1, 2)), condition
    )
    expected = model.write(torch.nn.functional.silu(model.write_norm(hidden)))[..., -1]
    weight = torch.randn_like(expected)
    found, expected = (
        (output, *torch.autograd.grad((output * weight).sum(), [*given, *weights]))
        for output in (found, expected)
    )
    for ours, plain in zip(found, expected, strict=True):
        assert (ours - plain).norm() <= tolerance * plain.norm()


def test_the_error_is_relative_and_of_everything() -> None:
    reference = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([4.0])}
    assert relative_error(
        {"a": torch.tensor([3.0, 0.3]), "b": torch.tensor([4.4])}, reference
    ) == pytest.approx(0.1)


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("part", PARTS)
def test_parity_at_the_papers_sizes(part: str) -> None:
    ours, plain = contenders(sizes("paper", denoiser=4, reward_model=4, imagination=4, behavior=20))
    assert relative_error(getattr(ours, part)(), getattr(plain, part)()) < 1e-5
