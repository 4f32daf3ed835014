"""A picture of push-mass: walls, goal (ring), mass (disc), and each agent's push (arrow)."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

PAPER, GRID, WALL, GOAL, MASS = "#ffffff", "#e8e8e8", "#555555", "#009e73", "#333333"
# the Okabe-Ito palette for colour-blind eyes; colours repeat for more agents
AGENTS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
HALF_SIDE = 1.75  # of the picture around the origin
WALLS = 1.5
RADIUS = 0.11
FORCE_LENGTH = 0.6  # of the arrow of a force of 1 from the rim of the mass; at most twice that
SUPERSAMPLING = 4


def draw_scene(
    state: Float[np.ndarray, " 6"],
    pushes: Float[np.ndarray, " agents"],
    directions: Float[np.ndarray, "agents 2"],
    height: int,
    width: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a state and the pushes that led to it along the agents' directions; x right, y up; RGB."""
    canvas = _Canvas(height, width)
    for line in np.arange(-1.0, 1.01, 0.5):
        canvas.line((-WALLS, line), (WALLS, line), 0.01, GRID)
        canvas.line((line, -WALLS), (line, WALLS), 0.01, GRID)
    canvas.walls()
    position, goal = state[0:2].astype(np.float64), state[4:6].astype(np.float64)
    canvas.disc(goal, RADIUS * 1.4, GOAL)
    canvas.disc(goal, RADIUS * 1.1, PAPER)
    canvas.disc(position, RADIUS, MASS)
    for direction, push, colour in zip(directions, pushes, cycle(AGENTS), strict=False):
        canvas.arrow(position, direction, float(np.clip(push, -2, 2)), colour)
    return canvas.picture()


class _Canvas:
    """Shapes in the task's units, drawn larger and scaled down for smooth edges."""

    def __init__(self, height: int, width: int) -> None:
        self._size = (width, height)
        self._image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), PAPER)
        self._pen = ImageDraw.Draw(self._image)
        self._scale = min(self._image.size) / (2 * HALF_SIDE)

    def line(
        self, start: tuple[float, float], end: tuple[float, float], thickness: float, colour: str
    ) -> None:
        self._pen.line(
            [self._pixel(start), self._pixel(end)], fill=colour, width=max(1, round(thickness * self._scale))
        )

    def walls(self) -> None:
        corners = [self._pixel((-WALLS, WALLS)), self._pixel((WALLS, -WALLS))]
        self._pen.rectangle(corners, outline=WALL, width=max(1, round(0.03 * self._scale)))

    def disc(self, centre: Float[np.ndarray, " 2"], radius: float, colour: str) -> None:
        self._pen.ellipse(
            [self._pixel(centre + [-radius, radius]), self._pixel(centre + [radius, -radius])], fill=colour
        )

    def arrow(
        self, centre: Float[np.ndarray, " 2"], direction: Float[np.ndarray, " 2"], force: float, colour: str
    ) -> None:
        """From the rim of the mass, as long as the force is large."""
        if abs(force) < 0.01:
            return
        along, across = np.sign(force) * direction, direction[::-1] * [1, -1]
        rim, tip = centre + RADIUS * along, centre + (RADIUS + FORCE_LENGTH * abs(force)) * along
        head = min(0.12, FORCE_LENGTH * abs(force))
        neck = tip - head * along
        self.line(tuple(rim), tuple(neck), 0.05, colour)
        self._pen.polygon(
            [self._pixel(point) for point in (tip, neck + 0.6 * head * across, neck - 0.6 * head * across)],
            fill=colour,
        )

    def picture(self) -> UInt8[np.ndarray, "height width 3"]:
        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX))

    def _pixel(self, point: tuple[float, float] | Float[np.ndarray, " 2"]) -> tuple[float, float]:
        width, height = self._image.size
        return width / 2 + float(point[0]) * self._scale, height / 2 - float(point[1]) * self._scale
