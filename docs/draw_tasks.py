"""Draw `tasks.png`, the README's picture of the tasks in the hands of their scripted controllers.

`python docs/draw_tasks.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

import envs
from envs.scripted import scripted_controller

MOMENTS = {  # steps into an episode
    "push-mass": 6,
    "ant-2x4": 40,
    "halfcheetah-2x3": 63,
    "walker2d-2x3": 40,
    "bottle-cap": 100,
    "door-open-inward": 90,
    "door-open-outward": 60,
    "pen": 75,
}
COLUMNS = 4


def moment(task: str, steps: int) -> UInt8[np.ndarray, "240 320 3"]:
    """A task after some steps of its scripted controller."""
    environment = envs.make(task)
    act = scripted_controller(environment.spec)
    _, state = environment.reset()
    for step in range(steps):
        state = environment.step(act(state, np.array([step]))).state
    picture = environment.render()
    environment.close()
    return picture


if __name__ == "__main__":
    pictures = [moment(task, steps) for task, steps in MOMENTS.items()]
    rows = [np.hstack(pictures[start : start + COLUMNS]) for start in range(0, len(pictures), COLUMNS)]
    Image.fromarray(np.vstack(rows)).save(Path(__file__).with_name("tasks.png"), optimize=True)
