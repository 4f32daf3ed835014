"""Algorithm 1 as a whole: repeatable, resumable, and untouched by being looked at."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pytest
import torch
from evaluation import evaluate

from benchmarks.counts import HostQuestions
from dima.behavior.imagination import imagine
from dima.behavior.networks import SampledPolicy
from dima.cell.checkpoint import load_checkpoint, save_checkpoint
from dima.config.grid import CellKey, merge, validate
from dima.errors import DivergedError, UserError
from dima.learning.dima_learner import BEHAVIOR_STREAMS, MODEL_STREAMS, DimaLearner

CPU = torch.device("cpu")


def changed(cell, **parameters):
    return validate(type(cell), merge(cell.model_dump(mode="json"), {"parameters": parameters}), "test")


def trained(cell, epochs, look=lambda learner: None):
    learner = DimaLearner(cell, CPU)
    scalars = []
    for _ in range(epochs):
        scalars.append(learner.run_epoch())
        look(learner)
    return learner, scalars


VARIANTS = {
    "release": {},
    "paper text": {
        "denoiser": {"sigma_offset_noise": 0.0, "autoregressive_steps": 1},
        "behavior": {"critic_input": "state", "critic_loss": "mse"},
        "state_decoder": {"loss": "l2"},
        "schedule": {"epoch_trigger": "fixed_steps", "min_new_steps": 70},
        "replay": {"window_sampling": "uniform"},
    },
    "other options": {
        "denoiser": {"conditioning": "joint"},
        "sampler": {"order": "random", "initial_noise": "unscaled"},
        "state_decoder": {"quantizer": "vq"},
        "reward_model": {
            "termination": "categorical",
            "timeout_is_termination": False,
            "optimizer_steps_per_batch": 2,
        },
        "behavior": {"lambda_return": "release", "start_observation": "real", "policy_updates_per_epoch": 5},
        "schedule": {"warmup_policy": "random"},
        "replay": {"visit_temperature": None},
    },
}


@pytest.mark.slow
@pytest.mark.remembered
@pytest.mark.parametrize("variant", VARIANTS)
def test_same_seed_same_bits_and_another_seed_others(tiny, tiny_cell, variant, fingerprint):
    cells = [
        changed(cell, **VARIANTS[variant])
        for cell in (tiny_cell, tiny_cell, tiny.resolve(CellKey("push-mass", "dima", 2)))
    ]
    runs = [trained(cell, 3) for cell in cells]
    prints = [fingerprint(learner.state_dict()) for learner, _ in runs]
    assert prints[0] == prints[1] != prints[2]
    assert runs[0][1] == runs[1][1] != runs[2][1]
    assert set(runs[0][1][2]) == {"collect", "state_decoder", "denoiser", "reward_model", "behavior"}
    assert "behavior" not in runs[0][1][0]


def test_evaluating_changes_nothing(tiny_cell, fingerprint):
    """How often one evaluates never changes what one trains, and looking leaves no trace (weights, replay,
    streams)."""

    def look(learner):
        before = fingerprint(learner.state_dict())
        evaluate(learner.frozen_policy(), tiny_cell.task, 1, learner.env_steps)
        assert fingerprint(learner.state_dict()) == before

    assert fingerprint(trained(tiny_cell, 3, look)[0].state_dict()) == fingerprint(
        trained(tiny_cell, 3)[0].state_dict()
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_restored_learner_goes_on_bit_for_bit(tiny_cell, tmp_path, variant, fingerprint):
    cell = changed(tiny_cell, **VARIANTS[variant])
    learner, _ = trained(cell, 2)
    save_checkpoint(tmp_path, 1, learner.state_dict())
    expected = learner.run_epoch()
    restored = DimaLearner(cell, CPU)
    restored.load_state_dict(load_checkpoint(tmp_path)[0])
    assert restored.run_epoch() == expected
    assert fingerprint(restored.state_dict()) == fingerprint(learner.state_dict())


def in_any_order(seed):
    """In the place of `Updates`: the parts' updates in a random order."""
    random = np.random.default_rng(seed)

    def updates(work):
        reports = {name: [] for name in work}
        for name in random.permutation([name for name, (times, _) in work.items() for _ in range(times)]):
            reports[name].append(work[name][1]())
        return {name: torch.stack(reported) for name, reported in reports.items()}

    return updates


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_world_models_parts_may_take_turns_in_any_order(tiny_cell, variant, fingerprint):
    """As they do side by side on a GPU: the same bits of weights, moments, streams and reports."""
    found = []
    for seed in (None, 0, 1):
        learner = DimaLearner(changed(tiny_cell, **VARIANTS[variant]), CPU)
        if seed is not None:
            learner._model_updates = in_any_order(seed)
        found.append(([learner.run_epoch() for _ in range(2)], fingerprint(learner.state_dict())))
    assert found[0] == found[1] == found[2]


