"""Stands in for MARIE's `train.py`: trains nothing, writes its evaluations as MARIE does, into its own
folder.

STAND_IN asks for a fault.
"""

import argparse
import os
import pathlib
import pickle
import time

import configs.EnvConfigs
import numpy as np

EPISODE = 1000


class Hostile:
    def __reduce__(self):
        return os.system, (f"touch {os.environ['STAND_IN_PROOF']}",)


def main():
    parser = argparse.ArgumentParser()
    for name in ("--n_workers", "--seed", "--steps"):
        parser.add_argument(name, type=int, required=True)
    for name in (
        "--env",
        "--env_name",
        "--agent_conf",
        "--mode",
        "--tokenizer",
        "--decay",
        "--temperature",
        "--sample_temp",
    ):
        parser.add_argument(name, required=True)
    parser.add_argument("--ce_for_r", action="store_true")
    options = parser.parse_args()
    assert pathlib.Path(configs.EnvConfigs.__file__).parents[1] == pathlib.Path.cwd()
    print(f"told {vars(options)}")
    seed, fault = 23 + 100 * options.seed, os.environ.get("STAND_IN")
    place = pathlib.Path("0102_results", options.env, f"{options.env_name}-{options.agent_conf}-vq")
    (place / "run1" / "ckpt").mkdir(parents=True)
    found = {"steps": [], "eval_win_rates": [], "eval_returns": []}
    for steps in range(EPISODE, options.steps + EPISODE, EPISODE):
        value = np.float64(steps / 8 + seed)
        found["steps"].append(steps)
        found["eval_win_rates"].append(value / EPISODE)
        found["eval_returns"].append(value)
        with (place / f"marie_{options.env_name}_seed{seed}.pkl").open("wb") as file:
            pickle.dump({**found, "eval_returns": [Hostile()]} if fault == "hostile" else found, file)
        print(
            f"Steps: {steps}, Eval rew per step: {value / EPISODE}, Eval_returns: {value}, Mean episode "
            f"length {EPISODE}",
            flush=True,
        )
        time.sleep(float(os.environ.get("STAND_IN_PAUSE", 0)))
    (place / "run1" / "ckpt" / "model_final.pth").write_text("weights")


if __name__ == "__main__":
    main()
