"""The action gains of an exactly trained denoiser where everything is linear and Gaussian.

The next state moves by sum_i B_i a_i, with each agent's action normal around its mean and B_i the simulator's
Jacobian. A denoising step that knows some agents' actions then returns the mean of the next state given the
noisy one: m + C (C + sigma'^2 I)^-1 (x - m), where m contains the known actions, C is the covariance of what
the unknown ones add, and sigma' the noise level with its offset
(docs/method.md#what-one-agent-a-step-implies).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

import envs

FLOOR = 1e-6
"""Variance that is left of every component of the state when all actions are known."""


def optimal_gains(
    jacobians: Float[np.ndarray, "worlds agents action state"],
    deviation: float,
    revealed: Bool[np.ndarray, "steps agents"],
    sigmas: Float[np.ndarray, " levels"],
    offset_noise: float,
) -> Float[np.ndarray, " agents"]:
    """Each agent's gain: regression of the sampled on the simulated change, as in the study `gain`.

    Args:
        jacobians: change of the next state by each number of an action, in the denoiser's units.
        deviation: standard deviation of each number of an action.
        revealed: which agents' actions each denoising step knows.
        sigmas: noise levels, one more than steps, the last one 0.
        offset_noise: deviation that the denoiser was trained to expect on top of each level.
    """
    covariance = deviation**2 * np.einsum("wiad,wiae->wide", jacobians, jacobians)
    identity = np.eye(jacobians.shape[-1])
    response = np.zeros_like(jacobians)  # of the noisy state to each number of an action
    for step, known in enumerate(revealed):
        unknown = covariance[:, ~known].sum(axis=1) + FLOOR * identity
        noise = (sigmas[step] ** 2 + offset_noise**2) * identity
        trust = np.linalg.solve(unknown + noise, unknown)[
            :, None
        ]  # both are symmetric: C (C + noise)^-1, transposed
        own = jacobians * known[:, None, None]
        denoised = own + (response - own) @ trust
        fraction = (sigmas[step + 1] - sigmas[step]) / sigmas[step]
        response = denoised if step + 1 == len(revealed) else response + (response - denoised) * fraction
    return np.sum(response * jacobians, axis=(0, 2, 3)) / np.sum(jacobians**2, axis=(0, 2, 3))


def revealed_by(conditioning: str, order: tuple[int, ...], agents: int) -> Bool[np.ndarray, "steps agents"]:
    """Which agents' actions each step of the order (agents from 0) knows, by kind of conditioning."""
    each = np.eye(agents, dtype=bool)[list(order)]
    if conditioning == "joint":
        return np.ones_like(each)
    return np.logical_or.accumulate(each) if conditioning == "cumulative" else each


def gait_jacobians(
    task: str, amplitude: float, deviation: float, change: float, worlds: int, seed: int, steps: int = 150
) -> tuple[Float[np.ndarray, "worlds agents action state"], Float[np.ndarray, " agents"]]:
    """Jacobians of the simulator where noisy sine waves have led, one state a world.

    Actions are amplitude * sin(2 pi f t + phase) with f of 1 to 3 Hz at 20 steps a second, a phase for every
    number and 0.5 to 1 times the amplitude, plus normal noise. States are scaled by their deviation over the
    whole gait, times sigma_data = 0.5, as the denoiser sees them.

    Args:
        task: of the preset `paper`.
        amplitude: of the waves.
        deviation: of the noise.
        change: of one number of an action, up and down, for the difference quotient.
        worlds: how many states.
        seed: of the waves and the worlds.
        steps: before the state.

    Returns:
        the Jacobians, and each agent's root mean square of `deviation` times them.
    """
    generator = np.random.default_rng(seed)
    environment = envs.make(task, num_envs=worlds, seed=seed, preset="paper")
    spec = environment.spec
    shape = (worlds, spec.n_agents, spec.act_dim)
    frequency, phase = generator.uniform(1, 3, (worlds, 1, 1)), generator.uniform(0, 2 * np.pi, shape)
    height = amplitude * generator.uniform(0.5, 1.0, shape)

    def wave(step: int) -> Float[np.ndarray, "worlds agents action"]:
        return height * np.sin(2 * np.pi * frequency * step / 20 + phase)

    _, state = environment.reset()
    seen = []
    for step in range(steps):
        seen.append(state.copy())
        noisy = wave(step) + deviation * generator.standard_normal(shape)
        state = environment.step(noisy.astype(np.float32)).state
    scale = 0.5 / (np.concatenate(seen).std(axis=0) + 1e-9)
    start, base = environment.get_sim_state(), wave(steps)

    def moved(agent: int, number: int, by: float) -> Float[np.ndarray, "worlds state"]:
        action = base.copy()
        action[:, agent, number] += by
        environment.set_sim_state(start)
        return np.asarray(environment.step(action.astype(np.float32)).info["final_state"], dtype=np.float64)

    jacobians = np.zeros((*shape, state.shape[1]))
    for agent in range(spec.n_agents):
        for number in range(spec.act_dim):
            difference = moved(agent, number, change) - moved(agent, number, -change)
            jacobians[:, agent, number] = difference / (2 * change) * scale
    environment.close()
    return jacobians, np.sqrt(np.square(deviation * jacobians).sum(axis=2).mean(axis=(0, 2)))
