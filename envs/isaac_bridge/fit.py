"""Fit constants of the MuJoCo port to a probe of Isaac Gym.

`python -m envs.isaac_bridge.fit probe.json` writes the next version.

The fit is of the port's own discrete dynamics. With step h, acceleration a and damping rate c, free bases
follow v <- (v + h a) / (1 + h c); door leaves of inertia I with stiffness k and damping d follow
w <- (I w - h k q) / (I + h d), q <- q + h w. Damping after the forces, v <- (v + h a)(1 - h c), is the same
motion with the rate c / (1 - h c): either is reproduced, and the rate shows which one the engine has.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float
from scipy.optimize import least_squares

from envs.bidexhands.presets import DEFAULT, FOLDER
from envs.interface import EnvironmentsError
from envs.isaac_bridge.probe_file import Door, ProbeError, ProbeFile, read_probe

BASE = int(DEFAULT.removeprefix("v"))  # the version that a new one changes
ASSET_DAMPING = 100.0  # 1/s, linear and angular, of the original's hands
WORST_RESIDUAL = 0.1
NO_SPRING_RESIDUAL = 0.01
CLOSED, OPEN = 0.03, 1.5  # rad; beyond them a leaf may touch the end of its range
STILL = 1e-3  # rad; a released leaf that moves less was held
NOTHING = 1e-4  # stiffness or damping below which a constant is written as 0
DOORS = ("door-open-outward", "door-open-inward")


@dataclass(frozen=True)
class Fit:
    """A constant, and the unexplained part of the measurement (ratio of root mean squares)."""

    value: float
    residual: float


def fit_damping(
    accelerations: Float[np.ndarray, " pushes"],
    speeds: Float[np.ndarray, "pushes steps"],
    h: float,
    substeps: int,
) -> Fit:
    """The damping rate (1/s) for speeds after each control step under constant accelerations from rest.

    Raises ProbeError: no rate comes near them.
    """

    def missing(log_rate: Float[np.ndarray, " 1"]) -> Float[np.ndarray, " samples"]:
        return (
            step_response(accelerations, float(np.exp(log_rate[0])), h, substeps, speeds.shape[1]) - speeds
        ).ravel()

    with np.errstate(all="ignore"):
        start = np.log(np.median(accelerations / speeds[:, -1]))
    if not np.isfinite(start):
        raise ProbeError(
            "the hand does not move the way it is pushed, so the probe's file says nothing of its damping"
        )
    found = least_squares(missing, [start], x_scale=0.1, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return _checked(float(np.exp(found.x[0])), found.fun, speeds, "damping of the base")


def step_response(
    accelerations: Float[np.ndarray, " pushes"], rate: float, h: float, substeps: int, steps: int
) -> Float[np.ndarray, "pushes steps"]:
    """v_n = a/c (1 - (1 + h c)^-(n s)) after n = 1, 2, ... control steps of s substeps."""
    decay = (1 + h * rate) ** (-substeps * np.arange(1, steps + 1))
    return (accelerations / rate)[:, None] * (1 - decay)


def fit_door(door: Door, h: float, substeps: int) -> tuple[Fit, Fit]:
    """Stiffness (N m/rad) and damping (N m s/rad) of the leaves' joints, both 0 if they moved freely.

    Raises ProbeError: no pair comes near the measurement.
    """
    angles, speeds = np.array(door.angle), np.array(door.speed)
    inertias = np.array([leaf.inertia_about(np.array(leaf.position))[2, 2] for leaf in door.leaves])
    if angles.shape != speeds.shape or inertias.min() <= 0:
        raise ProbeError(
            "the probe's file has a door whose angles, speeds and inertias do not belong together"
        )
    ended = np.flatnonzero(((angles < CLOSED) | (angles > OPEN)).any(axis=1))
    angles, speeds = (values[: ended[0]] if ended.size else values for values in (angles, speeds))
    if len(angles) < 4:
        raise ProbeError(
            "the probe's file has a door that is hardly ever free, so it says nothing of its spring"
        )
    if np.ptp(angles, axis=0).min() < STILL:
        raise ProbeError(
            "the probe's file has a door that does not move though it was let go moving, "
            "so it says nothing of its spring"
        )

    def missing(constants: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " samples"]:
        return (swing(angles[0], speeds[0], inertias, constants, h, substeps, len(angles)) - angles).ravel()

    free = missing(np.zeros(2))
    if np.linalg.norm(free) <= NO_SPRING_RESIDUAL * np.linalg.norm(angles):
        nothing = _checked(0.0, free, angles, "spring of the door")
        return nothing, nothing
    found = least_squares(
        missing, [5.0, 1.0], bounds=(0, np.inf), x_scale=[5.0, 1.0], xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    stiffness, damping = (
        _checked(float(value), found.fun, angles, "spring of the door") for value in found.x
    )
    return stiffness, damping


def swing(
    angles: Float[np.ndarray, " 2"],
    speeds: Float[np.ndarray, " 2"],
    inertias: Float[np.ndarray, " 2"],
    constants: Float[np.ndarray, " 2"],
    h: float,
    substeps: int,
    rows: int,
) -> Float[np.ndarray, "rows 2"]:
    """Angles of both leaves from the release on, one row a control step, with (stiffness, damping)."""
    stiffness, damping = constants
    result = [angles]
    for _ in range(rows - 1):
        for _ in range(substeps):
            speeds = (inertias * speeds - h * stiffness * angles) / (inertias + h * damping)
            angles = angles + h * speeds
        result.append(angles)
    return np.array(result)


def fit_probe(probe: ProbeFile) -> dict[str, Fit]:
    """The four constants by name, as the port's file calls them. Raises ProbeError."""
    h = probe.dt / probe.substeps
    mass = sum(body.mass for body in probe.hand)
    if mass <= 0:
        raise ProbeError("the probe's file has a hand without mass")
    centre = sum((body.mass * body.centre_in_world() for body in probe.hand), np.zeros(3)) / mass
    inertia = sum((body.inertia_about(centre) for body in probe.hand), np.zeros((3, 3)))
    if np.linalg.eigvalsh(inertia).min() <= 0:
        raise ProbeError("the probe's file has a hand whose inertia is not positive")
    forces, torques = (np.array([push.applied for push in pushes]) for pushes in (probe.force, probe.torque))
    moved = _along(forces, [push.velocity for push in probe.force])
    turned = _along(torques, [push.angular_velocity for push in probe.torque])
    pulls = np.linalg.norm(torques, axis=1)
    linear = fit_damping(np.linalg.norm(forces, axis=1) / mass, moved, h, probe.substeps)
    angular = fit_damping(
        np.einsum("pi,ij,pj->p", torques, np.linalg.inv(inertia), torques) / pulls, turned, h, probe.substeps
    )
    spring, damping = fit_door(probe.door, h, probe.substeps)
    return {
        "linear_damping_rate": linear,
        "angular_damping_rate": angular,
        "object_spring": spring,
        "object_damping": damping,
    }


