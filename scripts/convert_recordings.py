#!/usr/bin/env python3
"""Turn recorded traffic into a TraceV2: <prefix>.yaml (header) and <prefix>.csv (one row per request).

    convert_recordings.py azure RECORDING.csv[.gz] PREFIX [--limit N]
    convert_recordings.py vllm  RECORDING.csv[.gz] PREFIX --experiments experiments.csv [--limit N]

azure: the Azure LLM inference traces (TIMESTAMP, ContextTokens, GeneratedTokens). No prompt is known to share anything
with another, so none does in the trace.

vllm: a benchmark run against a vLLM server, one row per request (index, arrival_us, prompt_id, input_tokens,
output_tokens_client, ttft_us, e2e_us, ok). The server's settings and the true output length come from the run's lines
in experiments.csv; the client's own count of output tokens is a re-tokenisation and off by up to a fifth.

Prompts. Requests with the same prompt id carry the same prompt, so each prompt is a prefix group: prefix_group is the
id, prefix_length all tokens but the last, input_tokens the one that is left. A server that finds a whole prompt in its
cache still computes at least its last token, so of n tokens it reuses the full blocks among the first n - 1: exactly
what a shared prefix of n - 1 tokens and one token of its own give, whatever the block size. What prompts with different
ids have in common is lost, which costs their first sending only.

About 1 % of the requests were sent out of turn and carry a neighbour's prompt; their length gives them away, and they
get the nearest id whose prompt has that length. A request without a recorded length failed; it gets its id's.
"""

import argparse
import csv
import gzip
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

COLUMNS = (
    "request_id client_id tenant_id slo_class session_id round_index prefix_group prefix_length streaming input_tokens "
    "output_tokens text_tokens image_tokens audio_tokens video_tokens reason_ratio model deadline_us "
    "server_input_tokens arrival_time_us send_time_us first_chunk_time_us last_chunk_time_us num_chunks status "
    "error_message finish_reason"
).split()

# The load generator of the vLLM runs gives a request up after this long.
CLIENT_TIMEOUT_US = 300_000_000


@dataclass
class Request:
    """One request; times are microseconds after the first one was sent."""

    arrival_us: int
    input_tokens: int
    output_tokens: int
    prompt: str = ""  # requests with the same non-empty name carry the same prompt
    ttft_us: int = 0
    e2e_us: int = 0
    deadline_us: int = 0
    ok: bool = True


def rows(path):
    """The lines of a CSV file as dictionaries, decompressed if its name ends in .gz."""
    opened = gzip.open(path, "rt", newline="") if str(path).endswith(".gz") else open(path, newline="")
    with opened as file:
        yield from csv.DictReader(file)


def azure_requests(path, limit):
    """Requests of an Azure LLM inference trace; a request without output is kept with one token."""

    def microseconds(text):
        seconds, _, fraction = text.partition(".")
        whole = datetime.strptime(seconds, "%Y-%m-%d %H:%M:%S") - datetime(2000, 1, 1)
        return (whole.days * 86_400 + whole.seconds) * 1_000_000 + int(fraction[:6].ljust(6, "0"))

    requests = [
        Request(microseconds(row["TIMESTAMP"]), int(row["ContextTokens"]), max(1, int(row["GeneratedTokens"])))
        for row in islice(rows(path), limit)
    ]
    requests.sort(key=lambda request: request.arrival_us)
    first_us = requests[0].arrival_us
    for request in requests:
        request.arrival_us -= first_us
    return requests


def experiment(experiments_path, recording):
    """The settings of the server behind a recording: its whole-run line in experiments.csv."""
    for row in rows(experiments_path):
        if row["per_request_trace"] == recording and row["stage"] == "all":
            return row
    sys.exit(f"{experiments_path} has no line with per_request_trace={recording} and stage=all")


def recording_name(path):
    return Path(path).name.removesuffix(".gz").removesuffix(".csv")


