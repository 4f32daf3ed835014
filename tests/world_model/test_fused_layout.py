"""The tables of the fused network: carried out one number at a time in float64, they are the network; no warp
can overtake another."""

from __future__ import annotations

import pytest
import torch

from dima.config import DimaParameters
from dima.kernels.tables import encoded
from dima.world_model.denoiser import Denoiser
from dima.world_model.fused.layout import Layout, Source
from dima.world_model.fused.network import FusedNetwork
from dima.world_model.fused.tables import backward_tables, forward_tables, weight_table

STATE_DIM = 3
BLOCKS = [(2, 2, 2), (1, 1, 1), (1, 3), (2,)]


def make(parameters: DimaParameters, blocks: tuple[int, ...], state_dim: int = STATE_DIM) -> Denoiser:
    """Of 64 channels, every weight random, in float64."""
    torch.manual_seed(0)
    encoder = parameters.denoiser.action_encoder.model_copy(
        update={"depth": 0}
    )  # plays no part, and takes a second to make
    config = parameters.denoiser.model_copy(
        update={"channels": (64,) * len(blocks), "blocks": blocks, "action_encoder": encoder}
    )
    denoiser = Denoiser(state_dim, 2, 3, config).double()
    for parameter in denoiser.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return denoiser


def layout_of(denoiser: Denoiser) -> Layout:
    return Layout(denoiser.read, denoiser.unet, denoiser.write_norm, denoiser.write)


@pytest.fixture(scope="module", params=BLOCKS, ids=str)
def denoiser(request, paper) -> Denoiser:
    return make(paper.parameters, request.param)


def normalised(values):
    """[batch, times, 64], in two groups of channels."""
    grouped = values.unflatten(2, (2, 32))
    centred = grouped - grouped.mean(dim=(1, 3), keepdim=True)
    return (centred / (centred.square().mean(dim=(1, 3), keepdim=True) + 1e-5).sqrt()).flatten(2)


def decoded(code):
    """Slot, times of the source, stride, offset, spread."""
    return code >> 13, code & 15, (code >> 4) & 15, ((code >> 8) & 15) - 8, ((code >> 12) & 1) + 1


def carried_out(layout, signal, modulation, *, keep):
    """What the forward kernel computes by the tables. Slots hold NaN until they are written, and times that a
    level lacks always."""
    numbers = torch.cat([parameter.flatten() for parameter in layout.parameters])[layout.packed]
    squares, read, write, biases, affine, write_bias = numbers.split(layout.sizes)
    squares, biases, (weight, bias) = squares.view(-1, 64, 64), biases.view(-1, 64), affine.view(2, 64)
    read, write = read.view(3, -1, 64), write.view(2, 64, -1)
    steps, terms, n_raws, n_sides, last = forward_tables(layout, keep=keep)
    raws, sides = (
        torch.full((n, len(signal), 4, 64), torch.nan, dtype=torch.float64) for n in (n_raws, n_sides)
    )
    for number, row in enumerate(steps.tolist()):
        begin, end, length, first, second, residual, raw, side, *activations = row
        y = (
            biases[first]
            + (biases[second] if second >= 0 else 0)
            + torch.zeros(len(signal), length, 64, dtype=torch.float64)
        )
        y = y + (raws[residual, :, :length] if residual >= 0 else 0)
        for t in range(length):
            if number == 0:
                y[:, t] += sum(signal[:, t + tap - 1] @ read[tap] for tap in range(3) if 0 <= t + tap - 1 < 4)
            for k in range(begin, end):
                slot, times, stride, offset, spread = decoded(terms[k].item())
                source, rest = divmod(stride * t + offset, spread)
                if rest == 0 and 0 <= source < times:
                    y[:, t] += sides[slot, :, source] @ squares[k]
        for slots, slot in ((raws, raw), (sides, side)):
            if slot >= 0:
                slots[slot, :, :length] = y
        for slot, factor, shift in (activations[0:3], activations[3:6]):
            if slot >= 0:
                argument = (
                    normalised(y) * modulation[:, None, factor : factor + 64]
                    + modulation[:, None, shift : shift + 64]
                )
                sides[slot, :, :length] = argument * argument.sigmoid()
    h = torch.nn.functional.silu(normalised(raws[last]) * weight + bias)
    return h[:, 2] @ write[0] + h[:, 3] @ write[1] + write_bias


def reads(times, length, stride, offset, spread):
    """Pairs of an output's time and the source's that it reads."""
    return {(t, s) for t in range(times) for s in range(length) if spread * s == stride * t + offset}


