#!/usr/bin/env python3
"""Replay recorded traffic with blis and set what it simulates beside what was measured; prints Markdown tables.

    compare_recordings.py DATA --blis target/release/blis [--work DIR] [--only TEXT] [--limit N]

DATA is a folder with ground-truth/experiments.csv, per-request/2026021*.csv.gz (recorded vLLM servers) and
traces/azure-llm-2023-conv.csv.gz. Each server is simulated twice: as blis does by default, with the release of the
recorded server, and under --compat inference-sim. Nothing is fitted to the recordings here.

Measured figures are of the requests that were answered: TTFT and E2E at the client, ITL = (E2E - TTFT) / (output
tokens - 1). Simulated figures are of the requests that completed, ITL likewise.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median

import convert_recordings as convert

# config.json of a model that was recorded but is not built in.
OTHER_MODELS = {
    "meta-llama/llama-2-70b-hf": {
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "max_position_embeddings": 4096,
        "num_attention_heads": 64,
        "num_hidden_layers": 80,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 32000,
    },
}

AZURE = "azure-llm-2023-conv"
AZURE_MODEL = "meta-llama/llama-3.1-8b-instruct"
AZURE_INSTANCES = 2

VARIANTS = {"default": ["--engine", "vllm-0.15.1"], "--compat inference-sim": ["--compat", "inference-sim"]}

FIGURES = {
    "TTFT, mean, ms": lambda run: mean(run.ttft_ms),
    "TTFT, 90th percentile, ms": lambda run: percentile(run.ttft_ms, 90),
    "TTFT, 99th percentile, ms": lambda run: percentile(run.ttft_ms, 99),
    "ITL, mean, ms": lambda run: mean(run.itl_ms),
    "E2E, mean, ms": lambda run: mean(run.e2e_ms),
}


class Run:
    """Latencies of the answered requests of a run, measured or simulated."""

    def __init__(self, requests, latencies):
        """`latencies` holds (TTFT, E2E, output tokens) of each answered one of so many requests, in milliseconds."""
        self.requests = requests
        self.ttft_ms = [ttft for ttft, _, _ in latencies]
        self.e2e_ms = [e2e for _, e2e, _ in latencies]
        self.itl_ms = [(e2e - ttft) / (tokens - 1) for ttft, e2e, tokens in latencies if tokens > 1]

    def answered(self):
        return len(self.e2e_ms)


def percentile(values, p):
    """Interpolated linearly between ranks."""
    ordered = sorted(values)
    rank = p / 100 * (len(ordered) - 1)
    low = int(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def simulate(blis, prefix, flags, work):
    metrics = work / "metrics.json"
    command = [blis, "replay", "--trace-header", f"{prefix}.yaml", "--trace-data", f"{prefix}.csv"]
    command += [*flags, "--metrics-path", str(metrics)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    figures = json.loads(metrics.read_text())
    completed = [request for request in figures["requests"] if request["e2e_ms"] > 0]
    latencies = [(r["ttft_ms"], r["e2e_ms"], r["num_decode_tokens"]) for r in completed]
    return Run(figures["injected_requests"], latencies)


def server_flags(settings, work):
    """The recorded server as flags of blis."""
    model = settings["model"].lower()
    flags = ["--model", model, "--hardware", settings["hardware"], "--tp", settings["tp"]]
    flags += ["--max-num-seqs", settings["max_num_seqs"]]
    flags += ["--max-num-batched-tokens", settings["max_num_batched_tokens"]]
    flags += ["--max-model-len", settings["max_model_len"]]
    flags += ["--block-size-in-tokens", settings["block_size"]]
    flags += ["--total-kv-blocks", settings["kv_blocks_gpu"]]
    if model in OTHER_MODELS:
        folder = work / model.replace("/", "--")
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(OTHER_MODELS[model]))
        flags += ["--model-config-folder", str(folder)]
    return flags


def compare_vllm(path, data, arguments, work):
    """The measured run and the simulated ones of a recorded vLLM server."""
    settings = convert.experiment(data / "ground-truth/experiments.csv", convert.recording_name(path))
    requests = convert.vllm_requests(path, int(settings["output_tokens_exact"]), arguments.limit)
    prefix = work / "trace"
    convert.write_trace(prefix, requests, convert.vllm_header(settings))
    flags = server_flags(settings, work)
    runs = {"measured": Run(
        len(requests), [(r.ttft_us / 1e3, r.e2e_us / 1e3, r.output_tokens) for r in requests if r.ok]
    )}
    return runs | {name: simulate(arguments.blis, prefix, flags + more, work) for name, more in VARIANTS.items()}


def simulate_azure(data, arguments, work):
    requests = convert.azure_requests(data / f"traces/{AZURE}.csv.gz", arguments.limit)
    prefix = work / "trace"
    convert.write_trace(prefix, requests)
    flags = ["--model", AZURE_MODEL, "--hardware", "H100", "--tp", "1", "--num-instances", str(AZURE_INSTANCES)]
    flags += ["--routing-policy", "least-loaded"]
    return {name: simulate(arguments.blis, prefix, flags + more, work) for name, more in VARIANTS.items()}


def table(header, lines):
    print("| " + " | ".join(header) + " |")
    print("|---" + "|---:" * (len(header) - 1) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print()


def number(value):
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.1f}"


def error(simulated, measured):
    ratio = simulated / measured
    return f"{100 * (ratio - 1):+.0f} %" if ratio < 10 else f"x {ratio:,.0f}"


def print_comparison(recordings):
    print("Answered requests:\n")
    header = ["recording", "requests", "measured", *VARIANTS]
    lines = []
    for name, runs in recordings.items():
        answered = [str(run.answered()) for run in runs.values()]
        lines.append([name, str(runs["measured"].requests), *answered])
    table(header, lines)

    header = ["recording", "measured"]
    for variant in VARIANTS:
        header += [variant, "error"]
    for title, figure in FIGURES.items():
        print(f"{title}:\n")
        lines = []
        for name, runs in recordings.items():
            measured = figure(runs["measured"])
            line = [name, number(measured)]
            for variant in VARIANTS:
                simulated = figure(runs[variant])
                line += [number(simulated), error(simulated, measured)]
            lines.append(line)
        table(header, lines)


def print_summary(recordings):
    """Median and largest absolute error over the recordings in which every request was answered."""
    sound = [runs for runs in recordings.values() if runs["measured"].answered() == runs["measured"].requests]
    if not sound:
        return
    print(f"Absolute errors over the {len(sound)} recordings in which every request was answered:\n")
    header = ["figure"]
    for variant in VARIANTS:
        header += [f"{variant}, median", "largest"]
    lines = []
    for title, figure in FIGURES.items():
        line = [title.removesuffix(", ms")]
        for variant in VARIANTS:
            errors = [abs(figure(runs[variant]) / figure(runs["measured"]) - 1) for runs in sound]
            line += [f"{100 * median(errors):,.0f} %", f"{100 * max(errors):,.0f} %"]
        lines.append(line)
    table(header, lines)


def main():
    parser = argparse.ArgumentParser(description="Replay recorded traffic and compare with what was measured.")
    parser.add_argument("data", type=Path, help="folder with the recordings")
    parser.add_argument("--blis", required=True, help="the blis program")
    parser.add_argument("--work", type=Path, help="folder for traces [default: a temporary one]")
    parser.add_argument("--only", default="", help="only recordings whose name contains this")
    parser.add_argument("--limit", type=int, help="only the first N requests of each recording")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        recordings = {}
        for path in sorted((arguments.data / "per-request").glob("2026021*.csv.gz")):
            name = convert.recording_name(path)
            if arguments.only in name:
                recordings[name] = compare_vllm(path, arguments.data, arguments, work)
        if recordings:
            print_summary(recordings)
            print_comparison(recordings)
        if arguments.only in AZURE:
            print(f"{AZURE}: {AZURE_MODEL}, {AZURE_INSTANCES} x H100, least-loaded (nothing was measured):\n")
            runs = simulate_azure(arguments.data, arguments, work)
            lines = [["answered requests", *(str(run.answered()) for run in runs.values())]]
            lines += [[title, *(number(figure(run)) for run in runs.values())] for title, figure in FIGURES.items()]
            table(["figure", *VARIANTS], lines)


if __name__ == "__main__":
    main()
