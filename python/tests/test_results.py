"""What a run gives, and that it is what the command line gives."""

import json
import os
import subprocess

import blis
import duckdb
import numpy
import pandas
import polars
import pyarrow
import pytest

SETTINGS = {"model": "qwen/qwen3-14b", "rate": 20, "num_requests": 200, "seed": 7}


def program():
    """The program, from the same sources as the package."""
    path = os.environ.get("BLIS_PROGRAM")
    if not path:
        pytest.skip("BLIS_PROGRAM names no program to compare with")
    return path


def printed(command, settings):
    """What the program answers to the same settings."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    return subprocess.run([program(), command, *flags], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def result():
    return blis.run(SETTINGS)


def test_a_run_is_the_run_of_the_command_line(result):
    assert result.json == printed("run", SETTINGS | {"format": "json"}).stdout
    assert result.summary == json.loads(result.json)


def test_mappings_keywords_files_and_texts_are_the_same_settings(result, tmp_path):
    text = "model: qwen/qwen3-14b\nrate: 20\nnum-requests: 200\nseed: 1\n"
    file = tmp_path / "run.yaml"
    file.write_text(text)
    for config in (text, file, str(file)):
        assert blis.run(config, seed=7).json == result.json
    assert blis.run(**SETTINGS).json == result.json
    assert blis.run(SETTINGS | {"rate": numpy.float64(20)}).json == result.json


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("run", {"model": "qwen/qwen3-14", "num_instances": 0, "routing_policy": "robin"}),
        ("run", {"modell": "x"}),
        ("run", {"model": "qwen/qwen3-14b", "workload_spec": "missing.yaml"}),
        ("plan", {"model": "qwen/qwen3-14b", "rate": 5}),
        ("sweep", {"model": "qwen/qwen3-14b", "rate": -5}),
        ("replay", {"model": "qwen/qwen3-14b"}),
    ],
)
def test_errors_have_the_text_of_the_command_line(command, settings):
    with pytest.raises(blis.BlisError) as raised:
        getattr(blis, command)(settings)
    expected = printed(command, settings)
    assert expected.returncode == 1
    assert [f"error: {line}" for line in str(raised.value).splitlines()] == expected.stderr.splitlines()
    assert isinstance(raised.value, ValueError)


def test_problems_in_files_have_their_place():
    with pytest.raises(blis.BlisError) as raised:
        blis.run(SETTINGS, policy_config={"admission": {"policy": "reject-some"}})
    (problem,) = raised.value.problems
    assert (problem.file, problem.line) == ("policy_config", 2)
    assert str(problem) == str(raised.value)
    assert "reject-all" in problem.message


def test_files_may_be_mappings():
    result = blis.run(SETTINGS, policy_config={"admission": {"policy": "reject-all"}})
    assert result.summary["requests"]["rejected_by_admission"] == 200


def test_what_the_command_line_shows_is_refused_by_name():
    with pytest.raises(blis.BlisError, match="--format"):
        blis.run(SETTINGS, format="json")


def test_figures_and_settings_have_names(result):
    assert result.figures["ttft_p99_ms"] > 0
    assert result.figures["goodput_per_s"] is None
    assert result.settings["seed"] == "7"
    assert result.sources["seed"] == "given"
    assert result.sources["max-num-seqs"] == "default"


def test_numbers_are_shared_and_not_copied(result):
    requests = result.requests()
    table = pyarrow.table(requests)
    for name in ("ttft_ms", "e2e_ms", "arrival_us", "input_tokens"):
        column = numpy.asarray(requests[name])
        assert not column.flags.writeable and not column.flags.owndata
        address = column.__array_interface__["data"][0]
        assert table[name].chunk(0).buffers()[1].address == address, name
        assert pyarrow.array(requests[name]).buffers()[1].address == address, name
        again = numpy.asarray(requests[name])
        assert numpy.shares_memory(column, again)


def test_arrays_outlive_the_result():
    column = numpy.asarray(blis.run(SETTINGS).requests()["e2e_ms"])
    table = pyarrow.table(blis.run(SETTINGS).requests())
    assert numpy.array_equal(column, table["e2e_ms"].to_numpy())


def test_requests_are_a_table_for_everybody(result):
    requests = result.requests()
    assert len(requests) == 200
    frame = requests.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["ttft_ms"].mean() == pytest.approx(result.figures["ttft_mean_ms"])
    assert (frame["ending"] == "completed").all()
    assert polars.DataFrame(requests)["input_tokens"].to_list() == frame["input_tokens"].to_list()
    assert requests.to_polars().shape == frame.shape
    assert duckdb.sql("select count(*) from requests where e2e_ms > ttft_ms").fetchall() == [(200,)]
    table = pyarrow.table(requests)
    assert requests.row(3)["request"] == table["request"][3].as_py()
    assert list(requests["request"]) == table["request"].to_pylist()
    with pytest.raises(KeyError, match="ttft_ms"):
        requests["ttft"]


def test_what_is_not_there_is_null_for_arrow_and_nan_for_numpy():
    requests = blis.run(SETTINGS, admission_policy="reject-all").requests()
    assert pyarrow.table(requests)["ttft_ms"].null_count == 200
    assert numpy.isnan(numpy.asarray(requests["ttft_ms"])).all()
    assert requests["ttft_ms"][0] is None


def test_a_trace_is_replayed(tmp_path):
    prefix = tmp_path / "trace"
    blis.run(SETTINGS, trace_output=prefix)
    settings = {"model": SETTINGS["model"], "trace_header": f"{prefix}.yaml", "trace_data": f"{prefix}.csv"}
    replayed = blis.replay(settings)
    assert replayed.summary["requests"]["completed"] == 200
    assert replayed.json == printed("replay", settings | {"format": "json"}).stdout


def test_warnings_are_warnings():
    with pytest.warns(blis.BlisWarning, match="no request completed"):
        blis.run(SETTINGS, admission_policy="reject-all")


def test_a_plan_is_that_of_the_command_line():
    settings = {"model": "qwen/qwen3-14b", "rate": 30, "slo": "ttft_p99<500ms", "num_requests": 500, "replications": 3}
    assert blis.plan(settings).json == printed("plan", settings | {"format": "json"}).stdout


def test_configurations_are_compared():
    configs = [{"name": "one", "num_instances": 1}, {"name": "two", "num_instances": 2}]
    told = blis.compare(*configs, **(SETTINGS | {"rate": 40}), replications=3)
    assert told.summary["base"]["name"] == "one"
    assert [other["name"] for other in told.summary["others"]] == ["two"]
    with pytest.raises(blis.BlisError, match="two: .*unknown routing policy"):
        blis.compare({"name": "one"}, {"name": "two", "routing_policy": "x"}, **SETTINGS)


def test_the_version_is_that_of_the_program():
    told = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.split()[-1] == blis.version
