"""MAMBA's loop as a whole: repeatable, resumable, and untouched by being looked at."""

from __future__ import annotations

import pickle
from operator import attrgetter

import numpy as np
import pytest
import torch
from evaluation import evaluate

from benchmarks.counts import HostQuestions
from dima.baselines.mamba import learner as module
from dima.baselines.mamba.learner import MambaLearner
from dima.cell.checkpoint import load_checkpoint, save_checkpoint
from dima.errors import DivergedError

CPU = torch.device("cpu")
CUT = {"schedule": {"epoch_trigger": "fixed_steps", "min_new_steps": 70}}


def trained(cell, epochs, look=lambda learner: None):
    learner = MambaLearner(cell, CPU)
    scalars = []
    for _ in range(epochs):
        scalars.append(learner.run_epoch())
        look(learner)
    return learner, scalars


def test_two_epochs_report_everything_and_move_every_weight(cell):
    learner, scalars = trained(cell, 0)
    before = {name: value.clone() for name, value in learner.model.named_parameters()}
    before |= {name: value.clone() for name, value in learner.actor_critic.actor.named_parameters()}
    before |= {name: value.clone() for name, value in learner.actor_critic.critic.named_parameters()}
    scalars = [learner.run_epoch() for _ in range(2)]
    assert learner.env_steps == 150
    assert scalars[1]["collect"]["episodes"] == 1
    assert set(scalars[1]["model"]) == {
        "reconstruction",
        "reward",
        "continuation",
        "divergence",
        "information",
    }
    after = dict(learner.model.named_parameters()) | dict(learner.actor_critic.actor.named_parameters())
    after |= dict(learner.actor_critic.critic.named_parameters())
    assert [name for name, value in after.items() if torch.equal(value, before[name])] == []


@pytest.mark.parametrize("change", [{}, CUT, {"compute": "fast"}], ids=["episodes", "cut episodes", "fast"])
def test_a_restored_learner_goes_on_bit_for_bit(cell, changed, tmp_path, change, fingerprint):
    """Dropout and what the agents remember of an episode in progress included."""
    cell = changed(cell, **change)
    learner, _ = trained(cell, 2)
    assert learner._collector.at_start is (change is not CUT)
    save_checkpoint(tmp_path, 1, learner.state_dict())
    expected = learner.run_epoch()
    restored = MambaLearner(cell, CPU)
    restored.load_state_dict(load_checkpoint(tmp_path)[0])
    assert restored.run_epoch() == expected
    assert fingerprint(restored.state_dict()) == fingerprint(learner.state_dict())


def test_evaluating_changes_nothing(cell, fingerprint):
    def look(learner):
        before = fingerprint(learner.state_dict())
        evaluate(learner.frozen_policy(), cell.task, 1, learner.env_steps)
        learner.frozen_policy()(np.zeros((3, 2, 5), dtype=np.float32))
        assert fingerprint(learner.state_dict()) == before

    looked_at, left_alone = trained(cell, 3, look)[0], trained(cell, 3)[0]
    assert fingerprint(looked_at.state_dict()) == fingerprint(left_alone.state_dict())


def test_a_frozen_policy_can_be_sent_to_another_process_and_does_not_learn(cell):
    learner, _ = trained(cell, 1)
    frozen, sent = learner.frozen_policy(), pickle.loads(pickle.dumps(learner.frozen_policy()))  # noqa: S301
    expected = evaluate(learner.frozen_policy(), cell.task, 1, 0)
    learner.run_epoch()
    assert evaluate(frozen, cell.task, 1, 0) == evaluate(sent, cell.task, 1, 0) == expected
    assert evaluate(learner.frozen_policy(), cell.task, 1, 0) != expected


def test_the_agents_forget_where_an_episode_ends(cell, monkeypatch):
    """150 steps: three episodes, each begun without a memory, the second and the third of an epoch's
    collection included."""
    learner = MambaLearner(cell, CPU)
    fresh = []
    sample = learner._acting.sample
    monkeypatch.setattr(
        learner._acting,
        "sample",
        lambda *given: fresh.append(learner._acting._memory is None) or sample(*given),
    )
    for _ in range(2):
        learner.run_epoch()
    assert np.flatnonzero(fresh).tolist() == [0, 50, 100]
    assert len(fresh) == 150


