"""The configuration: what it resolves to, and how it refuses what is not in order."""

from __future__ import annotations

import copy
from operator import attrgetter

import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import dima.config.grid
import envs
from dima.config import CellConfig
from dima.config.grid import CellKey, load_grid, merge, validate
from dima.config.yaml_file import read_yaml
from dima.errors import UserError

PAPER = {  # Tables 1, 3 and 4, equations and appendix B
    "replay.capacity": 250_000,
    "state_decoder.hidden": 512,
    "state_decoder.quantizer": "fsq",
    "state_decoder.levels": (8, 6, 5),
    "state_decoder.batch_size": 256,
    "state_decoder.updates_per_epoch": 200,
    "state_decoder.optimizer.learning_rate": 3e-4,
    "state_decoder.optimizer.gradient_clip": 10.0,
    "denoiser.dynamics": "diffusion",
    "denoiser.conditioning": "sequential",
    "denoiser.conditioning_states": 3,
    "denoiser.channels": (64, 64, 64),
    "denoiser.blocks": (2, 2, 2),
    "denoiser.condition_dim": 256,
    "denoiser.sigma_data": 0.5,
    "denoiser.noise_mean": -0.4,
    "denoiser.noise_std": 1.2,
    "denoiser.batch_size": 64,
    "denoiser.updates_per_epoch": 200,
    "denoiser.optimizer.learning_rate": 1e-4,
    "denoiser.optimizer.gradient_clip": 1.0,
    "sampler.steps": "paper",
    "sampler.order": "descending",
    "reward_model.dim": 256,
    "reward_model.layers": 6,
    "reward_model.heads": 4,
    "reward_model.dropout": 0.1,
    "reward_model.optimizer_steps_per_batch": 1,
    "reward_model.batch_size": 128,
    "reward_model.updates_per_epoch": 200,
    "reward_model.optimizer.learning_rate": 1e-4,
    "reward_model.optimizer.gradient_clip": 10.0,
    "behavior.horizon": 15,
    "behavior.rollouts": 600,
    "behavior.policy_updates_per_epoch": 4,
    "behavior.discount": 0.99,
    "behavior.return_lambda": 0.95,
    "behavior.lambda_return": "exact",
    "behavior.ppo_epochs": 5,
    "behavior.clip": 0.1,
    "behavior.entropy_coefficient": 0.001,
    "behavior.actor_learning_rate": 5e-4,
    "behavior.critic_learning_rate": 5e-4,
    "behavior.gradient_clip": 10.0,
    "schedule.min_new_steps": 200,
}
RELEASE = {
    "replay.visit_temperature": 20.0,
    "replay.window_sampling": "recency",
    "replay.recency_weights": (0.1, 0.1, 0.1, 0.7),
    "replay.recency_remainder": "newest",
    "state_decoder.tokens": 12,
    "state_decoder.codebook_size": 256,
    "state_decoder.codebook_dim": 64,
    "state_decoder.codebook_decay": 0.995,
    "state_decoder.rotation_trick": False,
    "state_decoder.loss": "l1",
    "state_decoder.optimizer.weight_decay": 0.01,
    "state_decoder.optimizer.decayed": "all",
    "denoiser.action_encoder.kind": "perceiver",
    "denoiser.action_encoder.token_dim": 256,
    "denoiser.action_encoder.latents": 32,
    "denoiser.action_encoder.latent_dim": 512,
    "denoiser.action_encoder.depth": 2,
    "denoiser.action_encoder.cross_heads": 1,
    "denoiser.action_encoder.cross_head_dim": 64,
    "denoiser.action_encoder.heads": 8,
    "denoiser.action_encoder.head_dim": 64,
    "denoiser.action_encoder.feed_forward_multiplier": 4,
    "denoiser.action_encoder.attention_bias": True,
    "denoiser.sigma_offset_noise": 0.3,
    "denoiser.noise_min": 0.002,
    "denoiser.noise_max": 20.0,
    "denoiser.autoregressive_steps": 3,
    "denoiser.optimizer.weight_decay": 0.01,
    "denoiser.optimizer.decayed": "weights",
    "denoiser.learning_rate_warmup_updates": 100,
    "sampler.sigma_min": 0.002,
    "sampler.sigma_max": 5.0,
    "sampler.rho": 7.0,
    "sampler.initial_noise": "scaled",
    "reward_model.action_layers": 3,
    "reward_model.action_heads": 8,
    "reward_model.action_head_dim": 32,
    "reward_model.feed_forward_multiplier": 4,
    "reward_model.action_attention_bias": True,
    "reward_model.termination": "bernoulli",
    "reward_model.timeout_is_termination": True,
    "reward_model.optimizer.weight_decay": 0.01,
    "reward_model.optimizer.decayed": "weights",
    "behavior.start_observation": "reconstruction",
    "behavior.actor_hidden": (128, 128, 128),
    "behavior.critic_hidden": (256, 256),
    "behavior.critic_input": "state_and_last_action",
    "behavior.critic_loss": "normalized_huber",
    "behavior.huber_delta": 10.0,
    "behavior.adam_epsilon": 1e-5,
    "schedule.epoch_trigger": "episode_end",
    "schedule.warmup_steps": 5000,
    "schedule.warmup_policy": "actor",
    "schedule.first_policy_epoch": 10,
    "schedule.first_epoch_update_factor": 1,
}
OURS = {"algorithm": "dima", "compute": "reference", "denoiser.deterministic_hidden": 512}


