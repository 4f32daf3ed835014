"""The GPU memory that MARIE needs at the sizes of its configuration, computed and measured without a GPU.

    python -m benchmarks.marie_memory halfcheetah-2x3 pen

torch's tracker of live tensors measures the peak of a training step of the world model, forward and backward,
on tensors without content: at full size, in seconds, on any machine. Attention is the plain one, which keeps
its weights; the fused kernels that the preset `fast` finds on a GPU keep less. The table also has what the
layers keep for the backward pass by a formula, and the keys and values of the rollouts that are imagined at
once. Workspaces of libraries and losses of the allocator are not included.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

import envs
from benchmarks.timing import print_head
from benchmarks.workload import CONFIG
from dima.baselines.marie.networks import AttentionCritic
from dima.baselines.marie.tokenizer import Tokenizer
from dima.baselines.marie.world_model import TokenWorldModel
from dima.behavior.networks import Actor
from dima.config import Compute, MarieParameters
from dima.config.grid import CellKey, load_grid
from dima.experience.transitions import Sequences

FLOAT, BFLOAT = 4, 2
CARD = 24e9
HEAD = (
    "task | rows x tokens | weights, moments | replay | kept (formula) | peak | checkpointed | keys, values"
    " | at most | fits 24 GB"
)


class Sizes(NamedTuple):
    """A task's and its configuration."""

    agents: int
    observation: int
    action: int
    parameters: MarieParameters

    @property
    def tokens(self) -> int:
        """Of a window of one agent."""
        return self.parameters.behavior.horizon * (self.parameters.tokenizer.tokens + self.action + 1)

    @property
    def rows(self) -> int:
        """Sequences of one agent each in a batch of the world model."""
        return self.parameters.world_model.batch_size * self.agents

    def world_model(self, compute: Compute) -> TokenWorldModel:
        """A new one."""
        tokenizer = self.parameters.tokenizer
        sizes = (
            self.agents,
            self.action,
            tokenizer.tokens,
            tokenizer.codebook_size,
            self.parameters.behavior.horizon,
        )
        return TokenWorldModel(*sizes, self.parameters.world_model, compute)


def of_task(task: str) -> Sizes:
    """The paper's grid on one task."""
    parameters = load_grid("paper", CONFIG).resolve(CellKey(task, "marie", 1)).parameters
    if not isinstance(parameters, MarieParameters):
        raise TypeError(f"{task} has no MARIE parameters")
    spec = envs.make(task).spec
    return Sizes(spec.n_agents, spec.obs_dim, spec.act_dim, parameters)


def weights_and_moments(sizes: Sizes) -> int:
    """Bytes of all weights and of two moments for each."""
    parameters = sizes.parameters
    parts = (
        sizes.world_model("reference"),
        Tokenizer(sizes.observation, parameters.tokenizer),
        Actor(sizes.observation, sizes.action, parameters.behavior.actor_hidden),
        AttentionCritic(sizes.agents, sizes.observation, parameters.behavior),
    )
    return 3 * FLOAT * sum(weight.numel() for part in parts for weight in part.parameters())


def replay_bytes(sizes: Sizes) -> int:
    """Of a full memory: observations, actions and reward, two flags, two counts of visits."""
    return sizes.parameters.replay_capacity * (
        FLOAT * (sizes.agents * (sizes.observation + sizes.action) + 3) + 2
    )


def kept_by_layers(sizes: Sizes) -> int:
    """Bytes that the transformer's layers keep for the backward pass, in float32 and with plain attention.

    A layer keeps 18 tensors of the size of its input: inputs of two norms and of the two projections behind
    them, queries, keys, values, their mixture, two dropped outputs and, four wide, two of the feed-forward
    layer; three tensors of attention weights (softmax, dropout's mask, their product); and two numbers a
    token for each norm. Checkpointed, all layers keep their input, and one at a time the rest.
    """
    config, tokens = sizes.parameters.world_model, sizes.tokens
    inputs = FLOAT * sizes.rows * tokens * config.dim
    layer = 18 * inputs + 3 * FLOAT * sizes.rows * config.heads * tokens**2 + 4 * FLOAT * sizes.rows * tokens
    return config.layers * inputs + layer if config.activation_checkpointing else config.layers * layer


def training_peak(sizes: Sizes, compute: Compute) -> int:
    """Peak bytes of a training step of the world model: activations and gradients, without its weights."""
    batch, horizon = sizes.parameters.world_model.batch_size, sizes.parameters.behavior.horizon
    with FakeTensorMode():
        model = sizes.world_model(compute).train()
        never = torch.zeros(batch, horizon, dtype=torch.bool)
        data = Sequences(
            torch.zeros(batch, horizon, sizes.agents, 1),
            torch.zeros(batch, horizon, sizes.agents, sizes.action),
            torch.zeros(batch, horizon),
            never,
            never,
        )
        tokens = torch.zeros(
            batch, horizon, sizes.agents, sizes.parameters.tokenizer.tokens, dtype=torch.long
        )
        tracker = MemTracker()
        tracker.track_external(model)
        with tracker:
            torch.stack(list(model.loss(tokens, data).values())).sum().backward()
        peak = next(iter(tracker.get_tracker_snapshot("peak").values()))
    weights = FLOAT * sum(weight.numel() for weight in model.parameters())
    return int(peak["Total"]) - weights


def keys_and_values(sizes: Sizes, compute: Compute) -> int:
    """Bytes of the keys and values of the rollouts that are imagined at once."""
    parameters = sizes.parameters
    rows = min(parameters.behavior.rollout_chunk, parameters.behavior.rollouts) * sizes.agents
    config = parameters.world_model
    return 2 * config.layers * rows * sizes.tokens * config.dim * (BFLOAT if compute == "fast" else FLOAT)


def with_checkpointing(sizes: Sizes, on: bool) -> Sizes:
    """The same sizes with or without it."""
    parameters = sizes.parameters
    world_model = parameters.world_model.model_copy(update={"activation_checkpointing": on})
    return sizes._replace(parameters=parameters.model_copy(update={"world_model": world_model}))


def table_line(task: str) -> str:
    """A task's row; the last two columns are with its own precision, checkpointing and chunk."""
    sizes = of_task(task)
    compute = sizes.parameters.compute
    fixed, replay, cache = weights_and_moments(sizes), replay_bytes(sizes), keys_and_values(sizes, compute)
    plain, saving = (training_peak(with_checkpointing(sizes, on), compute) for on in (False, True))
    chosen = saving if sizes.parameters.world_model.activation_checkpointing else plain
    most = fixed + replay + max(chosen, cache)
    kept = kept_by_layers(with_checkpointing(sizes, False))
    numbers = [f"{value / 1e9:.2f}" for value in (fixed, replay, kept, plain, saving, cache, most)]
    return " | ".join([task, f"{sizes.rows} x {sizes.tokens}", *numbers, "yes" if most < CARD else "no"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, in gigabytes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.marie_memory", description="Compute the GPU memory that MARIE needs."
    )
    parser.add_argument(
        "tasks", nargs="*", default=["halfcheetah-2x3", "halfcheetah-6x1", "ant-4x2", "pen", "bottle-cap"]
    )
    options = parser.parse_args(arguments)
    print_head(HEAD)
    for task in options.tasks:
        print(table_line(task), flush=True)


if __name__ == "__main__":
    main()
