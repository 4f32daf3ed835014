"""MARIE in training: its schedule, what is drawn and stored, repeatable, resumable, untouched by being looked
at."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from evaluation import evaluate

import envs
from benchmarks.counts import HostQuestions
from dima.baselines.marie.learner import MarieLearner
from dima.cell.checkpoint import load_checkpoint, save_checkpoint
from dima.cell.methods import build_learner
from dima.errors import DivergedError
from dima.learning.learner import Learner

CPU = torch.device("cpu")


def trained(cell, epochs, look=lambda learner: None):
    learner = MarieLearner(cell, CPU)
    scalars = []
    for _ in range(epochs):
        scalars.append(learner.run_epoch())
        look(learner)
    return learner, scalars


def test_it_is_a_learner_by_its_algorithm(make_cell):
    learner = build_learner(make_cell(), CPU)
    assert isinstance(learner, MarieLearner)
    assert isinstance(learner, Learner)
    learner.close()


def test_same_seed_same_bits_and_another_seed_others(make_cell, fingerprint):
    runs = [trained(make_cell(seed), 2) for seed in (1, 1, 2)]
    prints = [fingerprint(learner.state_dict()) for learner, _ in runs]
    assert prints[0] == prints[1] != prints[2]
    assert runs[0][1] == runs[1][1] != runs[2][1]
    assert set(runs[0][1][1]) == {"collect", "tokenizer", "world_model", "behavior"}


def test_evaluating_changes_nothing(make_cell, fingerprint):
    def look(learner):
        before = fingerprint(learner.state_dict())
        evaluate(learner.frozen_policy(), make_cell().task, 1, learner.env_steps)
        evaluate(learner.frozen_policy(), make_cell().task, 1, learner.env_steps)
        assert fingerprint(learner.state_dict()) == before

    assert fingerprint(trained(make_cell(), 2, look)[0].state_dict()) == fingerprint(
        trained(make_cell(), 2)[0].state_dict()
    )


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_restored_learner_goes_on_bit_for_bit(make_cell, tmp_path, fingerprint, checkpointing):
    """Dropout included."""
    cell = make_cell(
        world_model={"activation_checkpointing": checkpointing}, schedule={"epoch_trigger": "fixed_steps"}
    )
    learner, _ = trained(cell, 2)
    save_checkpoint(tmp_path, 1, learner.state_dict())
    expected = learner.run_epoch()
    restored = MarieLearner(cell, CPU)
    restored.load_state_dict(load_checkpoint(tmp_path)[0])
    assert restored.run_epoch() == expected
    assert fingerprint(restored.state_dict()) == fingerprint(learner.state_dict())


def test_a_loaded_policy_acts_as_the_one_that_was_saved(make_cell, tmp_path):
    learner, _ = trained(make_cell(), 2)
    save_checkpoint(tmp_path, 1, learner.state_dict())
    other = MarieLearner(make_cell(seed=2), CPU)
    other.load_policy(load_checkpoint(tmp_path)[0])
    observations = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    np.testing.assert_array_equal(other.frozen_policy()(observations), learner.frozen_policy()(observations))


def test_every_part_is_trained_from_its_epoch_on(make_cell):
    learner = MarieLearner(make_cell(schedule={"first_world_model_epoch": 2, "first_policy_epoch": 3}), CPU)
    groups = [set(learner.run_epoch()) for _ in range(3)]
    assert groups == [
        {"collect", "tokenizer"},
        {"collect", "tokenizer", "world_model"},
        {"collect", "tokenizer", "world_model", "behavior"},
    ]
    assert learner._optimizers["tokenizer"].updates == 9
    assert learner._optimizers["world_model"].updates == 4


def test_an_epoch_follows_a_finished_episode_once_there_is_enough(make_cell):
    """Episodes of 50 steps; 130 stored steps at first, then 60 new ones."""
    learner = MarieLearner(make_cell(schedule={"min_new_steps": 60, "warmup_steps": 130}), CPU)
    steps = []
    for _ in range(3):
        learner.run_epoch()
        steps.append(learner.env_steps)
    assert steps == [150, 250, 350]


def test_every_update_draws_its_own_batch(make_cell, monkeypatch):
    learner, _ = trained(
        make_cell(tokenizer={"batch_size": 7}, world_model={"batch_size": 5}, behavior={"rollouts": 9}), 1
    )
    drawn = []
    for name in ("sample_steps", "sample_sequences", "sample_starts"):
        method = getattr(learner.replay, name)
        monkeypatch.setattr(
            learner.replay, name, lambda *given, method=method: drawn.append(given[:-1]) or method(*given)
        )
    for update in (learner._update_tokenizer, learner._update_world_model, learner._update_policy):
        update()
    assert drawn == [(7, "tokenizer"), (5, 4, "world_model"), (9,)]


def test_starts_are_visited_in_turn_and_counted_for_each_model_apart(make_cell):
    """50 steps: 3 x 16 of the tokenizer are drawn 48 times, and 2 x 4 windows of the world model 8 times."""
    learner, _ = trained(make_cell(), 1)
    visits = {name: counts[:50].sum().item() for name, counts in learner.replay._visits.items()}
    assert visits == {"tokenizer": 48, "world_model": 8}
    assert learner.replay.config.visit_temperature is None


def test_the_replay_holds_what_the_environment_did(make_cell):
    """Observations, rewards and ends of every stored step, replayed in a second environment; no global
    states."""
    from dima.experience.random import stream_seed

    learner, _ = trained(make_cell(), 2)
    twin = envs.make("push-mass", seed=stream_seed(1, "environment"))
    observation, _ = twin.reset()
    data = learner.replay._data
    assert data["state"].shape == data["next_state"].shape == (1000, 0)
    for row in range(100):
        np.testing.assert_array_equal(data["observation"][row], observation[0])
        result = twin.step(data["action"][row][None].numpy())
        assert data["reward"][row] == result.reward[0]
        assert bool(data["truncated"][row]) == (row % 50 == 49)
        observation = result.obs


def test_it_acts_on_reconstructions_with_what_it_has_learned(make_cell):
    learner = MarieLearner(make_cell(), CPU)
    observations = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))
    means = []
    for _ in range(2):
        learner.run_epoch()
        tokenizer, actor = learner.tokenizer, learner.actor_critic.actor
        with torch.no_grad():
            expected = actor(tokenizer.decode(tokenizer.encode(observations))).mean.numpy()
            assert not np.allclose(actor(observations).mean.numpy(), expected, atol=1e-5)
        sent = pickle.loads(pickle.dumps(learner.frozen_policy()))  # noqa: S301 - as to the process that evaluates
        for policy in (learner.frozen_policy(), sent):
            np.testing.assert_allclose(policy(observations.numpy()), expected, rtol=1e-6)
        means.append(expected)
    assert not np.allclose(*means, atol=1e-6)


def test_a_frozen_policy_stays_as_it_is(make_cell):
    learner, _ = trained(make_cell(), 1)
    observations = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    frozen = learner.frozen_policy()
    before = frozen(observations)
    learner.run_epoch()
    np.testing.assert_array_equal(frozen(observations), before)
    assert not np.array_equal(learner.frozen_policy()(observations), before)


def test_the_models_imagine_in_evaluation_mode(make_cell, monkeypatch):
    from dima.baselines.marie import learner as module

    learner, _ = trained(make_cell(), 1)
    modes, imagine = [], module.imagine
    parts = (learner.tokenizer, learner.world_model)
    monkeypatch.setattr(
        module, "imagine", lambda *given: modes.append([part.training for part in parts]) or imagine(*given)
    )
    loss = learner.world_model.loss
    monkeypatch.setattr(
        learner.world_model,
        "loss",
        lambda *given: modes.append([part.training for part in parts]) or loss(*given),
    )
    codebook = learner.tokenizer.codebook.clone()
    learner._update_world_model()
    learner._update_policy()
    assert modes == [[False, True], [False, False]]
    assert torch.equal(learner.tokenizer.codebook, codebook)


def test_no_update_makes_the_host_wait(make_cell, monkeypatch):
    """On a CPU alone `one_hot`, which the codebook calls, looks at the numbers that it is given: here it is
    what a GPU does."""
    monkeypatch.setattr(
        torch.nn.functional, "one_hot", lambda codes, count: (codes[..., None] == torch.arange(count)).long()
    )
    learner, _ = trained(make_cell(), 1)
    before = learner.tokenizer.codebook.clone()
    with HostQuestions() as questions:
        learner._update_tokenizer()
        learner._update_world_model()
        learner._update_policy()
    assert questions.names == []
    assert not torch.equal(learner.tokenizer.codebook, before)


def test_a_number_that_is_not_finite_stops_the_learner(make_cell):
    learner, _ = trained(make_cell(), 1)
    with torch.no_grad():
        learner.world_model.token_head[-1].bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="world_model is not finite in epoch 2 at 100 environment steps"):
        learner.run_epoch()


@pytest.mark.parametrize("part", ["actor", "critic"])
def test_a_weight_spoilt_by_the_epochs_last_update_stops_the_learner(make_cell, monkeypatch, part):
    learner, _ = trained(make_cell(behavior={"policy_updates_per_epoch": 1}), 1)
    update = learner._update_policy

    def spoiling():
        report = update()
        with torch.no_grad():
            next(getattr(learner.actor_critic, part).parameters()).view(-1)[0] = float("inf")
        return report

    monkeypatch.setattr(learner, "_update_policy", spoiling)
    with pytest.raises(DivergedError, match="a weight is not finite in epoch 2"):
        learner.run_epoch()
