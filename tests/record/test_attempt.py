"""When a run of a larger budget continues an attempt."""

from __future__ import annotations

from typing import Any

from dima.config import CellConfig
from dima.config.grid import CellKey, Grid
from dima.record.attempt import why_not_longer


def history_of(config: CellConfig, **changes: Any) -> dict[str, Any]:
    begun = {
        "attempt": 1,
        "starts": [],
        "finished": False,
        "digest": config.digest(),
        "budget": config.task.env_steps,
    }
    return {**begun, **changes}


def with_task(config: CellConfig, **changes: Any) -> CellConfig:
    return config.model_copy(update={"task": config.task.model_copy(update=changes)})


def test_a_raised_budget_alone_makes_an_attempt_longer(tiny: Grid, tiny_cell: CellConfig) -> None:
    history = history_of(tiny_cell)  # 400 steps, an evaluation every 200
    assert why_not_longer(history, with_task(tiny_cell, env_steps=1000)) is None
    assert why_not_longer(history, with_task(tiny_cell, env_steps=401)) is None
    for env_steps in (400, 399):
        assert why_not_longer(history, with_task(tiny_cell, env_steps=env_steps)) == "budget was not raised"
    other_seed = with_task(tiny_cell, env_steps=1000).model_copy(update={"seed": 9})
    assert why_not_longer(history, other_seed) == "configuration was changed"
    assert (
        why_not_longer({**history, "budget": None}, with_task(tiny_cell, env_steps=1000))
        == "configuration was changed"
    )
    shown = with_task(tiny_cell, env_steps=1000, label="Another name")
    assert why_not_longer(history, shown) is None


def test_what_depends_on_the_budget_is_not_made_longer(tiny: Grid, tiny_cell: CellConfig) -> None:
    mappo = tiny.resolve(CellKey("push-mass", "mappo", 1))
    for decays, why in ((False, None), (True, "learning rates decay over the budget")):
        parameters = mappo.parameters.model_copy(update={"linear_learning_rate_decay": decays})
        config = mappo.model_copy(update={"parameters": parameters})
        assert why_not_longer(history_of(config), with_task(config, env_steps=1000)) == why
    checkout = mappo.model_copy(update={"engine": "checkout"})
    assert (
        why_not_longer(history_of(checkout), with_task(checkout, env_steps=1000))
        == "program, that of a checkout, begins again"
    )
    odd = with_task(tiny_cell, env_steps=350)
    why = why_not_longer(history_of(odd), with_task(odd, env_steps=1000))
    assert why == "last evaluation, at 350 steps, is not one that a longer run makes"
