"""The method files of HARL's methods against HARL's own default files and against the values of its tuned
files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dima.baselines.harl_settings import off_policy_settings, on_policy_settings
from dima.config import HarlOffPolicyParameters, HarlOnPolicyParameters
from dima.config.grid import CellKey, load_grid, merge
from dima.config.yaml_file import read_yaml

CONFIG_DIR = Path(__file__).parents[2] / "workflow/config"
CHEETAH = (5e-4, 0.05, 15, 1, 0.01, False, (128, 128, 128), 20 * 200, 0.99)
ANT = (5e-4, 0.1, 5, 1, 0.0, False, (128, 128, 128), 20 * 200, 0.99)
WALKER = (1e-3, 0.05, 5, 2, 0.0, True, (128, 128, 128), 20 * 200, 0.99)
HANDS = (5e-4, 0.2, 5, 1, 0.01, False, (256, 256, 256), 256 * 125, 0.95)
TUNED = {
    "halfcheetah-2x3": CHEETAH,
    "halfcheetah-3x2": CHEETAH,
    "halfcheetah-6x1": CHEETAH,
    "ant-2x4": ANT,
    "ant-4x2": ANT,
    "walker2d-2x3": WALKER,
    "walker2d-3x2": WALKER,
    "bottle-cap": HANDS,
    "door-open-inward": HANDS,
    "door-open-outward": HANDS,
    "pen": HANDS,
}


HASAC_CHEETAH = (1e-3, 1e-3, 1000, 10, None, 0.99)
HASAC_WALKER = (5e-4, 1e-3, 1000, 20, 0.2, 0.99)
HASAC_HANDS = (5e-4, 5e-4, 1000, 20, None, 0.95)
HASAC_TUNED = {
    "halfcheetah-2x3": HASAC_CHEETAH,
    "halfcheetah-3x2": HASAC_CHEETAH,
    "halfcheetah-6x1": HASAC_CHEETAH,
    "ant-2x4": (1e-3, 3e-4, 2200, 5, 0.2, 0.99),
    "ant-4x2": (1e-3, 3e-4, 1000, 5, 0.2, 0.99),
    "walker2d-2x3": HASAC_WALKER,
    "walker2d-3x2": HASAC_WALKER,
    "bottle-cap": HASAC_HANDS,
    "door-open-inward": HASAC_HANDS,
    "door-open-outward": (*HASAC_HANDS[:-1], 0.99),
    "pen": HASAC_HANDS,
}
"""Learning rates of actor and critic, batch size, n, temperature (None: automatic), discount."""


@pytest.mark.parametrize("method", ["mappo", "happo", "hasac"])
def test_base_parameters_are_harls_default_file(method: str) -> None:
    tools = pytest.importorskip("harl.utils.configs_tools")
    theirs, _ = tools.get_defaults_yaml_args(method, "mamujoco")
    files = [
        read_yaml(CONFIG_DIR / f"methods/{name}.yaml")["parameters"]
        for name in (["mappo"] if method == "happo" else []) + [method]
    ]
    base = json.dumps(merge(*files))
    if method == "hasac":
        ours = off_policy_settings(HarlOffPolicyParameters.model_validate_json(base))
    else:
        ours = on_policy_settings(HarlOnPolicyParameters.model_validate_json(base))
    not_a_parameter = {"num_env_steps", "log_interval", "eval_interval", "model_dir"}
    assert ours["train"] == {
        name: value for name, value in theirs["train"].items() if name not in not_a_parameter
    }
    assert ours["model"] == theirs["model"]
    assert ours["algo"] == theirs["algo"]


@pytest.mark.parametrize("method", ["mappo", "happo"])
@pytest.mark.parametrize("task", TUNED)
def test_tasks_of_the_paper_have_the_tuned_or_the_fallback_values(task: str, method: str) -> None:
    p = load_grid("paper", CONFIG_DIR).resolve(CellKey(task, method, 1)).parameters
    assert isinstance(p, HarlOnPolicyParameters)
    steps_per_update = p.rollout_threads * p.episode_length
    expected = (
        p.learning_rate,
        p.clip,
        p.ppo_epochs,
        p.minibatches,
        p.entropy_coefficient,
        p.linear_learning_rate_decay,
        p.hidden_sizes,
        steps_per_update,
        p.discount,
    )
    assert expected == TUNED[task]
    assert (p.critic_learning_rate, p.critic_epochs) == (p.learning_rate, p.ppo_epochs)
    assert (p.share_parameters, p.fixed_order) == (method == "mappo", method == "mappo")


@pytest.mark.parametrize("task", HASAC_TUNED)
def test_tasks_of_the_paper_have_hasacs_tuned_or_fallback_values(task: str) -> None:
    p = load_grid("paper", CONFIG_DIR).resolve(CellKey(task, "hasac", 1)).parameters
    assert isinstance(p, HarlOffPolicyParameters)
    temperature = None if p.automatic_temperature else p.temperature
    assert (
        p.learning_rate,
        p.critic_learning_rate,
        p.batch_size,
        p.n_step,
        temperature,
        p.discount,
    ) == HASAC_TUNED[task]
    assert (p.hidden_sizes, p.replay_capacity, p.polyak, p.rollout_threads) == (
        (256, 256),
        1_000_000,
        0.005,
        20,
    )
    assert (p.warmup_steps, p.train_interval, p.updates_per_vector_step) == (10_000, 50, 1.0)
    assert (p.huber_loss, p.value_normalization, p.linear_learning_rate_decay) == (False, False, False)
