"""The U-Net over time: its sizes, where it starts, and its normalisation by hand."""

from __future__ import annotations

import pytest
import torch

from dima.world_model.dense import DenseConvolutions
from dima.world_model.unet import ResidualBlock, UNet, adaptive_group_norm


@pytest.mark.parametrize("width", [4, 16])
def test_adaptive_group_norm_by_hand(width):
    """32 channels are one group, 64 are two: each is normalised over its channels and all of time, then
    multiplied and shifted."""
    for channels, groups in ((32, 1), (64, 2), (16, 1)):
        signal = torch.randn(3, channels, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        factor, shift = torch.linspace(-1, 1, channels).double(), torch.linspace(5, 7, channels).double()
        features = signal.unflatten(1, (-1, width)).transpose(2, 3).flatten(1)
        result = adaptive_group_norm(features, factor.expand(3, -1), shift.expand(3, -1), width)
        grouped = signal.view(3, groups, -1)
        deviation = grouped.var(dim=-1, correction=0, keepdim=True) + 1e-5
        normal = ((grouped - grouped.mean(dim=-1, keepdim=True)) / deviation.sqrt()).view_as(signal)
        expected = normal * factor[:, None] + shift[:, None]
        torch.testing.assert_close(result, expected.unflatten(1, (-1, width)).transpose(2, 3).flatten(1))


@pytest.mark.parametrize(("channels_in", "channels_out"), [(8, 8), (8, 16)])
def test_a_block_begins_as_its_short_cut(channels_in, channels_out):
    """The weight of the second convolution starts at zero: all that is added is its bias."""
    block = ResidualBlock(channels_in, channels_out, 8)
    signal = torch.randn(2, channels_in, 4)
    modulation = [
        (torch.randn(2, channels), torch.randn(2, channels)) for channels in (channels_in, channels_out)
    ]
    expected = block.shortcut(signal) + block.second.bias[:, None]
    products = DenseConvolutions(block.products(4), 8)()
    found = block(signal.unflatten(1, (-1, 8)).transpose(2, 3).flatten(1), modulation, products)
    torch.testing.assert_close(found, expected.unflatten(1, (-1, 8)).transpose(2, 3).flatten(1))
    assert isinstance(block.shortcut, torch.nn.Identity) == (channels_in == channels_out)


def test_the_papers_network_halves_time_twice_and_has_17_blocks(paper):
    """Two blocks a level on the way down, two in the middle, three a level on the way up; lengths 4, 2, 1."""
    config = paper.parameters.denoiser
    net = UNet(config.channels, config.blocks, config.condition_dim)
    assert [len(group) for group in (*net.down, net.middle, *net.up)] == [2, 2, 2, 2, 3, 3, 3]
    assert [
        length for (first, *_), length, _ in net.products(4) if first in net.shrink or first in net.grow
    ] == [4, 2, 1, 2]
    products = DenseConvolutions(net.products(4), net.width)()
    assert net(torch.randn(5, 256), net.modulate(torch.randn(5, 256)), products).shape == (5, 256)
    assert {(layer.kernel_size, layer.stride) for layer in net.shrink} == {((3,), (2,))}
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in net.grow} == {((4,), (2,), (1,))}
    # the level's input and both its blocks come back on the way up, beside the 64 channels from below
    assert [block.first.in_channels for group in net.up for block in group] == [128] * 9


@pytest.mark.parametrize(
    ("channels", "width"), [((64, 64, 64), 32), ((32, 96), 32), ((32,), 32), ((8, 20), 4), ((20,), 20)]
)
def test_the_order_of_features_fits_every_group(channels, width):
    """Groups of 32, of a whole signal below, of two signals of 8 and 20 channels together (28), and of two of
    32 (2 groups)."""
    assert UNet(channels, [1] * len(channels), 16).width == width


def test_a_condition_scales_by_1_plus_its_product():
    """On the way down and in the middle all norms have 8 channels, on the way up 16 and 8: factors, then
    shifts."""
    torch.manual_seed(0)
    net, condition = UNet((8,), (1,), 4), torch.randn(3, 4)
    widths = [8] * 12 + [16, 16, 8, 8] * 2
    found, products = (
        whole.split(widths, dim=1) for whole in (net.modulate(condition), net.modulation(condition))
    )
    for number, (part, product) in enumerate(zip(found, products, strict=True)):
        torch.testing.assert_close(part, product + 1 if number % 2 == 0 else product)
