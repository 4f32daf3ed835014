"""How many parameters every network of every method has on HalfCheetah-2x3, and the count of its source
where it gives one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from conftest import CONFIG
from torch import nn

from dima.baselines.mamba.actor_critic import MambaActorCritic
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.baselines.marie.actor_critic import MarieActorCritic
from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel
from dima.behavior.actor_critic import ActorCritic
from dima.cell.methods import build_learner
from dima.config import CellConfig, DimaParameters, MambaParameters, MarieParameters
from dima.config.grid import CellKey, Grid, GridFile, merge, validate
from dima.experience.dimensions import Dimensions
from dima.world_model.world_model import WorldModel

STATE, AGENTS, OBSERVATION, ACTION = 17, 2, 19, 3
CPU = torch.device("cpu")
COUNTS = {
    "dima": {
        "state decoder": 591_434,
        "denoiser": 14_090_065,
        "reward model": 8_440_066,
        "actor": 36_780,
        "critic": 73_263,
    },
    "dima-vq": {
        "state decoder": 540_198,
        "denoiser": 14_090_065,
        "reward model": 8_440_066,
        "actor": 36_780,
        "critic": 73_263,
    },
    "dima-mlp": {
        "state decoder": 591_434,
        "denoiser": 12_303_825,
        "reward model": 8_440_066,
        "actor": 36_780,
        "critic": 73_263,
    },
    "dima-small-encoder": {
        "state decoder": 591_434,
        "denoiser": 2_794_897,
        "reward model": 8_440_066,
        "actor": 36_780,
        "critic": 73_263,
    },
    "mamba": {"model": 4_155_928, "actor": 394_502, "critic": 789_761},
    "marie": {"tokenizer": 667_155, "world model": 12_613_761, "actor": 36_780, "critic": 152_871},
    "mappo": {"actor": 36_780, "critic": 36_259},
    "happo": {"actor 1": 36_780, "actor 2": 36_780, "critic": 36_259},
    "hasac": {"actor 1": 72_454, "actor 2": 72_454, "critic 1": 72_193, "critic 2": 72_193},
}
EXACT, MILLIONS = 0.0, 0.005e6
"""How far a count may be off that of its source: given to the last digit, or in millions with two digits
behind the point."""
SOURCES = {
    "dima": {"state decoder": (0.59e6, MILLIONS), "denoiser": (14.09e6, MILLIONS), "actor": (36_780, EXACT)},
    "marie": {
        "tokenizer": (0.67e6, MILLIONS),
        "world model": (12_613_761, EXACT),
        "actor": (36_780, EXACT),
        "critic": (152_871, EXACT),
    },
    "mappo": {"actor": (36_780, EXACT)},
    "happo": {"actor 1": (36_780, EXACT), "actor 2": (36_780, EXACT)},
    "hasac": {"actor 1": (72_454, EXACT), "critic 1": (72_193, EXACT), "critic 2": (72_193, EXACT)},
}
"""DIMA's as counted from the release's sizes, MARIE's as its release counts them, HARL's as measured
upstream. MAMBA's were measured with other actions than these, see
`tests/baselines/mamba/test_recurrent_model.py`."""


def resolved(method: str) -> CellConfig:
    """As the paper's grid has it on HalfCheetah-2x3."""
    content = {"experiments": {"x": [{"tasks": ["halfcheetah-2x3"], "methods": [method], "seeds": [1]}]}}
    return Grid("x", validate(GridFile, content, "x"), CONFIG).resolve(CellKey("halfcheetah-2x3", method, 1))


def dima(p: DimaParameters) -> dict[str, nn.Module]:
    dimensions = Dimensions(STATE, AGENTS, OBSERVATION, ACTION)
    model, behavior = WorldModel(dimensions, p, CPU), ActorCritic(dimensions, p.behavior, CPU)
    parts = {
        "state decoder": model.state_decoder,
        "denoiser": model.denoiser,
        "reward model": model.reward_model,
    }
    return parts | {"actor": behavior.actor, "critic": behavior.critic}


