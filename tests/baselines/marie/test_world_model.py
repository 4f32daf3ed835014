"""The token transformer: sizes, what sees what, losses, stepwise reading, and gradients with less memory."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from dima.baselines.marie.world_model import TokenWorldModel, sample
from dima.experience.transitions import Sequences

BATCH, TIME, AGENTS, ACTION, TOKENS, CODES, BLOCK = 3, 4, 2, 2, 3, 12, 6


@pytest.fixture
def model(make_cell):
    return made(make_cell().parameters.world_model)


def made(config, compute="reference"):
    """With weights large enough that what matters can be told from rounding."""
    torch.manual_seed(0)
    model = TokenWorldModel(AGENTS, ACTION, TOKENS, CODES, TIME, config, compute).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def inputs():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(CODES, (BATCH, TIME, AGENTS, TOKENS), generator=generator)
    actions = torch.rand(BATCH, TIME, AGENTS, ACTION, generator=generator, dtype=torch.float64) * 2 - 1
    return tokens, actions, torch.zeros(BATCH, TIME, dtype=torch.long)


def sequences(actions, ended=(), terminated=()):
    generator = torch.Generator().manual_seed(1)
    truncated, true_ends = (
        torch.zeros(BATCH, TIME, dtype=torch.bool),
        torch.zeros(BATCH, TIME, dtype=torch.bool),
    )
    for place in ended:
        truncated[place] = True
    for place in terminated:
        true_ends[place] = True
    reward = torch.randn(BATCH, TIME, generator=generator, dtype=torch.float64)
    return Sequences(torch.zeros(BATCH, TIME, AGENTS, 1), actions, reward, true_ends, truncated)


def test_the_releases_size(paper_marie):
    """300 and 645 tokens of context, ten layers of four heads, heads of two and three linear layers
    (docs/baselines.md#marie-tokens)."""

    def made_for(action):
        return TokenWorldModel(2, action, 16, 512, 15, paper_marie.world_model, "reference")

    model = made_for(3)
    assert model.position.shape == (300, 256)
    assert made_for(26).position.shape == (645, 256)
    assert {
        (block.attention.heads, block.attention.dropout, block.feed_forward[-1].p) for block in model.blocks
    } == {(4, 0.1, 0.1)}
    assert len(model.blocks) == 10
    for weight in (
        model.position,
        model.action_embedding.weight,
        model.observation_embedding.weight,
        model.token_head[0].weight,
    ):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert [layer.out_features for layer in model.reward_head[::2]] == [256, 256, 128]
    assert [layer.out_features for layer in model.token_head[::2]] == [256, 512]


def different(model, before, after):
    """[time, agents, what]: which predictions of the first window differ."""
    found = []
    for one, other in zip(model(*before), model(*after), strict=True):
        moved = (one - other).abs()[0] > 1e-9
        found.append(moved.flatten(2).any(-1) if moved.dim() > 2 else moved)
    return found


def test_a_block_depends_on_itself_and_on_the_past_of_all_agents(model):
    """Agent 1's first observation token at step 2: agent 1's own block sees it at once, agent 0's at its
    slot, through the Perceiver."""
    before = inputs()
    tokens = before[0].clone()
    tokens[:, 2, 1, 0] = (tokens[:, 2, 1, 0] + 1) % CODES
    after = (tokens, *before[1:])
    tokens_moved, reward_moved, goes_on_moved = different(model, before, after)
    for moved in (tokens_moved, reward_moved, goes_on_moved):
        assert moved.tolist() == [[False, False], [False, False], [True, True], [True, True]]
    one, other = (model(*given).token_logits[0, 2] for given in (before, after))
    within = ((one - other).abs() > 1e-9).any(-1)
    assert within.tolist() == [[False, False, True], [True, True, True]]


def test_an_action_is_seen_by_both_slots_of_its_step_and_by_no_earlier_output(model):
    before = inputs()
    actions = before[1].clone()
    actions[:, 1, 0] = -actions[:, 1, 0]
    one, other = (model(*given) for given in (before, (before[0], actions, before[2])))
    moved = ((one.token_logits - other.token_logits).abs() > 1e-9).any(-1)[0]
    assert moved[0].any().item() is False
    assert moved[1].tolist() == [[False, False, True], [False, False, True]]
    assert moved[2:].all()
    assert ((one.reward_logits - other.reward_logits).abs() > 1e-9).any(-1)[0].tolist() == [
        [False] * 2,
        [True] * 2,
        [True] * 2,
        [True] * 2,
    ]


def test_attention_is_cut_where_an_episode_ends(model):
    tokens, actions, _ = inputs()
    episode = torch.tensor([0, 0, 1, 1]).expand(BATCH, -1)
    other = tokens.clone()
    other[:, 1] = (other[:, 1] + 1) % CODES
    moved = different(model, (tokens, actions, episode), (other, actions, episode))
    for what in moved:
        assert what.any(-1).tolist() == [False, True, False, False]


def test_reading_step_by_step_is_reading_the_whole(model):
    """Rewards, continuations and the tokens that given numbers decide; the whole window is then read with
    those tokens."""
    tokens, actions, episode = inputs()
    uniform = torch.rand(
        BATCH, TIME, AGENTS, TOKENS, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    unrolling, present = model.unroll(), tokens[:, 0]
    read, rewards, goes_on = [present], [], []
    with torch.no_grad():
        for step in range(TIME - 1):
            reward, continuation, present = unrolling.step(present, actions[:, step], uniform[:, step])
            read.append(present)
            rewards.append(reward)
            goes_on.append(continuation)
        whole = model(torch.stack(read, dim=1), actions, episode)
    expected = model.reward_bins.expectation(whole.reward_logits)[:, :-1]
    torch.testing.assert_close(torch.stack(rewards, dim=1), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        torch.stack(goes_on, dim=1), whole.continuation_logits.sigmoid()[:, :-1], rtol=1e-10, atol=1e-10
    )
    for step in range(1, TIME):
        logits = torch.cat(
            [whole.token_logits[:, step - 1, :, -1:], whole.token_logits[:, step, :, :-1]], dim=2
        )
        decided = sample(logits.flatten(0, 2), uniform[:, step - 1].flatten())
        assert torch.equal(decided, read[step].flatten())
    assert len(torch.stack(read[1:]).unique()) > 3


def test_what_is_sampled_has_the_probabilities_of_the_logits():
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(4000, -1)
    uniform = (torch.arange(4000) + 0.5) / 4000
    assert sample(logits, uniform).bincount().tolist() == pytest.approx([400, 800, 1200, 1600], abs=1)
    assert sample(logits[:2], torch.tensor([0.0, 0.99999999])).tolist() == [0, 3]


@pytest.mark.parametrize("timeout_is_termination", [True, False])
def test_the_losses_by_hand(make_cell, timeout_is_termination):
    """A time limit at step 1 of window 0, a true end at step 2 of window 1: neither's next first token is
    predicted."""
    model = made(
        make_cell(world_model={"timeout_is_termination": timeout_is_termination}).parameters.world_model
    )
    tokens, actions, _ = inputs()
    episode = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    data = sequences(actions, ended=[(0, 1)], terminated=[(1, 2)])
    with torch.no_grad():
        losses, found = model.loss(tokens, data), model(tokens, actions, episode)
    token_errors, goes_on_errors, reward_errors = [], [], []
    for b in range(BATCH):
        for t in range(TIME):
            for n in range(AGENTS):
                log = found.token_logits[b, t, n].log_softmax(-1)
                token_errors += [-log[k, tokens[b, t, n, k + 1]].item() for k in range(TOKENS - 1)]
                if t + 1 < TIME and episode[b, t] == episode[b, t + 1]:
                    token_errors.append(-log[TOKENS - 1, tokens[b, t + 1, n, 0]].item())
                over = (b, t) == (1, 2) or timeout_is_termination and (b, t) == (0, 1)
                chance = found.continuation_logits[b, t, n].sigmoid()
                goes_on_errors.append(-(1 - chance if over else chance).log().item())
                target = model.reward_bins.target(data.reward[b, t])
                reward_errors.append(-(target * found.reward_logits[b, t, n].log_softmax(-1)).sum().item())
    for name, errors in {
        "tokens": token_errors,
        "continuation": goes_on_errors,
        "reward": reward_errors,
    }.items():
        assert losses[name].item() == pytest.approx(sum(errors) / len(errors), rel=1e-9)


def gradients(model, seed=5):
    tokens, actions, _ = inputs()
    torch.manual_seed(seed)
    losses = model.train().loss(tokens, sequences(actions, ended=[(0, 1)]))
    torch.stack(list(losses.values())).sum().backward()
    return [parameter.grad for parameter in model.parameters()], torch.get_rng_state()


def test_checkpointing_changes_no_gradient_and_draws_the_same_dropout(make_cell):
    """Exactly; the stream of random numbers is where it would be, and another seed's dropout gives other
    gradients."""
    plain = made(make_cell().parameters.world_model)
    saving = made(make_cell(world_model={"activation_checkpointing": True}).parameters.world_model)
    other = copy.deepcopy(plain)
    (one, after_one), (two, after_two) = gradients(plain), gradients(saving)
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first, second)
    assert torch.equal(after_one, after_two)
    assert not torch.equal(gradients(other, seed=6)[0][0], one[0])


def test_checkpointing_keeps_less(make_cell):
    saved = {}
    for checkpointing in (False, True):
        model = made(
            make_cell(
                world_model={"activation_checkpointing": checkpointing, "layers": 4}
            ).parameters.world_model
        ).train()
        tokens, actions, _ = inputs()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            model.loss(tokens, sequences(actions))
        saved[checkpointing] = sum(kept)
    assert saved[True] < saved[False] / 3


class Products(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.kinds = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() in ("aten::mm", "aten::addmm", "aten::bmm"):
            self.kinds.add(args[-1].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("compute", "kinds"), [("reference", {torch.float32}), ("fast", {torch.float32, torch.bfloat16})]
)
def test_fast_multiplies_in_bfloat16_and_loses_little(make_cell, compute, kinds):
    config = make_cell().parameters.world_model
    tokens, actions, episode = inputs()
    with torch.no_grad():
        expected = made(config).float()(tokens, actions.float(), episode)
        with Products() as products:
            found = made(config, compute).float()(tokens, actions.float(), episode)
    assert products.kinds == kinds
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=0.25 if compute == "fast" else 0)


@pytest.mark.slow
@pytest.mark.remembered
def test_it_learns_a_pattern(make_cell):
    """Tokens that count up and rewards that follow agent 1's action: both are predicted for both agents.

    Of this width it would take minutes from the release's beginning: weights begin eight times as large,
    latents a tenth as large.
    """
    torch.manual_seed(0)
    config = make_cell(
        world_model={"dropout": 0.0, "dim": 32, "initial_std": 0.16, "aggregation": {"dropout": 0.0}}
    ).parameters.world_model
    model = TokenWorldModel(AGENTS, ACTION, TOKENS, CODES, TIME, config, "reference").train()
    with torch.no_grad():
        model.aggregation.latents.mul_(0.1)
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        first = torch.randint(CODES, (16, 1, 1, 1), generator=generator)
        tokens = (first + torch.arange(TIME)[:, None, None] + torch.arange(TOKENS)).expand(
            -1, -1, AGENTS, -1
        ) % CODES
        actions = torch.randint(2, (16, TIME, AGENTS, ACTION), generator=generator) * 1.0
        never = torch.zeros(16, TIME, dtype=torch.bool)
        data = Sequences(torch.zeros(16, TIME, AGENTS, 1), actions, 3 * actions[:, :, 1, 0], never, never)
        losses = model.loss(tokens, data)
        adam.zero_grad()
        sum(losses.values()).backward()
        adam.step()
    model.eval()
    assert losses["tokens"].item() < 0.3, (
        "3 of 11 tokens come after a slot: unknown, they alone would make it 0.68"
    )
    with torch.no_grad():
        reward = model.reward_bins.expectation(
            model(tokens, actions, torch.zeros(16, TIME, dtype=torch.long)).reward_logits
        )
    expected = data.reward[..., None].expand_as(reward)
    assert F.l1_loss(reward, expected).item() < 0.5, "not knowing costs 1.5"
