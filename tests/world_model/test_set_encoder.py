"""The small action encoder (option O4): it may see what the Perceiver may see, and no more."""

from __future__ import annotations

import pytest
import torch
import yaml
from conftest import CONFIG

from dima.config import ActionEncoderConfig
from dima.world_model.action_encoder import ActionEncoder
from dima.world_model.action_encoders import make_action_encoder
from dima.world_model.set_encoder import SetEncoder

AGENTS, ACTION = 3, 2


@pytest.fixture
def encoder(tiny_cell):
    torch.manual_seed(0)
    return SetEncoder(AGENTS, ACTION, 3, 8, tiny_cell.parameters.denoiser.action_encoder, "reference").eval()


@pytest.mark.parametrize("agent", range(AGENTS))
@pytest.mark.parametrize("changed", range(AGENTS))
@pytest.mark.parametrize("step", range(3))
def test_hidden_actions_of_the_current_step_alone_are_not_seen(encoder, agent, changed, step):
    actions = torch.randn(4, 3, AGENTS, ACTION, generator=torch.Generator().manual_seed(0))
    other = actions.clone()
    other[:, step, changed] += 1.0
    mask = (torch.arange(AGENTS) == agent).expand(4, 1, -1)
    same = torch.allclose(encoder(actions, mask), encoder(other, mask), atol=1e-6)
    assert same == (step == 2 and changed != agent)


def test_several_masks_at_once_equal_one_by_one(encoder):
    actions = torch.randn(4, 3, AGENTS, ACTION, generator=torch.Generator().manual_seed(0))
    masks = torch.eye(AGENTS, dtype=torch.bool).expand(4, -1, -1)
    together = encoder(actions, masks)
    for agent in range(AGENTS):
        torch.testing.assert_close(together[:, agent], encoder(actions, masks[:, agent : agent + 1])[:, 0])


def test_the_method_file_names_it_and_it_has_a_twentieth_of_the_weights(paper):
    ours = paper.parameters.denoiser
    said = yaml.safe_load((CONFIG / "methods/dima-small-encoder.yaml").read_text())["parameters"]["denoiser"][
        "action_encoder"
    ]
    small = ours.model_copy(
        update={"action_encoder": ActionEncoderConfig(**(ours.action_encoder.model_dump() | said))}
    )
    perceiver, encoder = (make_action_encoder(2, 3, config, "reference") for config in (ours, small))
    assert isinstance(perceiver, ActionEncoder)
    assert isinstance(encoder, SetEncoder)
    sizes = [sum(parameter.numel() for parameter in part.parameters()) for part in (perceiver, encoder)]
    assert sizes == pytest.approx([11.87e6, 0.57e6], rel=0.02)
