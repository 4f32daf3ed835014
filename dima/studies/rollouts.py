"""World models rolled out along the actions of a scene: their observations, and the states these show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

import envs
from dima.errors import UserError
from dima.learning.learner import Imagining
from dima.studies.scene import Scene


@dataclass(frozen=True)
class Rollout:
    """Predictions in raw units after each step that the model reaches: the scene's horizon, or less."""

    name: str
    state: Float[np.ndarray, "reached state"]
    observation: Float[np.ndarray, "reached agents observation"]


def imagined(
    learner: Imagining, environment: envs.BatchedEnvironment, scene: Scene, seed: int
) -> list[Rollout]:
    """The rollouts of the learner's world model, one for every order of the agents that it has.

    Args:
        learner: whose world model it is.
        environment: of the task, which knows the states that observations show.
        scene: where imagination begins, and the actions.
        seed: of noise, orders, latent states and tokens.

    Raises:
        UserError: the model needs more states than the scene has before its start.
        envs.UntoldStateError: the model predicts observations, and they do not tell the state.
    """
    if len(scene.past.state) < learner.past:
        raise UserError(
            f"The model is given {learner.past} states, "
            f"and the frames of {scene.actor} begin after step {scene.start}."
        )
    return [
        Rollout(name, environment.states_seen(observation) if state is None else state, observation)
        for name, (observation, state) in learner.imagine_along(scene.past, scene.action, seed).items()
    ]