def mamba(p: MambaParameters) -> dict[str, nn.Module]:
    behavior = MambaActorCritic(Dimensions(STATE, AGENTS, OBSERVATION, ACTION), p, CPU)
    return {
        "model": RecurrentModel(Dimensions(0, AGENTS, OBSERVATION, ACTION), p.model),
        "actor": behavior.actor,
        "critic": behavior.critic,
    }


def marie(p: MarieParameters) -> dict[str, nn.Module]:
    behavior = MarieActorCritic(Dimensions(STATE, AGENTS, OBSERVATION, ACTION), p.behavior, CPU)
    sizes = (AGENTS, ACTION, p.tokenizer.tokens, p.tokenizer.codebook_size, p.behavior.horizon)
    world_model = TokenWorldModel(*sizes, p.world_model, p.compute)
    learned = {"tokenizer": Tokenizer(OBSERVATION, p.tokenizer), "world model": world_model}
    return learned | {"actor": behavior.actor, "critic": behavior.critic}


def numbered(name: str, networks: Iterable[nn.Module]) -> dict[str, nn.Module]:
    found = list(networks)
    return (
        {name: found[0]}
        if len(found) == 1
        else {f"{name} {number}": network for number, network in enumerate(found, 1)}
    )


def harl(cell: CellConfig) -> dict[str, nn.Module]:
    """Those of the wheel; one world is enough to see them."""
    pytest.importorskip("harl")
    pytest.importorskip("mujoco")
    learner = build_learner(changed(cell, rollout_threads=1), CPU)
    runner, critic = learner._runner, learner._runner.critic
    learner.close()
    if cell.method == "hasac":
        return numbered("actor", (agent.actor for agent in runner.actor)) | numbered(
            "critic", (critic.critic, critic.critic2)
        )
    return numbered("actor", (agent.actor for agent in runner.actors)) | {"critic": critic.critic}


def networks(cell: CellConfig) -> dict[str, nn.Module]:
    makers = {DimaParameters: dima, MambaParameters: mamba, MarieParameters: marie}
    maker = makers.get(type(cell.parameters))
    return maker(cell.parameters) if maker else harl(cell)


def counts(cell: CellConfig) -> dict[str, int]:
    return {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in networks(cell).items()
    }


@pytest.mark.parametrize("method", COUNTS)
def test_every_network_has_as_many_parameters_as_its_source_says(method: str) -> None:
    found = counts(resolved(method))
    assert found == COUNTS[method]
    for name, (theirs, tolerance) in SOURCES.get(method, {}).items():
        assert abs(found[name] - theirs) <= tolerance, name


def test_every_method_that_computes_here_is_counted() -> None:
    """A variant of a method with networks of the same sizes is that method; a checkout's program has networks
    of its own."""
    methods = {
        path.stem for path in (CONFIG / "methods").glob("*.yaml") if not path.stem.endswith("-checkout")
    }
    same = {
        "dima-cumulative",
        "dima-fast",
        "dima-joint",
        "dima-no-offset-noise",
        "dima-one-substep",
        "dima-unscaled-start",
    }
    same |= {method for method in methods if method.startswith("dima-swift")}
    assert methods == same | COUNTS.keys()


def changed(cell: CellConfig, **parameters: object) -> CellConfig:
    return validate(CellConfig, merge(cell.model_dump(mode="json"), {"parameters": parameters}), "test")


@pytest.mark.parametrize(
    ("method", "network", "change", "parameters"),
    [
        ("dima", "denoiser", {"denoiser": {"action_encoder": {"attention_bias": False}}}, -3_264),
        ("dima", "reward model", {"reward_model": {"action_attention_bias": False}}, -2_304),
        ("marie", "world model", {"world_model": {"aggregation": {"attention_bias": False}}}, -4_608),
        ("marie", "world model", {"world_model": {"token_head_layers": 3}}, 263_168 - 197_376),
        ("marie", "critic", {"behavior": {"critic_layer_norm": False}}, -4 * 2 * 128),
        ("marie", "critic", {"behavior": {"critic_feed_forward": 512}}, 2 * 128 * 384 + 384),
    ],
)
def test_each_value_adds_the_parameters_that_it_names(
    method: str, network: str, change: dict[str, object], parameters: int
) -> None:
    assert counts(changed(resolved(method), **change))[network] == COUNTS[method][network] + parameters
