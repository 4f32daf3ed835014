"""Stands in for HARL's `train.py`: reads all of its configuration, trains nothing, writes what HARL writes
where HARL writes it.

STAND_IN asks for a fault, STAND_IN_PAUSE for seconds before each row, STAND_IN_PIDS for a file of process
ids, one of them of a worker in a session of its own.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import harl

SECTIONS = {"seed", "device", "train", "eval", "render", "model", "algo", "logger"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--load_config", required=True)
    parser.add_argument("--exp_name", required=True)
    options = parser.parse_args()
    told = json.loads(pathlib.Path(options.load_config).read_text())
    main_args, algo_args, env_args = told["main_args"], told["algo_args"], told["env_args"]
    assert set(algo_args) == SECTIONS, set(algo_args)
    assert pathlib.Path(harl.__file__).parents[1] == pathlib.Path.cwd().parent, "another HARL was imported"
    assert sys.dont_write_bytecode
    assert [name for name in os.environ if name.startswith("DIMA_")] == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""  # these cells are run with --device cpu
    algorithm, fault = main_args["algo"], os.environ.get("STAND_IN")
    print("start running", flush=True)
    remember_processes()
    seed = algo_args["seed"]["seed"]
    task = f"{env_args['scenario']}-{env_args['agent_conf']}"
    place = pathlib.Path(algo_args["logger"]["log_dir"], main_args["env"], task, algorithm, options.exp_name)
    folder = place / f"seed-{seed:0>5}-{time.strftime('%Y-%m-%d-%H-%M-%S')}"
    (folder / "models").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(told))
    with (folder / "progress.txt").open("w") as progress:
        for number, steps in enumerate(evaluations(algorithm, algo_args["train"]), 1):
            time.sleep(float(os.environ.get("STAND_IN_PAUSE", 0)))
            if fault == "crash" and number == 3:
                sys.exit(
                    "\n".join(
                        [f"line {line}" for line in range(20)]
                        + ["mujoco_py.builder.MujocoException: Got MuJoCo Warning"]
                    )
                )
            if fault == "short" and number == 3:
                return
            value = (
                float("nan")
                if fault == "nan" and number == 3
                else steps / 8 - 100 * seed + float(os.environ.get("STAND_IN_SHIFT", 0))
            )
            row = [steps, value, 1000.0] if algorithm == "hasac" else [steps, value]
            progress.write("no row\n" if fault == "nonsense" else ",".join(map(str, row)) + "\n")
            progress.flush()
    if fault == "torn":
        with (folder / "progress.txt").open("r+") as progress:
            progress.truncate(progress.seek(0, 2) - 1)
    (folder / "models" / "actor_agent0.pt").write_text("weights")


def evaluations(algorithm, train):
    """The environment steps after which HARL evaluates."""
    threads, interval = train["n_rollout_threads"], train["eval_interval"]
    if algorithm == "hasac":
        rounds = train["num_env_steps"] // threads
        return [
            train["warmup_steps"] + number * threads
            for number in range(1, rounds + 1)
            if number % interval == 0
        ]
    rounds = train["num_env_steps"] // train["episode_length"] // threads
    return [
        number * threads * train["episode_length"]
        for number in range(1, rounds + 1)
        if number % interval == 0
    ]


def remember_processes():
    if "STAND_IN_PIDS" in os.environ:
        worker = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        pathlib.Path(os.environ["STAND_IN_PIDS"]).write_text(f"{os.getppid()} {os.getpid()} {worker.pid}")


if __name__ == "__main__":
    main()
