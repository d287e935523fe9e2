"""Optuna chooses batch limits and routing weights; BLIS says how good they are.

`BLIS_TRIALS` is how many it tries.
"""

import os

import blis
import optuna

TRIALS = int(os.environ.get("BLIS_TRIALS", "60"))
TRAFFIC = {"model": "qwen/qwen3-14b", "rate": 40, "num_requests": 300, "num_instances": 4}


def objective(trial: optuna.Trial) -> float:
    result = blis.run(
        TRAFFIC,
        max_num_seqs=trial.suggest_int("max_num_seqs", 8, 512, log=True),
        max_num_batched_tokens=trial.suggest_int("max_num_batched_tokens", 512, 16384, log=True),
        routing_policy="weighted",
        routing_scorers={
            # A list of scorers is a text, name:weight,…
            "queue": "queue-depth:1",
            "memory": "kv-utilization:1",
            "both": "queue-depth:1,kv-utilization:1",
        }[trial.suggest_categorical("scorers", ["queue", "memory", "both"])],
    )
    return result.figures["e2e_p99_ms"] or float("inf")


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    study.optimize(objective, n_trials=TRIALS)
    print(f"{study.best_value:.0f} ms with {study.best_params}")


if __name__ == "__main__":
    main()
