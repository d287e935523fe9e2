"""Sweeps, here and on a Ray cluster."""

import os
import subprocess

import blis
import pyarrow
import pytest

SETTINGS = {
    "model": "qwen/qwen3-14b",
    "rate": 20,
    "num_requests": 60,
    "objective": "output_tokens_per_s,ttft_p99_ms",
    "set": {"max-num-seqs": [4, 16, 64], "num-instances": [1, 2, 3]},
}
LEARNING = SETTINGS | {
    "method": "tpe", "objective": "ttft_p99_ms", "trials": 40, "set": {"max-num-seqs": "1..64", "num-instances": "1..8"},
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return blis.sweep(SETTINGS)


@pytest.fixture(scope="module")
def cluster():
    import ray

    # Tasks find this folder's modules as the tests do.
    path = os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    yield ray
    ray.shutdown()


def rows(found):
    return pyarrow.table(found.trials).to_pylist()


def test_a_sweep_is_that_of_the_command_line(found):
    program = os.environ.get("BLIS_PROGRAM")
    if not program:
        pytest.skip("BLIS_PROGRAM names no program to compare with")
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items() if name != "set"]
    sets = ["--set=max-num-seqs=4,16,64", "--set=num-instances=1,2,3"]
    told = subprocess.run([program, "sweep", *flags, *sets, "--format=json"], capture_output=True, text=True, check=True)
    assert found.json == told.stdout


def test_trials_are_rows_and_the_front_is_some_of_them(found):
    assert len(found) == 9
    frame = found.trials.to_pandas()
    assert frame["max_num_seqs"].tolist() == [4, 4, 4, 16, 16, 16, 64, 64, 64]
    assert found.best == found.front[0]
    best = max(frame["output_tokens_per_s"])
    assert found.best["output_tokens_per_s"] == best
    assert all(row in rows(found) for row in found.front)


def test_progress_is_told():
    told = []
    blis.sweep(SETTINGS, progress=lambda done, of: told.append((done, of)))
    assert told == [(n, 9) for n in range(1, 10)]


def test_an_exception_in_progress_ends_the_sweep():
    def progress(done, of):
        raise RuntimeError(f"enough after {done}")

    with pytest.raises(RuntimeError, match="enough after 1"):
        blis.sweep(SETTINGS, progress=progress)


def test_a_sweep_goes_on_where_it_was(found, tmp_path):
    told = []

    def progress(done, of):
        told.append(done)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blis.sweep(SETTINGS, progress=progress, results=tmp_path)
    told.clear()
    again = blis.sweep(SETTINGS, progress=lambda done, of: told.append(done), results=tmp_path)
    assert again.json == found.json
    assert 1 <= len(told) < 9


def test_parts_make_the_whole(found):
    parts = [blis.sweep(SETTINGS, shard=f"{k}/3") for k in (1, 2, 3)]
    together = sorted((row for part in parts for row in rows(part)), key=lambda row: row["trial"])
    assert together == rows(found)


@pytest.mark.parametrize("settings", [SETTINGS, LEARNING], ids=["grid", "tpe"])
def test_a_sweep_on_ray_is_the_same(cluster, settings):
    import blis.ray

    here, there = blis.sweep(settings), blis.ray.sweep(settings, trials_per_task=4)
    assert there.json == here.json
    assert rows(there) == rows(here)


def test_a_sweep_on_ray_keeps_results_and_goes_on(cluster, found, tmp_path):
    import blis.ray

    def progress(done, of):
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blis.ray.sweep(SETTINGS, results=tmp_path, trials_per_task=1, progress=progress)
    told = []
    again = blis.ray.sweep(SETTINGS, results=tmp_path, trials_per_task=1, progress=lambda done, of: told.append(done))
    assert again.json == found.json
    assert 1 <= len(told) < 9
    assert blis.sweep(SETTINGS, results=tmp_path).json == found.json


def test_policies_travel_to_ray(cluster):
    import blis.ray

    @blis.policy.routing("last")
    class Last:
        def route(self, request, instances):
            return len(instances) - 1

    settings = SETTINGS | {"routing_policy": "last"}
    assert blis.ray.sweep(settings, policies=[Last]).json == blis.sweep(settings, policies=[Last]).json