def test_a_checkpoint_from_before_parts_had_streams_of_their_own_continues(tiny_cell):
    learner, _ = trained(tiny_cell, 1)
    state = learner.state_dict()
    state["streams"] = state["streams"] | {
        "named": {name: state["streams"]["named"][name] for name in BEHAVIOR_STREAMS}
    }
    restored = DimaLearner(tiny_cell, CPU)
    restored.load_state_dict(state)
    for name in MODEL_STREAMS:
        assert torch.equal(
            restored._streams[name].get_state(), DimaLearner(tiny_cell, CPU)._streams[name].get_state()
        )
    restored.run_epoch()
    assert restored.env_steps == 200


def test_epochs_end_with_episodes_after_enough_new_steps(tiny_cell):
    """Episodes of 50 steps: 330 steps are there with the seventh; 120 new ones take three more, unless the
    budget ends it."""
    learner = DimaLearner(changed(tiny_cell, schedule={"min_new_steps": 120, "warmup_steps": 330}), CPU)
    steps = []
    for budget in (400, 400, 600):
        learner._collector._budget = budget
        learner.run_epoch()
        steps.append(learner.env_steps)
    assert steps == [350, 400, 550]


def test_fixed_steps_cut_episodes(tiny_cell):
    learner = DimaLearner(
        changed(
            tiny_cell, schedule={"epoch_trigger": "fixed_steps", "min_new_steps": 70, "warmup_steps": 30}
        ),
        CPU,
    )
    steps = []
    for _ in range(3):
        learner.run_epoch()
        steps.append(learner.env_steps)
    assert steps == [70, 140, 210]
    assert learner.replay._episodes == [(0, 50), (50, 50), (100, 50), (150, 50), (200, 10)]


def test_updates_are_counted_as_configured(tiny_cell):
    learner = DimaLearner(changed(tiny_cell, schedule={"first_epoch_update_factor": 5}), CPU)
    for expected in (15, 18):
        learner.run_epoch()
        assert learner._optimizers["denoiser"].updates == expected


def test_the_learning_rate_of_the_denoiser_warms_up(tiny_cell):
    learner = DimaLearner(
        changed(tiny_cell, denoiser={"learning_rate_warmup_updates": 4, "updates_per_epoch": 3}), CPU
    )
    rates = []
    for _ in range(2):
        learner.run_epoch()
        rates.append(
            float(learner._optimizers["denoiser"].state_dict()["optimizer"]["param_groups"][0]["lr"])
        )
    full = tiny_cell.parameters.denoiser.optimizer.learning_rate
    assert rates == pytest.approx([full / 2, full])


def test_the_replay_holds_what_the_environment_did(tiny_cell):
    from envs.push_mass import next_state

    learner, _ = trained(tiny_cell, 1)
    windows = learner.replay.sample_windows(50, 1, torch.Generator().manual_seed(0))
    state, action = windows.state[:, 0].numpy(), windows.action[:, 0].numpy()
    np.testing.assert_allclose(
        windows.next_state[:, 0].numpy(), next_state(state.astype(float), action.astype(float)), atol=1e-6
    )


def test_a_number_that_is_not_finite_stops_the_learner(tiny_cell):
    learner, _ = trained(tiny_cell, 1)
    with torch.no_grad():
        learner.world_model.denoiser.write.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="denoiser is not finite in epoch 2"):
        learner.run_epoch()


@pytest.mark.parametrize("part", ["world_model.reward_model", "actor_critic.actor", "actor_critic.critic"])
def test_a_weight_spoilt_by_the_epochs_last_update_stops_the_learner(tiny_cell, monkeypatch, part):
    learner, _ = trained(tiny_cell, 1)
    update, reports = learner._update_policy, []

    def spoiling():
        reports.append(update())
        if len(reports) == learner.parameters.behavior.policy_updates_per_epoch:
            with torch.no_grad():
                next(attrgetter(part)(learner).parameters()).view(-1)[0] = float("inf")
        return reports[-1]

    monkeypatch.setattr(learner, "_update_policy", spoiling)
    with pytest.raises(DivergedError, match="a weight is not finite in epoch 2"):
        learner.run_epoch()


def test_a_task_with_another_number_of_agents_is_refused(tiny_cell):
    cell = tiny_cell.model_copy(update={"task": tiny_cell.task.model_copy(update={"agents": 4})})
    with pytest.raises(UserError, match="Task push-mass has 2 agents, its configuration says 4"):
        DimaLearner(cell, torch.device("cpu"))