def kind_of_damping(rate: float, h: float) -> str:
    """How an engine gets this rate from the original's 100 1/s."""
    taken_off_after = rate / (1 + h * rate)
    implicit = abs(np.log(rate / ASSET_DAMPING)) <= abs(np.log(taken_off_after / ASSET_DAMPING))
    if implicit:
        return f"as a force, implicitly, at {rate:.4g} 1/s ({ASSET_DAMPING:g} in the original)"
    after = f"c = {taken_off_after:.4g} 1/s ({ASSET_DAMPING:g} in the original)"
    return f"taken off after the forces, v (1 - c h), at {after}"


def write_version(probe_path: Path, folder: Path) -> Path:
    """Fit the probe's file and write `vN.yaml`, the default version with the fitted constants; N is next.

    Raises:
        ProbeError: the probe's file cannot be used, or the folder lacks the default version.
    """
    probe = read_probe(probe_path)
    fits = fit_probe(probe)
    if not (folder / f"{DEFAULT}.yaml").is_file():
        raise ProbeError(f"there is no {DEFAULT}.yaml in {folder}, which the new version is to be based on")
    version = 1 + max(int(file.stem[1:]) for file in folder.glob("v*.yaml") if file.stem[1:].isdecimal())
    digest = hashlib.sha256(probe_path.read_bytes()).hexdigest()
    path = folder / f"v{version}.yaml"
    with path.open("x", encoding="utf-8") as file:
        file.write(
            provenance(version, digest, probe, fits)
            + changes(version, {name: fit.value for name, fit in fits.items()})
        )
    return path


