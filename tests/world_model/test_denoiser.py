"""The denoiser: what it sees, what it does not, and how it is trained."""

from __future__ import annotations

import math

import pytest
import torch

from dima.experience.transitions import Windows
from dima.world_model.denoiser import Denoiser
from dima.world_model.noise import precondition

STATE, AGENTS, ACTION = 6, 3, 2


@pytest.fixture
def config(tiny_cell):
    return tiny_cell.parameters.denoiser


@pytest.fixture
def denoiser(config):
    torch.manual_seed(0)
    model = Denoiser(STATE, AGENTS, ACTION, config).double()
    for (
        parameter
    ) in model.parameters():  # nothing stays at its zero start, where every input would be ignored
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def denoise(model, noisy, history, actions, revealed):
    c = model.precondition(torch.full((len(noisy), 1), 0.7, dtype=torch.float64))
    condition = model.action_encoder(actions, revealed[:, None])[:, 0]
    return model(noisy, c, history, model.modulation(c.c_noise[:, 0], condition))


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(4, STATE, generator=generator, dtype=torch.float64)
    history = torch.randn(4, 3, STATE, generator=generator, dtype=torch.float64)
    actions = torch.randn(4, 3, AGENTS, ACTION, generator=generator, dtype=torch.float64)
    return noisy, history, actions


@pytest.mark.parametrize("agent", range(AGENTS))
@pytest.mark.parametrize("changed", range(AGENTS))
def test_a_step_sees_the_revealed_agent_alone(denoiser, inputs, agent, changed):
    noisy, history, actions = inputs
    revealed = denoiser.revealed(torch.full((4,), agent))
    other = actions.clone()
    other[:, -1, changed] += 1.0
    same = torch.equal(
        denoise(denoiser, noisy, history, actions, revealed),
        denoise(denoiser, noisy, history, other, revealed),
    )
    assert same == (agent != changed)


@pytest.mark.parametrize("step", [0, 1])
def test_past_actions_of_all_agents_are_seen(denoiser, inputs, step):
    noisy, history, actions = inputs
    revealed = denoiser.revealed(torch.zeros(4, dtype=torch.long))
    other = actions.clone()
    other[:, step, 2] += 1.0
    assert not torch.equal(
        denoise(denoiser, noisy, history, actions, revealed),
        denoise(denoiser, noisy, history, other, revealed),
    )


def test_joint_conditioning_sees_every_agent(config, inputs):
    torch.manual_seed(0)
    model = Denoiser(STATE, AGENTS, ACTION, config.model_copy(update={"conditioning": "joint"})).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    noisy, history, actions = inputs
    revealed = model.revealed(torch.zeros(4, dtype=torch.long))
    for agent in range(AGENTS):
        other = actions.clone()
        other[:, -1, agent] += 1.0
        assert not torch.equal(
            denoise(model, noisy, history, actions, revealed), denoise(model, noisy, history, other, revealed)
        )


def test_conditions_for_several_masks_at_once_equal_one_by_one(denoiser, inputs):
    actions = inputs[2]
    masks = torch.eye(AGENTS, dtype=torch.bool).expand(4, -1, -1)
    together = denoiser.action_encoder(actions, masks)
    for agent in range(AGENTS):
        alone = denoiser.action_encoder(actions, masks[:, agent : agent + 1])[:, 0]
        torch.testing.assert_close(together[:, agent], alone)


def test_an_untrained_denoiser_scales_its_input(config, inputs):
    """The last convolution starts at zero, so F is a constant of the network and D is affine in x with slope
    c_skip."""
    torch.manual_seed(0)
    model = Denoiser(STATE, AGENTS, ACTION, config).double()
    noisy, history, actions = inputs
    revealed = model.revealed(torch.zeros(4, dtype=torch.long))
    slope = denoise(model, noisy + 1, history, actions, revealed) - denoise(
        model, noisy, history, actions, revealed
    )
    c_skip = precondition(
        torch.tensor([0.7], dtype=torch.float64), config.sigma_data, config.sigma_offset_noise
    ).c_skip
    torch.testing.assert_close(slope, c_skip.expand_as(slope))