@pytest.mark.parametrize(("path", "expected"), (PAPER | RELEASE).items(), ids=str)
def test_dima_has_the_papers_values(paper, path, expected):
    """The paper's where it has one, the release's elsewhere."""
    assert attrgetter(path)(paper.parameters) == expected


def test_every_value_is_the_papers_the_releases_or_ours(paper):
    named = [".".join(path) for path in leaves(paper.parameters.model_dump())]
    assert sorted(named) == sorted([*PAPER, *RELEASE, *OURS])
    assert {path: attrgetter(path)(paper.parameters) for path in OURS} == OURS


def test_the_papers_tasks_are_evaluated_in_ten_episodes_at_fixed_intervals():
    grid = load_grid("paper")
    evaluated = {
        task.name: (task.evaluation.every, task.evaluation.episodes)
        for task in {cell.task: grid.task(cell.task) for cell in grid.cells}.values()
    }
    hands = ("bottle-cap", "door-open-inward", "door-open-outward", "pen")
    assert evaluated == {name: (5_000 if name in hands else 10_000, 10) for name in evaluated}
    assert len(evaluated) == 11


def test_joint_differs_from_dima_in_its_conditioning_alone(tiny):
    ours, joint = (tiny.resolve(CellKey("push-mass", name, 1)).parameters for name in ("dima", "dima-joint"))
    assert joint == ours.model_copy(
        update={"denoiser": ours.denoiser.model_copy(update={"conditioning": "joint"})}
    )


@pytest.mark.parametrize(
    ("task", "discount", "entropy", "new_steps", "termination"),
    [
        ("bottle-cap", 0.95, 0.01, 500, "bernoulli"),
        ("ant-2x4", 0.99, 0.001, 200, "categorical"),
        ("ant-4x2", 0.99, 0.001, 200, "categorical"),
        ("walker2d-2x3", 0.99, 0.001, 200, "categorical"),
        ("walker2d-3x2", 0.99, 0.001, 200, "categorical"),
        ("halfcheetah-6x1", 0.99, 0.001, 200, "bernoulli"),
    ],
)
def test_suites_and_tasks_have_their_own_values(task, discount, entropy, new_steps, termination):
    parameters = load_grid("paper").resolve(CellKey(task, "dima", 1)).parameters
    assert (parameters.behavior.discount, parameters.behavior.entropy_coefficient) == (discount, entropy)
    assert parameters.schedule.min_new_steps == new_steps
    assert parameters.reward_model.termination == termination


def test_the_paper_grid_has_the_papers_cells():
    grid = load_grid("paper")
    assert len(grid.experiments["final_returns"]) == 11 * 6 * 4
    assert len(grid.cells) == 11 * 6 * 4 + 3 * (4 + 8)


