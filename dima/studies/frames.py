"""Real states above imagined ones (E4), imagined with every order of the agents (E5), as one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

import envs
from dima.analysis.replace_file import replace_file
from dima.studies.episodes import Study
from dima.studies.open_loop import NO_ORDER, open_loop, samplers_of

SHOWN = (1, 5, 10, 15, 20)
SIDE = 240


def save_frames(path: Path, study: Study) -> Path:
    """Write a PNG: a row of the real states at some steps, and one row below it for every order, from the same start and actions."""
    world_model, environment = study.world_model, study.environment
    one = replace(study, count=1)
    segments = one.segments(study.episodes, max(SHOWN))
    rows = {"real": segments.state[0].cpu().numpy()}
    for name, sampler in samplers_of(world_model).items():
        rows["imagined" if name == NO_ORDER else f"imagined, {name}"] = (
            world_model.unscale(open_loop(world_model, sampler, segments, study.seed)[0]).cpu().numpy()
        )
    pictures = {name: _drawn(environment, states) for name, states in rows.items()}
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(1.6 * len(SHOWN) + 1.0, 1.6 * len(rows) + 0.6), layout="constrained")
        axes = figure.subplots(len(rows), len(SHOWN), squeeze=False)
        for row, (name, drawn) in zip(axes, pictures.items(), strict=True):
            for axis, step, picture in zip(row, SHOWN, drawn, strict=True):
                axis.imshow(picture)
                axis.set_xticks([])
                axis.set_yticks([])
                axis.set_title(f"step {step}" if name == "real" else "")
            row[0].set_ylabel(name)
        figure.suptitle(f"{environment.spec.task}: real and imagined states, the same start and actions")
        return replace_file(path, lambda aside: figure.savefig(aside, format="png", dpi=110, metadata={"Software": None}))


def _drawn(environment: envs.BatchedEnvironment, states: Float[np.ndarray, "time state"]) -> list[UInt8[np.ndarray, "height width 3"]]:
    drawn = environment.render_states(states.astype(np.float32), SIDE, SIDE)
    return [drawn[step - 1] for step in SHOWN]