def vllm_requests(path, output_tokens, limit):
    """Requests of a recorded vLLM run, each of which generated `output_tokens`."""
    recorded = list(rows(path))
    lengths = defaultdict(Counter)
    for row in recorded:
        if int(row["input_tokens"]) > 0:
            lengths[int(row["prompt_id"])][int(row["input_tokens"])] += 1
    usual = {prompt: counts.most_common(1)[0][0] for prompt, counts in lengths.items()}
    prompts = 1 + max(int(row["prompt_id"]) for row in recorded)

    def sent_prompt(prompt, tokens):
        if tokens == 0:
            return min(usual, key=lambda other: distance(prompt, other))
        return min(
            (other for other in usual if usual[other] == tokens), key=lambda other: distance(prompt, other)
        )

    def distance(a, b):
        return min((a - b) % prompts, (b - a) % prompts), b

    requests = []
    for row in recorded[:limit]:
        arrival_us = int(row["arrival_us"])
        prompt = sent_prompt(int(row["prompt_id"]), int(row["input_tokens"]))
        requests.append(
            Request(
                arrival_us,
                usual[prompt],
                output_tokens,
                prompt=f"prompt_{prompt}",
                ttft_us=int(row["ttft_us"] or 0),
                e2e_us=int(row["e2e_us"]),
                deadline_us=arrival_us + CLIENT_TIMEOUT_US,
                ok=row["ok"] == "1",
            )
        )
    return requests


def vllm_header(settings):
    return (
        "server:\n"
        "  type: vllm\n"
        f"  model: {settings['model']}\n"
        f"  tensor_parallel: {settings['tp']}\n"
        f"  max_num_seqs: {settings['max_num_seqs']}\n"
        f"  block_size: {settings['block_size']}\n"
        f"  gpu_memory_utilization: {settings['gpu_mem_util']}\n"
        f"  max_model_len: {settings['max_model_len']}\n"
    )


def trace_row(number, request):
    prefix_tokens = max(0, request.input_tokens - 1) if request.prompt else 0
    ended_us = request.arrival_us + request.e2e_us if request.e2e_us else 0
    return {
        **dict.fromkeys(COLUMNS, ""),
        **dict.fromkeys(("round_index", "image_tokens", "audio_tokens", "video_tokens", "reason_ratio"), 0),
        "request_id": number,
        "client_id": "recorded",
        "prefix_group": request.prompt if prefix_tokens else "",
        "prefix_length": prefix_tokens,
        "streaming": "true",
        "input_tokens": request.input_tokens - prefix_tokens,
        "text_tokens": request.input_tokens - prefix_tokens,
        "output_tokens": request.output_tokens,
        "deadline_us": request.deadline_us,
        "server_input_tokens": request.input_tokens,
        "arrival_time_us": request.arrival_us,
        "send_time_us": request.arrival_us,
        "first_chunk_time_us": request.arrival_us + request.ttft_us if request.ttft_us else 0,
        "last_chunk_time_us": ended_us if request.ok else 0,
        "num_chunks": request.output_tokens if request.ok and request.ttft_us else 0,
        "status": "ok" if request.ok else "timeout",
    }


def write_trace(prefix, requests, header=""):
    Path(f"{prefix}.yaml").write_text(
        f"trace_version: 3\ntime_unit: microseconds\nmode: real\nwarm_up_requests: 0\n{header}"
    )
    with open(f"{prefix}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(trace_row(number, request) for number, request in enumerate(requests))


def main():
    parser = argparse.ArgumentParser(description="Turn recorded traffic into a TraceV2.")
    parser.add_argument("format", choices=("azure", "vllm"))
    parser.add_argument("recording", help="CSV file, may be compressed with gzip")
    parser.add_argument("prefix", help="writes PREFIX.yaml and PREFIX.csv")
    parser.add_argument("--experiments", help="experiments.csv with the settings of the vLLM runs")
    parser.add_argument("--limit", type=int, help="only the first N requests")
    arguments = parser.parse_args()
    if arguments.format == "azure":
        requests, header = azure_requests(arguments.recording, arguments.limit), ""
    elif arguments.experiments:
        settings = experiment(arguments.experiments, recording_name(arguments.recording))
        output_tokens = int(settings["output_tokens_exact"])
        requests = vllm_requests(arguments.recording, output_tokens, arguments.limit)
        header = vllm_header(settings)
    else:
        parser.error("vllm needs --experiments")
    write_trace(arguments.prefix, requests, header)


if __name__ == "__main__":
    main()