def windows(config, valid):
    generator = torch.Generator().manual_seed(3)
    length = config.conditioning_states + config.autoregressive_steps - 1
    shape = (5, length, STATE)
    state, next_state = (torch.randn(shape, generator=generator) for _ in range(2))
    action = torch.randn(5, length, AGENTS, ACTION, generator=generator)
    return Windows(state, action, next_state, torch.zeros(5, AGENTS, 1), valid.expand(5, -1))


def test_the_loss_of_an_untrained_network_is_the_variance_of_its_target(config):
    """With F = 0 the loss is the mean square of the target, 1 for states of unit variance."""
    torch.manual_seed(0)
    model = Denoiser(STATE, AGENTS, ACTION, config)
    torch.nn.init.zeros_(model.write.bias)
    data = windows(config, torch.ones(5, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    losses = [model.loss(data, (data.state, data.next_state), generator).item() for _ in range(200)]
    assert sum(losses) / len(losses) == pytest.approx(1.0, abs=0.08)


def test_padded_targets_do_not_count(config, denoiser):
    """Only the last transition is real: whatever stands in the padded ones, the loss is the same."""
    model = denoiser.float()
    data = windows(config, torch.tensor([False, False, False, False, True]))
    other = data.next_state.clone()
    other[:, :-1] = 99.0
    first, second = (
        model.loss(data, (data.state, targets), torch.Generator().manual_seed(0))
        for targets in (data.next_state, other)
    )
    assert first.item() == second.item()


def calls_of_the_network(model, monkeypatch, data):
    """What the loss gives it and gets: noisy states, histories, modulations, outputs."""
    calls, network = [], model.prepared()

    def recorded(*given):
        calls.append((*given, network(*given)))
        return calls[-1][-1]

    monkeypatch.setattr(model, "prepared", lambda: recorded)
    model.loss(data, (data.state, data.next_state), torch.Generator().manual_seed(0))
    return calls


def test_a_padded_target_stays_zero_for_the_substeps_that_follow(config, denoiser, monkeypatch):
    """Its prediction, of whatever stands in its place, is not what they are conditioned on; only they count
    here."""
    model = denoiser.float()
    data = windows(config, torch.tensor([False, False, False, False, True]))
    histories = [history for _, history, *_ in calls_of_the_network(model, monkeypatch, data)]
    first, second, third = histories[2].unflatten(0, (5, 3)).unbind(1)
    assert [history.count_nonzero() for history in (first, second, third[:, :2], *histories[:2])] == [0] * 5
    torch.testing.assert_close(third[:, 2], config.sigma_data * data.state[:, 4])


def test_later_substeps_are_conditioned_on_predictions(config, denoiser):
    """The true state in the middle of a window is replaced by the prediction of it; the first states are
    not."""
    model = denoiser.float()
    data = windows(config, torch.ones(5, dtype=torch.bool))

    def loss(states):
        return model.loss(data, (states, data.next_state), torch.Generator().manual_seed(0)).item()

    middle, first = data.state.clone(), data.state.clone()
    middle[:, config.conditioning_states] += 1.0
    first[:, 0] += 1.0
    assert loss(middle) == loss(data.state)
    assert loss(first) != loss(data.state)


def test_padded_states_are_zeros_to_the_network(config, denoiser):
    model = denoiser.float()
    data = windows(config, torch.tensor([False, False, True, True, True]))
    other, real = data.state.clone(), data.state.clone()
    other[:, :2] = 99.0
    real[:, 2] += 1.0
    first, second, third = (
        model.loss(data, (states, data.next_state), torch.Generator().manual_seed(0))
        for states in (data.state, other, real)
    )
    assert first.item() == second.item()
    assert first.item() != third.item()


def test_training_reveals_every_agent_alike(config, denoiser):
    """Each sub-step of each row draws its own agent, uniformly."""
    revealed = denoiser.float().draw_revealed(
        (4000, config.autoregressive_steps), torch.Generator().manual_seed(0)
    )
    assert revealed.sum(dim=-1).eq(1).all()
    agents = revealed.int().argmax(dim=-1)
    share = torch.bincount(agents.flatten(), minlength=AGENTS) / agents.numel()
    torch.testing.assert_close(share, torch.full((AGENTS,), 1 / AGENTS), atol=0.02, rtol=0)
    together = (agents[:, 0] == agents[:, 1]).float().mean().item()
    assert together == pytest.approx(1 / AGENTS, abs=0.03)


def test_cumulative_training_reveals_every_number_of_agents_alike_and_any_of_them(config):
    model = Denoiser(STATE, AGENTS, ACTION, config.model_copy(update={"conditioning": "cumulative"}))
    revealed = model.draw_revealed((12_000,), torch.Generator().manual_seed(0))
    share = torch.bincount(revealed.sum(dim=-1), minlength=AGENTS + 1) / len(revealed)
    torch.testing.assert_close(share, torch.tensor([0.0] + [1 / AGENTS] * AGENTS), atol=0.02, rtol=0)
    alone = revealed[revealed.sum(dim=-1) == 1].float().mean(dim=0)
    torch.testing.assert_close(alone, torch.full((AGENTS,), 1 / AGENTS), atol=0.03, rtol=0)


def test_what_each_step_of_an_order_sees(config):
    order = torch.tensor([[2, 2, 0], [1, 0, 1]])
    seen = {
        "sequential": [[[0, 0, 1], [0, 0, 1], [1, 0, 0]], [[0, 1, 0], [1, 0, 0], [0, 1, 0]]],
        "cumulative": [[[0, 0, 1], [0, 0, 1], [1, 0, 1]], [[0, 1, 0], [1, 1, 0], [1, 1, 0]]],
        "joint": [[[1, 1, 1]] * 3] * 2,
    }
    for conditioning, expected in seen.items():
        model = Denoiser(STATE, 3, ACTION, config.model_copy(update={"conditioning": conditioning}))
        assert model.revealed(order).int().tolist() == expected


def test_the_network_reads_four_frames_in_time_and_writes_the_last(denoiser, inputs):
    """Time is the axis of the convolutions and the state their channels; whatever it writes for past frames
    is dropped."""
    noisy, history, _ = inputs
    read, normalized = [], []
    denoiser.unet.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    denoiser.write_norm.register_forward_hook(lambda _, __, result: normalized.append(result))
    modulation = denoiser.modulation(
        torch.full((4,), 0.7, dtype=torch.float64), torch.zeros(4, 32, dtype=torch.float64)
    )
    output = denoiser.network(noisy, history, modulation)
    written = denoiser.write(torch.nn.functional.silu(normalized[0]))
    assert written.shape == (4, STATE, 4)
    torch.testing.assert_close(output, written[:, :, 3])
    assert not torch.allclose(output, written[:, :, 2])
    signal = denoiser.read(torch.cat([history, noisy[:, None]], dim=1).transpose(1, 2))
    torch.testing.assert_close(
        read[0], signal.unflatten(1, (-1, denoiser.unet.width)).transpose(2, 3).flatten(1)
    )


def test_the_denoised_state_is_not_clipped(config, inputs):
    """Of a far noisy state c_skip remains: 1000 times 0.25 / (0.49 + 0.09 + 0.25)."""
    torch.manual_seed(0)
    model = Denoiser(STATE, AGENTS, ACTION, config.model_copy(update={"sigma_offset_noise": 0.3})).double()
    noisy, history, actions = inputs
    far = denoise(
        model,
        torch.full_like(noisy, 1000.0),
        history,
        actions,
        model.revealed(torch.zeros(4, dtype=torch.long)),
    )
    torch.testing.assert_close(far, torch.full_like(far, 1000 * 0.25 / 0.83), atol=1.0, rtol=0)


def test_offset_noise_is_drawn_for_every_number_alone(config):
    """Targets of 0 and the least noise there is: what the network is shown, over c_in, is the offset
    noise."""
    quiet = config.model_copy(
        update={"noise_min": 1e-6, "noise_max": 2e-6, "sigma_offset_noise": 0.3, "autoregressive_steps": 1}
    )
    model, shown = Denoiser(STATE, AGENTS, ACTION, quiet), []
    model.prepared = lambda: lambda noisy, *_: shown.append(noisy) or noisy
    zeros = torch.zeros(4000, 3, STATE)
    data = Windows(
        zeros,
        torch.zeros(4000, 3, AGENTS, ACTION),
        zeros,
        torch.zeros(4000, AGENTS, 1),
        torch.ones(4000, 3, dtype=torch.bool),
    )
    model.loss(data, (zeros, zeros), torch.Generator().manual_seed(0))
    offset = shown[0] * (0.3**2 + 0.5**2) ** 0.5
    torch.testing.assert_close(offset.T.cov(), 0.09 * torch.eye(STATE), atol=0.008, rtol=0)


def test_every_substep_has_its_own_noise_level_that_knows_nothing_of_the_agent(config, denoiser, monkeypatch):
    levels, turns = [], []
    model = denoiser.float()
    coefficients, draw = model.precondition, model.draw_revealed
    monkeypatch.setattr(model, "precondition", lambda sigma: levels.append(sigma) or coefficients(sigma))
    monkeypatch.setattr(
        model, "draw_revealed", lambda *arguments: turns.append(draw(*arguments)) or turns[-1]
    )
    length, rows = config.conditioning_states + config.autoregressive_steps - 1, 1500
    states = torch.randn(rows, length, STATE, generator=torch.Generator().manual_seed(1))
    action, valid = torch.zeros(rows, length, AGENTS, ACTION), torch.ones(rows, length, dtype=torch.bool)
    model.loss(
        Windows(states, action, states, torch.zeros(rows, AGENTS, 1), valid),
        (states, states),
        torch.Generator().manual_seed(0),
    )
    level = levels[0].view(rows, config.autoregressive_steps).log()
    correlation = level.T.corrcoef() - torch.eye(config.autoregressive_steps)
    assert correlation.abs().max() < 0.1
    agents = turns[0].int().argmax(dim=-1)
    means = torch.stack([level[agents == agent].mean() for agent in range(AGENTS)])
    torch.testing.assert_close(means, torch.full((AGENTS,), config.noise_mean), atol=0.12, rtol=0)


def test_no_gradient_flows_through_a_prediction(config, denoiser, monkeypatch):
    """The predictions come from two calls without gradients, all errors from one call: three times the
    rows."""
    model = denoiser.float()
    data = windows(config, torch.ones(5, dtype=torch.bool))
    calls = calls_of_the_network(model, monkeypatch, data)
    found = [(len(noisy), history.requires_grad, output.requires_grad) for noisy, history, _, output in calls]
    assert found == [(5, False, False), (5, False, False), (15, False, True)]


def test_the_condition_knows_who_acted_and_when(denoiser, inputs):
    """The same actions by other agents, or in another order in time, are another condition."""
    actions = inputs[2]
    everyone = torch.ones(4, 1, AGENTS, dtype=torch.bool)
    before = denoiser.action_encoder(actions, everyone)
    assert not torch.allclose(denoiser.action_encoder(actions.flip(2), everyone), before)
    assert not torch.allclose(denoiser.action_encoder(actions.flip(1), everyone), before)


def test_the_noise_level_is_told_by_fixed_fourier_features(paper):
    """cos and sin of 2 pi w c_noise for 128 standard normal w, which are saved and never trained."""
    torch.manual_seed(0)
    model = Denoiser(STATE, AGENTS, ACTION, paper.parameters.denoiser)
    assert model.frequencies.shape == (128,)
    assert model.frequencies.std().item() == pytest.approx(1.0, abs=0.2)
    assert "frequencies" not in dict(model.named_parameters())
    assert "frequencies" in model.state_dict()
    given = []
    model.condition.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    model.modulation(model.precondition(torch.tensor([0.4])).c_noise, torch.full((1, 256), 10.0))
    angles = 2 * math.pi * (math.log(0.5) / 4) * model.frequencies  # sigma 0.4 with offset noise 0.3
    torch.testing.assert_close(given[0][0], 10 + torch.cat([angles.cos(), angles.sin()]), atol=1e-4, rtol=0)


def test_two_groups_and_a_weight_of_zero_write_the_result(paper):
    model = Denoiser(STATE, AGENTS, ACTION, paper.parameters.denoiser)
    assert (model.write_norm.num_groups, model.write_norm.eps, model.write_norm.num_channels) == (2, 1e-5, 64)
    assert not model.write.weight.any()
    assert model.read.kernel_size == model.write.kernel_size == (3,)


@pytest.fixture
def keeping(config):
    """A denoiser that keeps components 1 and 4, and one of the same weights that predicts them."""
    models = []
    for constant_components in ("kept", "predicted"):
        torch.manual_seed(0)
        model = Denoiser(
            STATE, AGENTS, ACTION, config.model_copy(update={"constant_components": constant_components})
        ).double()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        models.append(model.eval())
    models[0].varying[[1, 4]] = False
    return models


def test_a_constant_component_is_the_last_states_and_is_seen_by_nothing(keeping, inputs):
    model, plain = keeping
    noisy, history, actions = inputs
    revealed = model.revealed(torch.zeros(4, dtype=torch.long))
    denoised = denoise(model, noisy, history, actions, revealed)
    assert torch.equal(denoised[:, [1, 4]], history[:, -1, [1, 4]])
    noisy, history = noisy.clone(), history.clone()
    noisy[:, [1, 4]], history[:, :, [1, 4]] = 0.0, 0.0
    varying = [0, 2, 3, 5]
    assert torch.equal(denoised[:, varying], denoise(plain, noisy, history, actions, revealed)[:, varying])


def test_the_loss_leaves_constant_components_out(keeping, config):
    """One sub-step by hand: the squared error over the other components alone."""
    model, _ = keeping
    one = config.model_copy(update={"autoregressive_steps": 1, "constant_components": "kept"})
    model.config = one
    generator = torch.Generator().manual_seed(4)
    states, actions, noise_free = (
        torch.randn(5, 3, STATE, generator=generator, dtype=torch.float64),
        torch.randn(5, 3, AGENTS, ACTION, generator=generator, dtype=torch.float64),
        torch.randn(5, 3, STATE, generator=generator, dtype=torch.float64),
    )
    valid = torch.ones(5, 3, dtype=torch.bool)
    windows = Windows(states, actions, noise_free, torch.zeros(5, AGENTS, 1), valid)
    loss = model.loss(windows, (states, noise_free), torch.Generator().manual_seed(9))
    spoilt = noise_free.clone()
    spoilt[..., [1, 4]] += 100.0
    states_spoilt = states.clone()
    states_spoilt[..., [1, 4]] -= 7.0
    other = model.loss(windows, (states_spoilt, spoilt), torch.Generator().manual_seed(9))
    assert other.item() == loss.item()
    spoilt[..., 0] += 1.0
    assert model.loss(windows, (states, spoilt), torch.Generator().manual_seed(9)).item() != loss.item()
    model.varying[:] = False
    assert model.loss(windows, (states, noise_free), torch.Generator().manual_seed(9)).item() == 0.0