@pytest.mark.parametrize("variant", ["release", "paper text"])
@pytest.mark.parametrize(
    "update", ["_update_state_decoder", "_update_denoiser", "_update_reward_model", "_update_policy"]
)
def test_no_update_makes_the_host_wait(tiny_cell, variant, update):
    learner, _ = trained(changed(tiny_cell, **VARIANTS[variant]), 1)
    with HostQuestions() as questions:
        getattr(learner, update)()
    assert questions.names == []


@pytest.mark.slow
@pytest.mark.remembered
def test_the_papers_sizes_train(paper):
    """One update of every part at full size; fewer rollouts, which are only more of the same."""
    learner = DimaLearner(changed(paper, behavior={"rollouts": 2}), CPU)
    while not learner._collector.play(SampledPolicy(learner._acting_actor), 1):
        pass
    learner._store(learner._collector.take(), False)
    for update in (
        learner._update_state_decoder,
        learner._update_denoiser,
        learner._update_reward_model,
        learner._update_policy,
    ):
        assert update().isfinite().all()


def test_what_is_collected_is_what_happened(tiny_cell):
    """State, observation and reward of every stored step, replayed in a second environment with the same seed
    and actions."""
    import envs
    from dima.experience.random import stream_seed

    learner = DimaLearner(tiny_cell, CPU)
    for _ in range(120):
        ended = learner._collector.play(SampledPolicy(learner._acting_actor), 1)
        learner._store(learner._collector.take(), False) if ended else None
    twin = envs.make("push-mass", seed=stream_seed(1, "environment"))
    observation, state = twin.reset()
    data = learner.replay._data
    for row in range(100):
        np.testing.assert_array_equal(data["state"][row], state[0])
        np.testing.assert_array_equal(data["observation"][row], observation[0])
        result = twin.step(data["action"][row][None].numpy())
        assert data["reward"][row] == result.reward[0]
        assert bool(data["truncated"][row]) == bool(result.truncated[0]) == (row % 50 == 49)
        np.testing.assert_array_equal(data["next_state"][row], result.info["final_state"][0])
        observation, state = result.obs, result.state
    seen = data["state"][:100].double()
    torch.testing.assert_close(learner.world_model.normalizer.mean, seen.mean(0), atol=1e-5, rtol=1e-5)


def test_warm_up_actions_are_uniform_or_the_actors(tiny_cell):
    for policy, largest in (("random", 1.0), ("actor", 2.5)):
        learner, _ = trained(changed(tiny_cell, schedule={"warmup_policy": policy, "warmup_steps": 200}), 1)
        actions = learner.replay._data["action"][:200].flatten()
        assert actions.abs().max() <= largest
        assert actions.std().item() == pytest.approx(3**-0.5 if policy == "random" else 0.3655, rel=0.1)


def test_the_policy_learns_from_the_configured_epoch_on_and_acts_with_what_it_learned(tiny_cell):
    learner = DimaLearner(tiny_cell, CPU)
    acting = []
    for _ in range(2):
        learner.run_epoch()
        acting.append(learner._acting_actor.mean.weight.clone())
        assert torch.equal(acting[-1], learner.actor_critic.actor.mean.weight)
    assert not torch.equal(acting[0], acting[1])


def test_an_epoch_is_algorithm_1(tiny_cell, monkeypatch):
    """Collect, then all updates of the decoder, of the denoiser, of the reward model, and from the configured
    epoch on of the policy."""
    counts = {
        "state_decoder": {"updates_per_epoch": 2},
        "denoiser": {"updates_per_epoch": 3},
        "reward_model": {"updates_per_epoch": 4},
    }
    late = {"behavior": {"policy_updates_per_epoch": 5}, "schedule": {"first_policy_epoch": 3}}
    learner = DimaLearner(changed(tiny_cell, **counts, **late), CPU)
    done = []
    for name in (
        "_collect",
        "_update_state_decoder",
        "_update_denoiser",
        "_update_reward_model",
        "_update_policy",
    ):
        method = getattr(learner, name)
        monkeypatch.setattr(learner, name, lambda name=name, method=method: done.append(name) or method())
    epochs = []
    for _ in range(3):
        learner.run_epoch()
        epochs.append(list(done))
        done.clear()
    world_model = [
        "_collect",
        *["_update_state_decoder"] * 2,
        *["_update_denoiser"] * 3,
        *["_update_reward_model"] * 4,
    ]
    assert epochs == [world_model, world_model, world_model + ["_update_policy"] * 5]