def test_the_digest_follows_values_and_nothing_else(tmp_path, tiny, tiny_cell):
    key = CellKey("push-mass", "dima", 1)
    path = tmp_path / "configuration/workflow/config/methods/dima.yaml"
    config_dir = path.parents[1]
    path.write_text("# another comment\n" + path.read_text().replace("rho: 7.0 ", "rho: 7.00 "))
    assert load_grid("tiny", config_dir).resolve(key).digest() == tiny_cell.digest()
    path.write_text(path.read_text().replace("rho: 7.00 ", "rho: 7.01 "))
    assert load_grid("tiny", config_dir).resolve(key).digest() != tiny_cell.digest()
    assert tiny.resolve(CellKey("push-mass", "dima", 2)).digest() != tiny_cell.digest()
    shown = tiny_cell.task.model_copy(update={"label": "another", "comparable_with_paper": True})
    assert tiny_cell.model_copy(update={"task": shown}).digest() == tiny_cell.digest()
    elsewhere = tiny_cell.task.model_copy(update={"simulator": "another"})
    assert tiny_cell.model_copy(update={"task": elsewhere}).digest() != tiny_cell.digest()


def test_what_harl_learned_on_mamujoco_keeps_counting():
    """Finished cells of the grid `paper`, by the digests in their records: a value that moves one costs a day
    of computing."""
    grid = load_grid("paper")
    lines = (ROOT / "tests/recorded-digests.txt").read_text(encoding="utf-8").split("\n")[:-1]
    recorded = dict(line.split(" ") for line in lines)
    now = {key.folder: grid.resolve(key).digest() for key in grid.cells if key.folder in recorded}
    assert len(recorded) == 36
    assert now == recorded


def refusal(cell, changes):
    with pytest.raises(UserError) as caught:
        validate(CellConfig, merge(cell.model_dump(mode="json"), changes), "test")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"parameters": {"denoiser": {"chanels": [1]}}},
            ["'parameters.denoiser.chanels'", "perhaps 'channels'", "blocks"],
        ),
        (
            {"parameters": {"denoiser": {"action_encoder": {"x": 1}}}},
            ["'parameters.denoiser.action_encoder.x'", "token_dim"],
        ),
        ({"surprise": 1}, ["'surprise'", "parameters"]),
        (
            {"parameters": {"denoiser": {"batch_size": "64"}}},
            ["'parameters.denoiser.batch_size' = '64'", "valid integer"],
        ),
        ({"parameters": {"denoiser": {"batch_size": 64.5}}}, ["'parameters.denoiser.batch_size' = 64.5"]),
        (
            {"parameters": {"denoiser": {"batch_size": 0}}},
            ["'parameters.denoiser.batch_size' = 0", "greater than or equal to 1"],
        ),
        (
            {"parameters": {"reward_model": {"timeout_is_termination": "yes"}}},
            ["timeout_is_termination' = 'yes'", "boolean"],
        ),
        ({"parameters": {"sampler": {"rho": float("nan")}}}, ["'parameters.sampler.rho'", "finite"]),
        ({"parameters": {"state_decoder": {"quantizer": "fsk"}}}, ["quantizer' = 'fsk'", "'fsq' or 'vq'"]),
        (
            {"parameters": {"denoiser": {"conditioning_states": 4}}},
            ["conditioning_states + 1 must be a multiple of 2"],
        ),
        ({"parameters": {"denoiser": {"blocks": [1]}}}, ["one entry for each level"]),
        ({"parameters": {"schedule": {"warmup_steps": 3}}}, ["at least behavior.horizon"]),
        ({"parameters": {"replay": {"capacity": 10}}}, ["'parameters'", "at least schedule.warmup_steps"]),
        (
            {"parameters": {"denoiser": {"channels": [48, 64]}}},
            ["of 'parameters.denoiser'", "multiples of 32"],
        ),
        (
            {"parameters": {"denoiser": {"channels": [], "blocks": []}}},
            ["'parameters.denoiser.channels'", "at least 1"],
        ),
        ({"parameters": {"denoiser": {"noise_min": 30.0}}}, ["noise_min must be below noise_max"]),
        ({"parameters": {"sampler": {"sigma_min": 9.0}}}, ["sigma_min must be below sigma_max"]),
        ({"parameters": {"sampler": {"steps": 3}}}, ["sampler.steps = 3 is no multiple of 2 agents"]),
        (
            {"parameters": {"sampler": {"order": [1, 3, 1, 2]}}},
            ["one of the agents 1 to 2 for each of the 4 steps, not [1, 3, 1, 2]"],
        ),
        ({"parameters": {"reward_model": {"heads": 3}}}, ["dim must be a multiple of heads (3)"]),
        (
            {"parameters": {"behavior": {"actor_hidden": []}}},
            ["'parameters.behavior.actor_hidden'", "at least 1"],
        ),
        (
            {"parameters": {"state_decoder": {"levels": [8, 1]}}},
            ["'parameters.state_decoder.levels", "greater than or equal to 2"],
        ),
        ({"engine": "harl"}, ["engine must be native for algorithm dima"]),
        (
            {"task": {"comparable_with_paper": True}},
            ["of 'task'", "the paper did not measure toy with preset paper in numpy"],
        ),
        ({"parameters": {"algorithm": "dimma"}}, ["'parameters'", "'dima'"]),
        ({"seed": True}, ["'seed' = True"]),
    ],
)
def test_a_fault_is_one_sentence_with_its_path_and_the_choices(tiny_cell, changes, words):
    message = refusal(tiny_cell, changes)
    for word in words:
        assert word in message


