"""`workflow/config/methods/mappo.yaml` against HARL's own default file and against the values of its tuned files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dima.baselines.harl_settings import harl_settings
from dima.config import HarlOnPolicyParameters
from dima.grid import CellKey, load_grid
from dima.yaml_file import read_yaml

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


def test_base_parameters_are_harls_default_file() -> None:
    tools = pytest.importorskip("harl.utils.configs_tools")
    theirs, _ = tools.get_defaults_yaml_args("mappo", "mamujoco")
    base = read_yaml(CONFIG_DIR / "methods/mappo.yaml")["parameters"]
    ours = harl_settings(HarlOnPolicyParameters.model_validate_json(json.dumps(base)))
    not_a_parameter = {"num_env_steps", "log_interval", "eval_interval", "model_dir"}
    assert ours["train"] == {name: value for name, value in theirs["train"].items() if name not in not_a_parameter}
    assert ours["model"] == theirs["model"]
    assert ours["algo"] == theirs["algo"]


@pytest.mark.parametrize("task", TUNED)
def test_tasks_of_the_paper_have_the_tuned_or_the_fallback_values(task: str) -> None:
    p = load_grid("paper", CONFIG_DIR).resolve(CellKey(task, "mappo", 1)).parameters
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
    assert p.share_parameters