def provenance(version: int, digest: str, probe: ProbeFile, fits: dict[str, Fit]) -> str:
    """The comment on top of a fitted version."""
    h, versions = probe.dt / probe.substeps, probe.versions
    engine = ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
    lines = [
        f"Version {version}: version {BASE} with four constants fitted to a probe of Isaac Gym.",
        f"Probe: SHA-256 {digest}",
        f"of {probe.task}, seed {probe.seed}, dt {probe.dt:.9g}, {probe.substeps} substeps; {engine}",
    ]
    for name, fit in fits.items():
        kind = f"; damped {kind_of_damping(fit.value, h)}" if name.endswith("rate") else ""
        lines.append(f"{name} {fit.value:.6g}: {100 * fit.residual:.3g} % of the motion unexplained{kind}")
    return "".join(f"# {line}\n" for line in lines)


def changes(version: int, values: dict[str, float]) -> str:
    """The content of a version that differs from the default one in these values."""
    hand = {name: _tidy(value) for name, value in values.items() if name.endswith("rate")}
    door = {name: _tidy(value) for name, value in values.items() if name not in hand}
    sections = {"hand": hand} | {name: dict(door) for name in DOORS}
    return yaml.safe_dump({"version": version, "based_on": BASE} | sections, sort_keys=False)


def _tidy(value: float) -> float:
    return 0.0 if value < NOTHING else float(f"{value:.6g}")


def _along(
    directions: Float[np.ndarray, "pushes 3"], velocities: list[list[tuple[float, float, float]]]
) -> Float[np.ndarray, "pushes steps"]:
    """The components of the velocities in the directions of the pushes."""
    sizes = np.linalg.norm(directions, axis=1, keepdims=True)
    if len({len(rows) for rows in velocities}) != 1 or not sizes.all():
        raise ProbeError("the probe's file has pushes of different lengths, or one without force")
    return np.einsum("pi,psi->ps", directions / sizes, np.array(velocities))


def _checked(
    value: float,
    missing: Float[np.ndarray, " samples"],
    measured: Float[np.ndarray, "rows columns"],
    what: str,
) -> Fit:
    residual = float(np.linalg.norm(missing) / np.linalg.norm(measured))
    if not residual <= WORST_RESIDUAL:
        left = f"the best leaves {100 * residual:.0f} % of the motion unexplained"
        raise ProbeError(f"no {what} explains the probe's file: {left}")
    return Fit(value, residual)


def main() -> None:
    """Fit, write and print the constants."""
    parser = argparse.ArgumentParser(description="Fit the MuJoCo port's constants to a probe.")
    parser.add_argument("probe", type=Path, help="JSON file that probe.py wrote")
    parser.add_argument(
        "--constants",
        type=Path,
        default=FOLDER,
        help=f"folder with {DEFAULT}.yaml, to which the new version is added",
    )
    arguments = parser.parse_args()
    try:
        path = write_version(arguments.probe, arguments.constants)
    except EnvironmentsError as error:
        sys.exit(str(error))
    comments = [line for line in path.read_text(encoding="utf-8").splitlines()[:7] if line.startswith("# ")]
    print("\n".join([f"wrote {path}", *comments]))


if __name__ == "__main__":
    main()