def leaves(tree, path=()):
    for key, value in tree.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_configuration_goes_unnoticed(data):
    """A key that is misspelt or lost, or a value of a wrong kind, anywhere: refused with the key's path."""
    good = load_grid("quick").resolve(CellKey("push-mass", "dima", 1)).model_dump(mode="json")
    path = data.draw(st.sampled_from(list(leaves(good))))
    damage = data.draw(st.sampled_from(["rename", "remove", "object", "text"]))
    tree = copy.deepcopy(good)
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    value = parent.pop(path[-1])
    if damage == "rename":
        parent[path[-1] + "s"] = value
    elif damage != "remove":
        parent[path[-1]] = {} if damage == "object" else ([] if isinstance(value, str) else "text")
    with pytest.raises(UserError, match=path[-1] if path[-1] != "algorithm" else "parameters"):
        validate(CellConfig, tree, "test")


def write(folder, text):
    (folder / "workflow/config/broken.yaml").write_text(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("experiments: [", "cannot be read as YAML"),
        ("- a list", "must hold a mapping"),
        ("experiments: {}\nexperiments: {}", "'experiments' is given twice"),
        ("experiment: {}", "perhaps 'experiments'"),
        ("experiments: {t: [{tasks: [push-mass], methods: [dima], seed: [1]}]}", "perhaps 'seeds'"),
        (
            "experiments: {t: [{tasks: [push-mass], methods: [dima], seeds: [-1]}]}",
            "greater than or equal to 0",
        ),
        (
            yaml.safe_dump({"experiments": {}, "overrides": {"tasks": {"push-mass": {}}}}),
            "Unknown task 'push-mass' under overrides",
        ),
    ],
)
def test_a_grid_file_that_is_not_in_order_is_refused(workplace, text, words):
    write(workplace, text)
    with pytest.raises(UserError, match=words):
        load_grid("broken")


def test_exponents_need_no_point(workplace):
    write(
        workplace,
        "experiments: {t: [{tasks: [push-mass], methods: [mappo], seeds: [1]}]}\noverrides: {methods: "
        "{mappo: {learning_rate: 1e-4}}}",
    )
    assert load_grid("broken").resolve(CellKey("push-mass", "mappo", 1)).parameters.learning_rate == 1e-4