@pytest.mark.parametrize("keep", [False, True])
def test_the_tables_are_the_network(denoiser, keep):
    layout = layout_of(denoiser)
    signal, modulation = torch.randn(2, 4, STATE_DIM).double(), torch.randn(2, layout.modulated).double()
    expected = denoiser.network(signal[:, 3], signal[:, :3], modulation)
    assert layout.modulated == denoiser.unet.modulation.out_features
    torch.testing.assert_close(
        carried_out(layout, signal, modulation, keep=keep), expected, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("keep", [False, True])
def test_a_barrier_is_between_every_write_and_read_of_a_slot(denoiser, keep):
    """A step reads residuals before its barrier, what its products read after it, and writes last; another
    warp may be a step behind."""
    layout = layout_of(denoiser)
    steps, terms, n_raws, n_sides, last = forward_tables(layout, keep=keep)
    sources = [term.source for _, term in layout.terms()]
    holds: dict[tuple[str, int], tuple[object, int]] = {}  # what, and the step that wrote it
    read: dict[tuple[str, int], int] = {}  # the last step that read it
    for number, row in enumerate(steps.tolist()):
        begin, end, _, _, _, residual, raw, side, *activations = row
        for k in range(begin, end):
            place = ("side", decoded(terms[k].item())[0])
            what, written = holds[place]
            assert what == sources[k]
            assert written < number
            read[place] = number
        if residual >= 0:
            assert holds["raw", residual] == (layout.steps[number].residual, holds["raw", residual][1])
            assert holds["raw", residual][1] < number - 1
            read["raw", residual] = number
        made = [(("raw", raw), number), (("side", side), Source(number))]
        made += [
            (("side", slot), Source(number, factor, shift))
            for slot, factor, shift in (activations[0:3], activations[3:6])
        ]
        for place, what in made:
            if place[1] >= 0:
                assert place[1] < (n_raws if place[0] == "raw" else n_sides)
                assert read.get(place, -1) < number
                holds[place] = (what, number)
    assert holds["raw", last] == (len(steps) - 1, len(steps) - 1)


def test_slots_are_taken_again_unless_all_is_kept(paper):
    """The paper's network: 39 steps and 124 products; of 63 things that products read at most 21 are needed
    at once."""
    layout = layout_of(make(paper.parameters, (2, 2, 2)))
    assert (len(layout.steps), len(list(layout.terms()))) == (39, 124)
    lean, kept = (forward_tables(layout, keep=keep) for keep in (False, True))
    assert (lean.raws, lean.sides) == (2, 21)
    assert (kept.raws, kept.sides) == (39, 63 + 1)


def test_the_way_back_goes_every_way_once(denoiser):
    """Each term is walked backwards once, from an output whose gradient is known by then."""
    layout = layout_of(denoiser)
    rows, codes, weights = backward_tables(layout)
    known = {len(layout.steps) - 1}
    for begin, end, _, residual, activations, number, *fields in rows.tolist():
        end = fields[3 * activations - 3] if activations else end
        needed = {decoded(code)[0] for code in codes[begin:end].tolist()}
        assert needed | ({residual} if residual >= 0 else set()) <= known
        known.add(number)
    assert known == set(range(len(layout.steps)))
    assert sorted(weights.tolist()) == list(range(len(weights))) == list(range(len(list(layout.terms()))))


def test_a_term_backwards_is_its_adjoint(denoiser):
    """The gradient of source[s] has a part from output[t] if that read source[s], and from no other."""
    layout = layout_of(denoiser)
    terms = list(layout.terms())
    _, codes, weights = backward_tables(layout)
    for code, index in zip(codes.tolist(), weights.tolist(), strict=True):
        number, term = terms[index]
        slot, *backwards = decoded(code)
        forwards = reads(layout.steps[number].length, term.length, term.stride, term.offset, term.spread)
        assert slot == number
        assert {(t, s) for s, t in reads(term.length, *backwards)} == forwards
        assert forwards


def test_every_bias_is_summed_once(denoiser):
    layout = layout_of(denoiser)
    table = weight_table(layout)
    assert sorted(table[table[:, 2] >= 0, 2].tolist()) == list(
        range(1, layout.sizes[3] // 64)
    )  # that of `read` has a job of its own
    assert all(bias < 0 or bias in layout.steps[step].biases for _, step, bias in table.tolist())


def test_packing_is_a_gather_and_so_is_its_gradient(denoiser):
    network = FusedNetwork(layout_of(denoiser))
    weights = [weight for weight in network.layout.parameters if weight.requires_grad]
    packed = network.pack()
    assert packed.flat.shape == (sum(network.layout.sizes),)
    assert packed.matrices.dtype == torch.float32
    part = torch.randn_like(packed.flat)
    found = torch.autograd.grad((packed.flat * part).sum(), weights)
    plain = torch.cat([weight.flatten() for weight in weights])[network.layout.packed]
    for one, other in zip(found, torch.autograd.grad((plain * part).sum(), weights), strict=True):
        assert torch.equal(one, other)
    unread = denoiser.write.weight.shape[0] * 64  # the last tap of `write` alone
    assert sum((gradient == 0).sum() for gradient in found[1:2]) == unread


def test_a_modulation_of_another_size_is_refused(denoiser):
    network = FusedNetwork(layout_of(denoiser))
    with pytest.raises(
        ValueError, match=f"the modulation has 7 numbers a row, the network reads {network.layout.modulated}"
    ):
        network(torch.zeros(1, 4, STATE_DIM), torch.zeros(1, 7), network.pack())


@pytest.mark.parametrize("field", [{"slot": 1 << 18}, {"length": 16}, {"offset": -9}, {"spread": 3}])
def test_a_term_that_does_not_fit_its_code_is_refused(field):
    fitting = {"slot": 5, "length": 4, "stride": 2, "offset": -1, "spread": 2}
    assert decoded(encoded(**fitting)) == tuple(fitting.values())
    with pytest.raises(ValueError, match="does not fit"):
        encoded(**(fitting | field))
