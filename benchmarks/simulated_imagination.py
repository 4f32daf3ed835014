"""DIMA's policy trained in the simulator instead of the world model: what would a perfect model be worth?

    python -m benchmarks.simulated_imagination --grid fewer-steps-tasks --task ant-2x4 --method dima-swift
    --steps 40000 --json ant.jsonl

Starts, horizon, rollouts, number of updates and PPO are the method's. If this learns and the method does not,
the world model or its reward model holds the method back; if this does not learn either, the critic, the
horizon or the number of policy updates does. For MAMuJoCo tasks, whose worlds can be set to a stored state.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import envs
from benchmarks.workload import CONFIG
from dima.behavior.imagination import Rollout
from dima.behavior.networks import Actor
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid
from dima.errors import UserError
from dima.experience.evaluate import EvaluationWorlds
from dima.experience.random import stream_seed
from dima.experience.transitions import Windows
from dima.learning.compute import prepare_process
from dima.learning.dima_learner import DimaLearner
from dima.learning.learner import Scalars
from dima.world_model.world_model import WorldModel
from envs.mamujoco.environment import MultiAgentMujoco
from envs.mamujoco.reconstruction import reconstruct


class SimulatedWorlds:
    """`worlds` worlds of a MAMuJoCo task, which continue real states. Raises UserError for another suite."""

    def __init__(self, config: CellConfig, worlds: int) -> None:
        task = config.task
        if task.suite != "mamujoco":
            raise UserError(
                f"The worlds of {task.name} cannot be set to a stored state: choose a task of MAMuJoCo."
            )
        made = envs.make(
            task.name,
            num_envs=worlds,
            seed=stream_seed(config.seed, "simulated"),
            preset=task.preset,
            engine=task.simulator,
        )
        self._environment = cast(MultiAgentMujoco, made)

    def start(self, states: Float[np.ndarray, "batch state"]) -> None:
        """Put every world into its state; the place on the ground is 0, since no state has it."""
        robots = self._environment.robots
        self._environment.reset()
        for world, state in enumerate(states):
            position, velocity = reconstruct(robots.model, state[None], robots.dt)
            robots.qpos[world], robots.qvel[world] = position[0], velocity[0]
        saved = robots.save()
        # the torso's place lags by one substep behind the root's
        saved["x"][:] = -robots.qvel[:, 0] * robots.model.opt.timestep if robots.body.torso_speed else 0.0
        robots.restore(saved)

    @torch.no_grad()
    def imagine(
        self, model: WorldModel, actor: Actor, starts: Windows, horizon: int, generator: torch.Generator
    ) -> Rollout:
        """`dima.behavior.imagination.imagine` with real steps; after an end, the next episode begins.

        Args:
            model: only scales the states.
            actor: acts for every agent.
            starts: one window of real steps for each world.
            horizon: steps of each rollout.
            generator: of the actions.
        """
        self.start(starts.state[:, -1].numpy())
        state, observation, last_action = starts.state[:, -1], starts.observation, starts.action[:, -2]
        states, last_actions = [state], [last_action]
        observations, taken, rewards, continuations = [], [], [], []
        for _ in range(horizon):
            action = actor.sample(observation, generator)
            result = self._environment.step(action.numpy())
            ended = torch.from_numpy(result.terminated)
            observations.append(observation)
            taken.append(action)
            rewards.append(torch.from_numpy(result.reward))
            continuations.append(1.0 - ended.float())
            observation, state = torch.from_numpy(result.obs), torch.from_numpy(result.state)
            last_action = torch.where(ended[:, None, None], 0.0, action)
            states.append(state)
            last_actions.append(last_action)
        return Rollout(
            state=model.scale(torch.stack(states, dim=1)),
            last_action=torch.stack(last_actions, dim=1),
            observation=torch.stack(observations, dim=1),
            action=torch.stack(taken, dim=1),
            reward=torch.stack(rewards, dim=1),
            continuation=torch.stack(continuations, dim=1),
        )

    def close(self) -> None:
        """Close the worlds."""
        self._environment.close()


class SimulatedLearner(DimaLearner):
    """DIMA without its world model: its policy learns in `SimulatedWorlds`."""

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config, torch.device("cpu"))
        self._worlds = SimulatedWorlds(config, self.parameters.behavior.rollouts)

    def run_epoch(self) -> Scalars:
        """Collect and learn the policy."""
        p = self.parameters
        self.epoch += 1
        collected = self.collect()
        if self.epoch < p.schedule.first_policy_epoch:
            return {"collect": collected}
        reports = {"behavior": self._repeat(p.behavior.policy_updates_per_epoch, self._update_policy)}
        actors = (list(actor.parameters()) for actor in (self.actor_critic.actor, self._acting_actor))
        weights = [*self.actor_critic.actor.parameters(), *self.actor_critic.critic.parameters()]
        return {"collect": collected} | self._read(reports, weights, *actors)

    def _update_policy(self) -> Tensor:
        config, steps = self.parameters.behavior, self.parameters.denoiser.conditioning_states
        starts = self.replay.sample_windows(config.rollouts, steps, self._streams["replay"])
        rollout = self._worlds.imagine(
            self.world_model, self.actor_critic.actor, starts, config.horizon, self._streams["policy"]
        )
        return self._reported("behavior", self.actor_critic.update(rollout))

    def close(self) -> None:
        """Close all worlds."""
        self._worlds.close()
        super().close()


def train(config: CellConfig, env_steps: int, every: int) -> list[dict[str, Any]]:
    """A row for every evaluation: environment steps, seconds, mean return, the policy's last numbers."""
    rows: list[dict[str, Any]] = []
    started, due, scalars = time.monotonic(), 0, {}
    with (
        closing(SimulatedLearner(config)) as learner,
        closing(EvaluationWorlds(config.task, config.seed)) as worlds,
    ):
        while True:
            if learner.env_steps >= due:
                returns = [
                    episode.episode_return for episode in worlds.evaluate(learner.frozen_policy(), due)
                ]
                row = {
                    "env_steps": learner.env_steps,
                    "seconds": round(time.monotonic() - started, 1),
                    "return": float(np.mean(returns)),
                }
                rows.append(row | dict(scalars.get("behavior", {})))
                print(json.dumps(rows[-1]), flush=True)
                due = (learner.env_steps // every + 1) * every
            if learner.env_steps >= env_steps:
                return rows
            scalars = learner.run_epoch()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print every evaluation, write JSON lines."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated_imagination", description="Train DIMA's policy in the simulator."
    )
    parser.add_argument("--grid", default="fewer-steps-tasks")
    parser.add_argument("--task", default="ant-2x4")
    parser.add_argument("--method", default="dima-swift")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40000, help="environment steps (default: %(default)s)")
    parser.add_argument(
        "--every", type=int, default=5000, help="environment steps between evaluations (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    prepare_process("reference", torch.device("cpu"))
    try:
        config = load_grid(options.grid, CONFIG).resolve(CellKey(options.task, options.method, options.seed))
        rows = train(config, options.steps, options.every)
    except UserError as error:
        sys.exit(str(error))
    if options.json:
        options.json.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