def test_every_update_draws_its_own_batch(tiny_cell, monkeypatch):
    """Single states, windows of 3 + 3 states (5 transitions), segments of the horizon, and starts of 3 states
    for every rollout."""
    sizes = {
        "state_decoder": {"batch_size": 7},
        "denoiser": {"batch_size": 11},
        "reward_model": {"batch_size": 13},
    }
    learner, _ = trained(changed(tiny_cell, **sizes, behavior={"rollouts": 17, "horizon": 5}), 1)
    drawn = []
    for name in ("sample_steps", "sample_segments", "sample_windows"):
        method = getattr(learner.replay, name)
        monkeypatch.setattr(
            learner.replay, name, lambda *given, method=method: drawn.append(given[:-1]) or method(*given)
        )
    for update in (
        learner._update_state_decoder,
        learner._update_denoiser,
        learner._update_reward_model,
        learner._update_policy,
    ):
        update()
    assert drawn == [(7, "state_decoder"), (11, 5), (13, 5, "reward_model"), (17, 3)]


def test_rollouts_whose_ends_are_sampled_have_windows_to_begin_anew_with(tiny_cell, monkeypatch):
    """17 to start with, and 17 for each of the four steps behind which a rollout of five may end; the actor
    moves either way."""
    from dima.learning import dima_learner as train

    cell = changed(
        tiny_cell, behavior={"rollouts": 17, "horizon": 5}, reward_model={"termination": "categorical"}
    )
    learner, _ = trained(cell, 1)
    given = []
    monkeypatch.setattr(train, "imagine", lambda *arguments: given.append(arguments) or imagine(*arguments))
    before = learner.actor_critic.actor.mean.weight.clone()
    learner._update_policy()
    (_, _, starts, _, _, restarts) = given[0]
    assert (len(starts.state), len(restarts.state)) == (17, 68)
    assert not torch.equal(learner.actor_critic.actor.mean.weight, before)


def test_the_models_imagine_in_evaluation_mode(tiny_cell, monkeypatch):
    """Dropout is on in the reward model's own updates alone."""
    from dima.learning import dima_learner as train

    learner, _ = trained(tiny_cell, 1)
    modes = []
    monkeypatch.setattr(
        train,
        "imagine",
        lambda model, *rest: modes.append(model.reward_model.training) or imagine(model, *rest),
    )
    loss = learner.world_model.reward_model.loss
    monkeypatch.setattr(
        learner.world_model.reward_model,
        "loss",
        lambda *given: modes.append(learner.world_model.reward_model.training) or loss(*given),
    )
    learner._update_reward_model()
    assert learner.world_model.reward_model.training is False
    learner._update_policy()
    assert modes == [True, False]
    assert not any(module.training for module in learner.world_model.modules())


def test_one_world_is_stepped_and_its_actions_are_not_clipped(tiny_cell):
    learner = DimaLearner(tiny_cell, CPU)
    assert learner._collector.environment.num_envs == 1
    torch.nn.init.constant_(learner._acting_actor.mean.bias, 3.0)
    for _ in range(20):
        learner._collector.play(SampledPolicy(learner._acting_actor), 1)
    assert learner._collector.take().action.mean().item() == pytest.approx(3.0, abs=0.3)


def test_evaluation_takes_the_mean_of_the_policy(tiny_cell):
    learner, _ = trained(tiny_cell, 2)
    observations = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    expected = learner.actor_critic.actor(torch.from_numpy(observations)).mean.detach().numpy()
    policy = learner.frozen_policy()
    for _ in range(2):
        np.testing.assert_allclose(policy(observations), expected, rtol=1e-6)


def test_the_episodes_of_an_evaluation_differ(tiny_cell):
    """Ten worlds of their own seeds, other ones at another evaluation, the same ones at the same."""
    task = tiny_cell.task.model_copy(
        update={"evaluation": tiny_cell.task.evaluation.model_copy(update={"episodes": 10})}
    )

    def still(observations):
        return np.zeros((*observations.shape[:2], 1), dtype=np.float32)

    returns = [[episode.episode_return for episode in evaluate(still, task, 1, step)] for step in (0, 400, 0)]
    assert len(set(returns[0])) == 10
    assert not set(returns[0]) & set(returns[1])
    assert returns[0] == returns[2]


def test_the_policy_learns_from_no_stored_reward(tiny_cell):
    """Rewards, ends and observations of the memory spoilt, the update is the same; with other states it is
    another."""
    weights = []
    for spoilt in ((), ("reward", "terminated", "observation", "next_state"), ("state",)):
        learner, _ = trained(tiny_cell, 1)
        for name in spoilt:
            learner.replay._data[name][:] = 1
        learner._update_policy()
        weights.append(learner.actor_critic.actor.mean.weight.clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