def test_what_a_variant_says_wins_over_what_its_base_says_for_a_suite_or_a_task(workplace):
    methods = workplace / "workflow/config/methods"
    (methods / "variant.yaml").write_text(
        "extends: dima\nparameters: {behavior: {discount: 0.9}, reward_model: {termination: bernoulli}}\n"
        "for_task: {pen: {behavior: {clip: 0.3}}}\n"
    )
    write(
        workplace, "experiments: {t: [{tasks: [bottle-cap, ant-4x2, pen], methods: [variant], seeds: [1]}]}"
    )
    resolved = {
        task: load_grid("broken").resolve(CellKey(task, "variant", 1)).parameters
        for task in ("bottle-cap", "ant-4x2", "pen")
    }
    assert [parameters.behavior.discount for parameters in resolved.values()] == [0.9, 0.9, 0.9]
    assert resolved["ant-4x2"].reward_model.termination == "bernoulli"
    assert resolved["bottle-cap"].behavior.entropy_coefficient == 0.01
    assert [parameters.behavior.clip for parameters in resolved.values()] == [0.1, 0.1, 0.3]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("for_suite: {mujocoo: {}}", "Unknown suite 'mujocoo'"),
        ("for_task: {pens: {}}", "Unknown task 'pens'.*perhaps 'pen'"),
    ],
)
def test_a_misspelt_suite_or_task_of_a_method_is_refused(workplace, line, words):
    (workplace / "workflow/config/methods/variant.yaml").write_text(
        f"extends: dima\nparameters: {{}}\n{line}\n"
    )
    write(workplace, "experiments: {t: [{tasks: [pen], methods: [variant], seeds: [1]}]}")
    with pytest.raises(UserError, match=words):
        load_grid("broken").resolve(CellKey("pen", "variant", 1))


def test_a_method_that_extends_itself_is_refused(workplace):
    methods = workplace / "workflow/config/methods"
    (methods / "one.yaml").write_text("extends: two\nparameters: {}\n")
    (methods / "two.yaml").write_text("extends: one\nparameters: {}\n")
    write(workplace, "experiments: {t: [{tasks: [pen], methods: [one], seeds: [1]}]}")
    with pytest.raises(UserError, match=r"methods/one.yaml extends itself: one extends two extends one\."):
        load_grid("broken").resolve(CellKey("pen", "one", 1))


def test_presets_of_one_suite_never_meet_in_a_grid(workplace):
    block = "experiments: {t: [{tasks: [ant-2x4, ant-4x2, pen], methods: [dima], seeds: [1]}]}\n"
    write(
        workplace,
        block + "overrides: {tasks: {ant-2x4: {preset: gymnasium-robotics, comparable_with_paper: false}}}",
    )
    with pytest.raises(
        UserError,
        match=r"Grid broken mixes .* mamujoco .*: ant-2x4 has preset gymnasium-robotics in mujoco, ant-4x2 ",
    ):
        load_grid("broken")
    other = "{preset: gymnasium-robotics, comparable_with_paper: false}"
    write(workplace, block + f"overrides: {{tasks: {{ant-2x4: {other}, ant-4x2: {other}}}}}")
    assert load_grid("broken").task("ant-4x2").preset == "gymnasium-robotics"


@pytest.mark.parametrize("other", ["v0", "paper"])
def test_the_hands_of_version_0_are_other_cells_and_meet_those_of_version_1_in_no_grid(workplace, other):
    """`paper` is what version 0 was called."""
    block = "experiments: {t: [{tasks: [pen, bottle-cap], methods: [dima], seeds: [1]}]}\n"
    write(workplace, block + f"overrides: {{tasks: {{pen: {{preset: {other}}}}}}}")
    with pytest.raises(
        UserError,
        match=f"Grid broken mixes .* bidexhands .*: bottle-cap has preset v1 .*, pen has preset {other} ",
    ):
        load_grid("broken")
    digests = []
    for preset in ("v1", other):
        write(
            workplace,
            block + f"overrides: {{tasks: {{pen: {{preset: {preset}}}, bottle-cap: {{preset: {preset}}}}}}}",
        )
        digests += [
            load_grid("broken").resolve(CellKey(task, "dima", 1)).digest() for task in ("pen", "bottle-cap")
        ]
    assert len(set(digests)) == 4


def test_the_papers_tasks_have_the_preset_that_an_environment_has_by_default():
    grid = load_grid("paper")
    tasks = {cell.task for cell in grid.cells}
    assert {task: grid.task(task).preset for task in tasks} == {
        task: envs.TASKS[task].presets[0] for task in tasks
    }
    assert grid.task("pen").preset == "v1"


def test_the_paper_grids_300_cells_are_resolved_with_every_tasks_file_read_once(monkeypatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(dima.config.grid, "read_yaml", lambda path: read.append(path.name) or read_yaml(path))
    grid = load_grid("paper")
    assert len([grid.resolve(key) for key in grid.cells]) == 300
    tasks = sorted({f"{key.task}.yaml" for key in grid.cells})
    assert sorted(name for name in read if name in tasks) == tasks
    assert len(read) < 40
