"""The U-Net over time: its sizes, where it starts, and its normalisation by hand."""

from __future__ import annotations

import pytest
import torch

from dima.world_model.unet import ResidualBlock, UNet, adaptive_group_norm


def test_adaptive_group_norm_by_hand():
    """32 channels are one group, 64 are two: each is normalised over its channels and all of time, then x (1 + scale) + shift."""
    for channels, groups in ((32, 1), (64, 2), (16, 1)):
        signal = torch.randn(3, channels, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        scale, shift = torch.linspace(-1, 1, channels).double(), torch.linspace(5, 7, channels).double()
        result = adaptive_group_norm(signal, torch.cat([scale, shift]).expand(3, -1))
        grouped = signal.view(3, groups, -1)
        deviation = grouped.var(dim=-1, correction=0, keepdim=True) + 1e-5
        normal = ((grouped - grouped.mean(dim=-1, keepdim=True)) / deviation.sqrt()).view_as(signal)
        torch.testing.assert_close(result, normal * (1 + scale[:, None]) + shift[:, None])


@pytest.mark.parametrize(("channels_in", "channels_out"), [(8, 8), (8, 16)])
def test_a_block_begins_as_its_short_cut(channels_in, channels_out):
    """The weight of the second convolution starts at zero: all that is added is its bias."""
    block = ResidualBlock(channels_in, channels_out)
    signal = torch.randn(2, channels_in, 4)
    modulation = [torch.randn(2, 2 * channels) for channels in (channels_in, channels_out)]
    expected = block.shortcut(signal) + block.second.bias[:, None]
    torch.testing.assert_close(block(signal, modulation), expected)
    assert isinstance(block.shortcut, torch.nn.Identity) == (channels_in == channels_out)


def test_the_papers_network_halves_time_twice_and_has_17_blocks(paper):
    """Two blocks a level on the way down, two in the middle, three a level on the way up; lengths 4, 2, 1."""
    config = paper.parameters.denoiser
    net = UNet(config.channels, config.blocks, config.condition_dim)
    assert [len(group) for group in (*net.down, net.middle, *net.up)] == [2, 2, 2, 2, 3, 3, 3]
    lengths = []
    for layer in (*net.shrink, *net.grow):
        layer.register_forward_hook(lambda _, given, result: lengths.append((given[0].shape[-1], result.shape[-1])))
    condition = torch.randn(5, 256)
    assert net(torch.randn(5, 64, 4), net.modulate(condition)).shape == (5, 64, 4)
    assert lengths == [(4, 2), (2, 1), (1, 2), (2, 4)]
    assert {(layer.kernel_size, layer.stride) for layer in net.shrink} == {((3,), (2,))}
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in net.grow} == {((4,), (2,), (1,))}
    # the level's input and both its blocks come back on the way up, beside the 64 channels from below
    assert [block.first.in_channels for group in net.up for block in group] == [128] * 9
