"""Rollouts of the current policy inside the world model (docs/method.md#imagination)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dima.behavior.networks import Actor
from dima.config import BehaviorConfig
from dima.experience.random import RandomStreams
from dima.experience.transitions import Windows
from dima.world_model.world_model import WorldModel


@dataclass(frozen=True)
class Rollout:
    """Imagined experience in scaled units; one state more than steps.

    What follows a continuation of 0 is another episode.
    """

    state: Float[Tensor, "batch states state"]
    last_action: Float[Tensor, "batch states agents action"]
    observation: Float[Tensor, "batch time agents observation"]
    action: Float[Tensor, "batch time agents action"]
    reward: Float[Tensor, "batch time"]
    continuation: Float[Tensor, "batch time"]


class Situation(NamedTuple):
    """The last n states of rollouts in scaled units, and the actions in them.

    The last action is still to be chosen. `real` is what the agents observed where an episode `begins`.
    """

    history: Float[Tensor, "batch steps state"]
    actions: Float[Tensor, "batch steps agents action"]
    begins: Bool[Tensor, " batch"]
    real: Float[Tensor, "batch agents observation"]

    @classmethod
    def of(cls, windows: Windows, world_model: WorldModel) -> Situation:
        """At the last states of windows; states before an episode's start are 0."""
        history = world_model.scale(windows.state) * windows.valid[..., None]
        return cls(history, windows.action, torch.ones_like(windows.valid[:, 0]), windows.observation)

    def after(
        self, action: Float[Tensor, "batch agents action"], state: Float[Tensor, "batch state"]
    ) -> Situation:
        """One step later."""
        history = torch.cat([self.history[:, 1:], state[:, None]], dim=1)
        actions = torch.cat([self.actions[:, 1:-1], action[:, None], action[:, None]], dim=1)
        return Situation(history, actions, torch.zeros_like(self.begins), self.real)


class Scorer:
    """Rewards and continuations of rollouts in which nothing ends: all steps are scored in one call."""

    def __init__(self, world_model: WorldModel, generator: torch.Generator) -> None:
        self._world_model, self._generator = world_model, generator

    def follow(
        self, now: Situation, action: Float[Tensor, "batch agents action"], later: Situation
    ) -> Situation:
        """Take in the step from `now` to `later`, and return where the next step starts."""
        return later

    def scores(
        self, states: Float[Tensor, "batch time state"], actions: Float[Tensor, "batch time agents action"]
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
        """Reward and continuation of every step."""
        return self._world_model.score(states, actions, self._generator)


class EndingScorer(Scorer):
    """Samples ends step by step; after an end, except in the last step, a window of `restarts` follows."""

    def __init__(self, world_model: WorldModel, generator: torch.Generator, restarts: Windows) -> None:
        super().__init__(world_model, generator)
        self._restarts, self._scoring = restarts, world_model.start_scoring()
        self._scores: list[tuple[Tensor, Tensor]] = []

    def follow(
        self, now: Situation, action: Float[Tensor, "batch agents action"], later: Situation
    ) -> Situation:
        first, batch = len(self._scores) * len(action), len(action)
        score = self._world_model.score_step(
            self._scoring, now.history[:, -1], action, now.begins, self._generator
        )
        self._scores.append(score)
        if first >= len(self._restarts.state):
            return later
        fresh = Situation.of(self._restarts.rows(first, first + batch), self._world_model)
        ended = score[1] == 0
        rows = (
            (ended.view(-1, *[1] * (new.dim() - 1)), new, old) for new, old in zip(fresh, later, strict=True)
        )
        return Situation(*(torch.where(*row) for row in rows))

    def scores(
        self, states: Float[Tensor, "batch time state"], actions: Float[Tensor, "batch time agents action"]
    ) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
        rewards, continuations = zip(*self._scores, strict=True)
        return torch.stack(rewards, dim=1), torch.stack(continuations, dim=1)


@torch.no_grad()
def imagine(
    world_model: WorldModel,
    actor: Actor,
    starts: Windows,
    config: BehaviorConfig,
    streams: RandomStreams,
    restarts: Windows | None = None,
) -> Rollout:
    """Roll the policy out for `horizon` steps from the last states of `starts`.

    Args:
        world_model: is stepped and scores reward and continuation.
        actor: acts for every agent.
        starts: one window of real steps for each rollout.
        config: of behaviour learning.
        streams: `policy`, `order`, `noise` and `ends` are drawn from.
        restarts: where ends are sampled (`termination: categorical`), `horizon` - 1 windows for each rollout,
            step by step: after an end the next step is the first of another episode. None: nothing ends.
    """
    ends = streams["ends"]
    scorer = Scorer(world_model, ends) if restarts is None else EndingScorer(world_model, ends, restarts)
    now, network = Situation.of(starts, world_model), world_model.prepared()
    states, last_actions = [now.history[:, -1]], [now.actions[:, -2]]
    observations, taken = [], []
    for _ in range(config.horizon):
        observation = world_model.observe(now.history[:, -1])
        if config.start_observation == "real":
            observation = torch.where(now.begins[:, None, None], now.real, observation)
        action = actor.sample(observation, streams["policy"])
        given = torch.cat([now.actions[:, :-1], action[:, None]], dim=1)
        state = world_model.step(now.history, given, streams["order"], streams["noise"], network)
        now = scorer.follow(now, action, now.after(action, state))
        observations.append(observation)
        taken.append(action)
        states.append(now.history[:, -1])
        last_actions.append(now.actions[:, -2])
    all_states, all_actions = torch.stack(states, dim=1), torch.stack(taken, dim=1)
    reward, continuation = scorer.scores(all_states[:, :-1], all_actions)
    return Rollout(
        state=all_states,
        last_action=torch.stack(last_actions, dim=1),
        observation=torch.stack(observations, dim=1),
        action=all_actions,
        reward=reward,
        continuation=continuation,
    )