def test_an_epoch_cut_short_does_not_make_the_agents_forget(cell, changed, monkeypatch):
    learner = MambaLearner(changed(cell, **CUT), CPU)
    fresh = []
    sample = learner._acting.sample
    monkeypatch.setattr(
        learner._acting,
        "sample",
        lambda *given: fresh.append(learner._acting._memory is None) or sample(*given),
    )
    for _ in range(3):
        learner.run_epoch()
    assert np.flatnonzero(fresh).tolist() == [0, 50, 100, 150, 200]


def test_the_acting_copies_are_what_was_learned(cell):
    learner, _ = trained(cell, 1)
    for own, acting in (
        (learner.model, learner._acting_model),
        (learner.actor_critic.actor, learner._acting_actor),
    ):
        for name, value in own.state_dict().items():
            assert torch.equal(acting.state_dict()[name], value)
    assert not learner._acting_model.training


def test_no_update_makes_the_host_wait(cell):
    learner, _ = trained(cell, 1)
    with HostQuestions() as questions:
        learner._update_model()
        learner._update_policy()
    assert questions.names == []


@pytest.mark.parametrize("part", ["model", "actor_critic.actor", "actor_critic.critic"])
def test_a_weight_spoilt_by_the_last_update_stops_the_learner(cell, monkeypatch, part):
    learner, _ = trained(cell, 1)
    update, reports = learner._update_policy, []

    def spoiling():
        reports.append(update())
        if len(reports) == learner.parameters.behavior.policy_updates_per_epoch:
            with torch.no_grad():
                next(attrgetter(part)(learner).parameters()).view(-1)[0] = float("inf")
        return reports[-1]

    monkeypatch.setattr(learner, "_update_policy", spoiling)
    with pytest.raises(DivergedError, match="a weight is not finite in epoch 2 at 150"):
        learner.run_epoch()


def test_a_loss_that_is_not_finite_stops_the_learner(cell):
    learner, _ = trained(cell, 1)
    with torch.no_grad():
        learner.model.reward_head[-1].bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="model is not finite in epoch 2"):
        learner.run_epoch()


def test_imagination_starts_from_all_posterior_states_without_dropout(cell, monkeypatch):
    """6 sequences of 8 rows: 7 pairs of neighbours, of which the last only looks ahead."""
    learner, _ = trained(cell, 1)
    given = []
    imagine = module.imagine
    monkeypatch.setattr(
        module, "imagine", lambda model, *rest: given.append((model.training, rest)) or imagine(model, *rest)
    )
    learner._update_policy()
    [(training, (_, start, horizon, *_))] = given
    assert start.deterministic.shape == (6 * 6, 2, 16)
    assert (training, horizon) == (False, 5)


def test_counts_of_updates_and_the_falling_entropy_coefficient(cell):
    """Two epochs of 3 model updates and 2 policy updates, each of 2 passes over 6 * 6 * 4 = 144 rows in
    minibatches of 50."""
    learner, _ = trained(cell, 2)
    assert learner._model_optimizer.updates == 6
    actor_updates = 2 * 2 * 2 * 3
    assert learner.actor_critic.state_dict()["actor_optimizer"]["updates"] == actor_updates
    assert learner.actor_critic.entropy_coefficient == pytest.approx(
        0.001 * 0.99998**actor_updates, rel=1e-12
    )


def test_rewards_are_scaled_for_the_model_alone(cell, changed):
    learner, _ = trained(changed(cell, reward_scale=10.0), 1)
    stored = learner.replay._data["reward"][:100]
    assert stored.abs().max() < 5
    seen = learner._sequences().reward
    distances = (seen.flatten()[:, None] - 10 * stored[None]).abs().min(dim=1).values
    assert distances.max() < 1e-5
