"""Every way of attention is softmax(q k / sqrt d) v; what is wanted of some tokens alone is what all tokens
give there."""

from __future__ import annotations

import pytest
import torch

from dima.world_model import attention
from dima.world_model.attention import (
    GatedBlock,
    SelfAttention,
    attend,
    attend_by_products,
    attend_by_sums,
    mean_after,
)

BATCH, HEADS, DIM = 3, 2, 5


def tensors(keys, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, BATCH, HEADS, keys, DIM, generator=generator, dtype=dtype)
    allowed = torch.rand(BATCH, 1, keys, keys, generator=generator) < 0.5
    return [part.requires_grad_() for part in drawn], allowed | torch.eye(keys, dtype=torch.bool)


def plainly(query, key, value, allowed):
    """One query and head of one row after the other."""
    result = torch.zeros_like(value)
    for row, head, place in torch.cartesian_prod(*map(torch.arange, value.shape[:3])).tolist():
        seen = allowed[row, 0, place]
        scores = (key[row, head, seen] * query[row, head, place]).sum(dim=-1) / DIM**0.5
        weights = scores.exp() / scores.exp().sum()
        result[row, head, place] = (weights[:, None] * value[row, head, seen]).sum(dim=0)
    return result


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("keys", [1, 2, 4, 6])
@pytest.mark.parametrize("way", [attend_by_sums, attend_by_products])
def test_both_ways_by_hand(way, keys, dtype, tolerance):
    """Results and gradients."""
    given, allowed = tensors(keys, dtype)
    found, expected = way(*given, allowed, 0.0), plainly(*given, allowed)
    weights = torch.randn_like(expected)
    gradients = (torch.autograd.grad((outputs * weights).sum(), given) for outputs in (found, expected))
    for ours, theirs in zip((found, *next(gradients)), (expected, *next(gradients)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("keys", [2, 7, 17])
def test_the_way_is_chosen_by_size_and_precision(monkeypatch, keys, training, dtype, tolerance, causal):
    """Few keys: sums; bfloat16 on a CPU, or a small number in training: products; else the fused kernel. All
    of them mask alike."""
    taken = []
    for name in ("attend_by_sums", "attend_by_products"):
        way = getattr(attention, name)
        monkeypatch.setattr(
            attention, name, lambda *given, name=name, way=way: taken.append(name) or way(*given)
        )
    given, _ = tensors(keys, dtype)
    with torch.set_grad_enabled(training):
        found = attend(*given, causal=causal)
    everything = torch.ones(keys, keys, dtype=torch.bool)
    expected = plainly(
        *(part.double() for part in given),
        (everything.tril() if causal else everything).expand(BATCH, 1, -1, -1),
    )
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    products = dtype == torch.bfloat16 or (training and keys == 7)
    assert taken == (["attend_by_sums"] if keys == 2 else ["attend_by_products"] if products else [])


def test_a_tenth_of_the_weights_is_dropped_and_the_rest_grows():
    """Equal weights of 1/40 over 40 keys and values of 1: each result is the share that is left over 0.9, 1
    on average."""
    torch.manual_seed(0)
    zeros, ones = torch.zeros(50, 4, 40, 8), torch.ones(50, 4, 40, 8)
    found = attend(zeros, zeros, ones, dropped=0.1)[..., 0]
    kept = found * 0.9 * 40
    torch.testing.assert_close(kept, kept.round(), atol=1e-3, rtol=0)
    assert found.mean().item() == pytest.approx(1.0, abs=0.003)
    assert kept.var().item() == pytest.approx(40 * 0.1 * 0.9, rel=0.1)


@pytest.mark.parametrize("bias", [False, True])
def test_what_is_asked_of_some_tokens_is_what_all_give_there(bias):
    torch.manual_seed(0)
    layer = SelfAttention(8, 2, 3, bias=bias).double()
    tokens = torch.randn(BATCH, 6, 8, dtype=torch.float64)
    causal = torch.ones(1, 6, 6, dtype=torch.bool).tril()
    torch.testing.assert_close(
        layer(tokens, causal[:, 1::2], asked=slice(1, None, 2)), layer(tokens, causal=True)[:, 1::2]
    )


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_mean_of_a_block_is_that_of_its_outputs(depth):
    torch.manual_seed(0)
    blocks = torch.nn.Sequential(*(GatedBlock(8, 2, 4, 3, bias=True) for _ in range(depth))).double()
    tokens = torch.randn(BATCH, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(mean_after(blocks, tokens), blocks(tokens).mean(dim=1), rtol=1e-12, atol=1e-12)
