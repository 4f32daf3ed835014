"""Lambda-returns against the sum of n-step returns they stand for."""

from __future__ import annotations

import pytest
import torch

from dima.behavior.returns import lambda_returns


def brute_force(reward, continuation, value, discount, lam):
    """(1 - lambda) sum_n lambda^(n-1) G_n + lambda^(H-t-1) G_(H-t), every G_n written out as a sum."""
    horizon = len(reward)

    def n_step(start, n):
        total, weight = 0.0, 1.0
        for step in range(start, start + n):
            total += weight * reward[step]
            weight *= discount * continuation[step]
        return total + weight * value[start + n]

    result = []
    for start in range(horizon):
        longest = horizon - start
        mixed = sum((1 - lam) * lam ** (n - 1) * n_step(start, n) for n in range(1, longest))
        result.append(mixed + lam ** (longest - 1) * n_step(start, longest))
    return result


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_recursion_equals_the_sum(lam):
    generator = torch.Generator().manual_seed(0)
    reward, continuation = (torch.rand(6, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    value = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    returns = lambda_returns(reward, continuation, value, 0.9, lam)
    for row in range(6):
        expected = brute_force(
            reward[row].tolist(), continuation[row].tolist(), value[row].tolist(), 0.9, lam
        )
        assert returns[row].tolist() == pytest.approx(expected)


def test_nothing_flows_past_the_end_of_an_episode():
    reward = torch.tensor([[1.0, 2.0, 4.0]])
    continuation = torch.tensor([[1.0, 0.0, 1.0]])
    returns = lambda_returns(reward, continuation, torch.full((1, 4), 100.0), 0.5, 1.0)
    assert returns.tolist() == [[2.0, 2.0, 54.0]]


def test_the_release_discounts_the_one_step_term_twice():
    reward, continuation, value = torch.tensor([[0.0]]), torch.ones(1, 1), torch.tensor([[0.0, 1.0]])
    assert lambda_returns(reward, continuation, value, 0.9, 0.95, "exact").item() == pytest.approx(0.9)
    assert lambda_returns(reward, continuation, value, 0.9, 0.95, "release").item() == pytest.approx(
        0.81 * 0.05 + 0.9 * 0.95
    )
