"""Every world model rolled out along the actions of a scene.

What it says will be seen, and the states that this shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import envs
from dima.baselines.mamba.latent import LatentState
from dima.baselines.mamba.learner import MambaLearner
from dima.baselines.mamba.recurrent_model import RecurrentModel
from dima.baselines.marie.learner import MarieLearner
from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel
from dima.errors import UserError
from dima.learning.dima_learner import DimaLearner
from dima.learning.learner import Learner
from dima.studies.episodes import cut
from dima.studies.open_loop import NO_ORDER, observe, open_loop, own_order_first
from dima.studies.scene import Scene


@dataclass(frozen=True)
class Rollout:
    """What was imagined, in raw units, after each step that the model reaches.

    The scene's horizon, or less.
    """

    name: str
    state: Float[np.ndarray, "reached state"]
    observation: Float[np.ndarray, "reached agents observation"]


def imagined(
    learner: Learner, environment: envs.BatchedEnvironment, scene: Scene, device: torch.device, seed: int
) -> list[Rollout]:
    """The rollouts of the learner's world model.

    DIMA's with every order of the agents, its own first, and one of the others.

    Args:
        learner: of a method with a world model.
        environment: of the task, which knows the states that observations show.
        scene: where imagination begins, and the actions.
        device: of the learner.
        seed: of noise, orders, latent states and tokens.

    Raises:
        UserError: the model is given more states than the scene has before its start.
        envs.UntoldStateError: the model predicts observations, and they do not tell the state.
    """
    if isinstance(learner, DimaLearner):
        return _dima_rollouts(learner, scene, device, seed)
    if isinstance(learner, MambaLearner):
        observation = mamba_observations(learner.model, scene, device, seed)
    elif isinstance(learner, MarieLearner):
        steps = learner.parameters.behavior.horizon - 1
        observation = marie_observations(learner.tokenizer, learner.world_model, steps, scene, device, seed)
    else:
        raise TypeError(f"{type(learner).__name__} has no world model")
    seen = observation.double().cpu().numpy()
    return [Rollout(NO_ORDER, environment.states_seen(seen), seen)]


def _dima_rollouts(learner: DimaLearner, scene: Scene, device: torch.device, seed: int) -> list[Rollout]:
    model, past = learner.world_model, learner.parameters.denoiser.conditioning_states
    if scene.start < past - 1:
        raise UserError(
            f"The model is given {past} states, and the frames of {scene.actor} begin after step {scene.start}."
        )
    segments = cut([scene.episode], [(0, scene.start)], past, scene.horizon, device)
    rollouts = []
    for name, sampler in own_order_first(model).items():
        scaled = open_loop(model, sampler, segments, seed)
        state, observation = (
            values[0].double().cpu().numpy() for values in (model.unscale(scaled), observe(model, scaled))
        )
        rollouts.append(Rollout(name, state, observation))
    return rollouts


@torch.no_grad()
def mamba_observations(
    model: RecurrentModel, scene: Scene, device: torch.device, seed: int
) -> Float[Tensor, "horizon agents observation"]:
    """Decoded from the latent states that the prior gives, from `filtered` on; they are drawn from `seed`."""
    generator = torch.Generator(device).manual_seed(seed)
    state = filtered(model, scene, device)
    observations = []
    for action in _clipped(scene.action, device):
        state = model.imagine_step(state, action[None], generator)
        observations.append(decoded(model, state)[0])
    return torch.stack(observations)


@torch.no_grad()
def filtered(model: RecurrentModel, scene: Scene, device: torch.device) -> LatentState:
    """The latent state at the start, for one world.

    The posterior's most likely one at every step of the episode so far.

    The model is told actions as the environments clip them, as in training.
    """
    observations = torch.from_numpy(scene.episode.observation[: scene.start + 1]).float().to(device)
    actions = _clipped(scene.episode.action[: scene.start + 1], device)
    state, previous = model.initial(1, observations.shape[1]), torch.zeros_like(actions[:1])
    for observation, action in zip(observations, actions, strict=True):
        state = model.observe_step(state, previous, observation[None], None)
        previous = action[None]
    return state


def decoded(model: RecurrentModel, state: LatentState) -> Float[Tensor, "batch agents observation"]:
    """What every agent sees in its latent state."""
    return model.observation_head(model.decoder(state.feature))


@torch.no_grad()
def marie_observations(
    tokenizer: Tokenizer,
    world_model: TokenWorldModel,
    most: int,
    scene: Scene,
    device: torch.device,
    seed: int,
) -> Float[Tensor, "reached agents observation"]:
    """Decoded from tokens that follow those of the start, for at most `most` steps.

    They are drawn from `seed`.
    """
    generator = torch.Generator(device).manual_seed(seed)
    tokens = tokenizer.encode(
        torch.from_numpy(scene.episode.observation[scene.start]).float().to(device)[None]
    )
    actions = torch.from_numpy(scene.action[:most]).float().to(device)
    uniform = torch.rand(len(actions), *tokens.shape, generator=generator, device=device)
    unrolling = world_model.unroll()
    observations = []
    for action, numbers in zip(actions, uniform, strict=True):
        _, _, tokens = unrolling.step(tokens, action[None], numbers)  # its bins clip the action
        observations.append(tokenizer.decode(tokens)[0])
    return torch.stack(observations)


def _clipped(
    actions: Float[np.ndarray, "time agents action"], device: torch.device
) -> Float[Tensor, "time agents action"]:
    return torch.from_numpy(actions).float().to(device).clamp(-1, 1)
