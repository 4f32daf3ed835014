"""The vector-quantised autoencoder: sizes, and what the library's codebook does with its settings."""

from __future__ import annotations

import pytest
import torch

from dima.baselines.marie.tokenizer import Tokenizer


@pytest.fixture
def tokenizer(make_cell):
    torch.manual_seed(0)
    return Tokenizer(5, make_cell().parameters.tokenizer).eval()


def observations(rows=40):
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(0))


def test_the_releases_size(paper_marie):
    """0.67 million weights for 19 observations (docs/baselines.md#network-sizes), besides 512 codes of 64."""
    tokenizer = Tokenizer(19, paper_marie.tokenizer)
    assert sum(parameter.numel() for parameter in tokenizer.parameters()) == pytest.approx(0.67e6, rel=0.01)
    assert tokenizer.codebook.shape == (512, 64)
    assert tokenizer.encode(torch.randn(3, 2, 19)).shape == (3, 2, 16)


def test_codes_are_those_of_the_library(tokenizer):
    inputs = observations()
    quantized, indices, _ = tokenizer.quantizer(tokenizer.encoder(inputs).view(-1, 3, 4))
    assert torch.equal(tokenizer.encode(inputs), indices)
    torch.testing.assert_close(tokenizer(inputs), tokenizer.decoder(quantized.flatten(1)))
    assert len(indices.unique()) > 2


def test_what_is_nearest_by_hand(tokenizer):
    vectors = tokenizer.encoder(observations(3)).view(3, 3, 4)
    distances = (vectors[:, :, None] - tokenizer.codebook).square().sum(-1)
    assert torch.equal(tokenizer.encode(observations(3)), distances.argmin(-1))


def test_encoding_keeps_the_shape_before_the_observation(tokenizer):
    inputs = observations(12)
    shaped = tokenizer.encode(inputs.view(2, 3, 2, 5))
    assert torch.equal(shaped.view(12, 3), tokenizer.encode(inputs))
    assert tokenizer.decode(shaped).shape == (2, 3, 2, 5)


def test_the_loss_by_hand(tokenizer):
    inputs = observations()
    with torch.no_grad():
        vectors = tokenizer.encoder(inputs).view(-1, 3, 4)
        codes = tokenizer.codebook[tokenizer.encode(inputs)].clone()
        error = (tokenizer.decoder(codes.flatten(1)) - inputs).abs().mean()
    losses = tokenizer.train().loss(inputs)
    assert losses["reconstruction"].item() == pytest.approx(error.item(), rel=1e-5)
    assert losses["commitment"].item() == pytest.approx((vectors - codes).square().mean().item(), rel=1e-5)


def test_the_codebook_is_a_running_mean_of_what_it_stands_for(tokenizer):
    """After one batch the sums are .8 old + .2 new, and so are the counts; in evaluation nothing moves."""
    inputs, before = observations(), tokenizer.codebook.clone()
    with torch.no_grad():
        vectors = tokenizer.encoder(inputs).view(-1, 4)
        codes = tokenizer.encode(inputs).flatten()
    assert torch.equal(tokenizer.codebook, before)
    tokenizer.train().loss(inputs)
    for code in range(12):
        mine = vectors[codes == code]
        expected = (0.8 * before[code] + 0.2 * mine.sum(0)) / (0.8 + 0.2 * len(mine))
        torch.testing.assert_close(tokenizer.codebook[code], expected, rtol=1e-3, atol=1e-5)
    assert (codes.bincount(minlength=12) == 0).any(), "some code must be dead here"


def test_the_codebook_moves_as_the_librarys_own(tokenizer, make_cell):
    """Which looks at every call whether k-means has to begin it."""
    library = Tokenizer(5, make_cell().parameters.tokenizer)
    del library.quantizer._codebook.init_embed_
    library.load_state_dict(tokenizer.state_dict())
    for seed in range(3):
        inputs = torch.randn(20, 5, generator=torch.Generator().manual_seed(seed))
        assert tokenizer.train().loss(inputs) == library.train().loss(inputs)
    for name, value in library.state_dict().items():
        assert torch.equal(tokenizer.state_dict()[name], value), name


def test_gradients_pass_the_codebook_straight_through(tokenizer):
    inputs = observations()
    codes = tokenizer.codebook[tokenizer.encode(inputs)].flatten(1).clone().requires_grad_()
    (tokenizer.decoder(codes) - inputs).abs().mean().backward()
    encoded = tokenizer.encoder(inputs)
    expected = torch.autograd.grad(encoded, list(tokenizer.encoder.parameters()), codes.grad)
    found = torch.autograd.grad(
        tokenizer.train().loss(inputs)["reconstruction"], list(tokenizer.encoder.parameters())
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
