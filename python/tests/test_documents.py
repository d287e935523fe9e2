"""What the documents show works: every Python block of docs/python.md is run, in order, in one place; and the examples."""

import os
import re
import subprocess
import sys
from pathlib import Path

import blis
import yaml

HERE = Path(__file__).resolve().parent.parent
DOCUMENT = next(path for path in (HERE / "python.md", HERE.parent / "docs" / "python.md") if path.exists())


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_python_of_the_document_runs(tmp_path):
    program = "\n".join(blocks("python"))
    assert "blis.run(" in program
    path = tmp_path / "document.py"
    path.write_text(program)
    told = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_the_manifests_of_the_document_run_sweeps_that_are_right():
    for manifest in blocks("yaml"):
        for document in yaml.safe_load_all(manifest):
            if document["kind"] != "Job":
                continue
            pod = document["spec"]["template"]["spec"]
            assert document["spec"]["completionMode"] == "Indexed"
            command = pod["containers"][0]["command"][-1]
            assert f"/{document['spec']['completions']}" in command
            assert f"--shard=$((JOB_COMPLETION_INDEX+1))/{document['spec']['completions']}" in command
            flags = dict(re.findall(r"--([a-z-]+)=(\S+)", command))
            del flags["results"]
            flags["shard"] = "1/8"
            setting, _, values = flags.pop("set").partition("=")
            flags |= {"trials": 8, "num_requests": 5}
            assert len(blis.sweep(flags, set={setting: values})) == 1


def test_the_optuna_example_finds_something():
    environment = os.environ | {"BLIS_TRIALS": os.environ.get("BLIS_TRIALS", "8")}
    example = HERE / "examples" / "optuna_example.py"
    told = subprocess.run([sys.executable, example], env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert " ms with {" in told.stdout
