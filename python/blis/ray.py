"""Sweeps on the machines of a Ray cluster; needs `pip install blis[ray]`.

    import blis.ray

    found = blis.ray.sweep(model="qwen/qwen3-14b", rate=20, set={"tp": [1, 2, 4]})
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _blis
from ._api import Policies, Sweep
from ._settings import Config, merged, warn

_Jobs = list[tuple[int, list[int]]]


def _make(text: str, policies: Policies, jobs: _Jobs) -> list[_blis._Trial]:
    """Makes trials on whatever machine this is."""
    return _blis.SweepJob(text, policies).make(jobs)


def sweep(
    config: Config = None,
    *,
    policies: Policies = (),
    progress: Callable[[int, int], object] | None = None,
    trials_per_task: int = 8,
    task_options: dict[str, Any] | None = None,
    **flags: Any,
) -> Sweep:
    """The same as `blis.sweep`, with the same rows, made by tasks of Ray.

    Methods that learn choose the next batch here, from all trials before it. A task makes `trials_per_task` trials;
    `task_options` are those of Ray, such as `{"num_cpus": 2}`. Files that settings name must be on every machine.
    """
    import ray

    text = merged(config, flags)
    job = _blis.SweepJob(text, policies)
    warn(job.told)
    # Only this process writes results.
    worker_flags = {name: value for name, value in flags.items() if name.replace("_", "-") != "results"}
    worker_text = merged(config, worker_flags | {"results": None})
    make = ray.remote(**(task_options or {"num_cpus": 1}))(_make)
    known, told = job.open()
    warn(told)
    done: dict[int, _blis._Trial] = {trial[0]: trial for trial in known}
    first = 0
    pending: list[Any] = []
    try:
        while first < job.planned:
            first, points = job.points(first, [done[number] for number in sorted(done)])
            if not points:
                break
            # What is known may be of another definition of the point.
            missing = [(n, point) for n, point in points if n not in done or list(done[n][1]) != list(point)]
            size = max(1, trials_per_task)
            pending = [
                make.remote(worker_text, policies, missing[place : place + size]) for place in range(0, len(missing), size)
            ]
            while pending:
                ready, pending = ray.wait(pending)
                for trials in ray.get(ready):
                    job.keep(trials)
                    done.update((trial[0], trial) for trial in trials)
                    if progress is not None:
                        progress(len(done), job.planned)
    finally:
        for task in pending:
            ray.cancel(task, force=False)
        job.close()
    trials = [done[number] for number in sorted(done) if number < job.planned]
    job.report(trials)
    return Sweep(job, trials)
