#!/usr/bin/env python3
"""Real clients against `blis mock`: the openai SDK and GuideLLM, neither of which was written here.

They must get through without an error, and the latencies that they measure must agree within 3 % with the server's own
account, the sums of its histograms. Installs what it needs into an environment of its own, once.

    python3 .ci/clients.py --blis target/release/blis
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

# The last GuideLLM without torch is 0.3.1; everything is pinned, so that a change is ours.
PACKAGES = Path(__file__).with_name("clients.txt")
TOLERANCE = 0.03
MODEL = "qwen/qwen3-14b"
# Slow enough that what a client itself takes, some milliseconds, does not count.
SERVER = ["--model", MODEL, "--hardware", "A100-80", "--tp", "1", "--speedup", "0.1"]
PROMPT_WORDS = 2_500
ANSWER_TOKENS = 20
REQUESTS = 12
RATE = 2
# Processes of GuideLLM that send.
WORKERS = 2


def environment(folder, packages=PACKAGES):
    """The Python of an environment that has these packages."""
    python = folder / "bin" / "python"
    marker = folder / "installed"
    if not marker.exists() or marker.read_text() != packages.read_text():
        print(f"installing {packages.name} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", packages], check=True)
        marker.write_text(packages.read_text())
    return python


class Server:
    """A running `blis mock`."""

    def __init__(self, blis):
        command = [blis, "mock", "--port", "0", *SERVER]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on (http://\S+)\n", line)
        if not found:
            sys.exit(f"blis mock said {line!r} instead of where it listens")
        self.url = found.group(1)

    def account(self):
        """Sums and counts of its histograms, by name."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        pattern = re.compile(r"vllm:(\w+_(?:sum|count))\{[^}]*\} (\S+)")
        totals = {}
        for name, value in (found.groups() for line in lines if (found := pattern.fullmatch(line))):
            totals[name] = totals.get(name, 0.0) + float(value)
        return totals

    def ask(self, body):
        """Sends a completion request and waits for its answer."""
        request = urllib.request.Request(f"{self.url}/v1/completions", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request).close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            sys.exit(f"blis mock ended with {self.process.returncode}")


class Means:
    """Mean latencies of the requests since it was made, by the server's account, seconds.

    `probes` requests of those that are compared are not the client's load but its probes, which take `probe_s` each.
    """

    def __init__(self, server, probes=0, probe_s=0.0):
        self.server = server
        self.before = server.account()
        self.probes = probes
        self.probe_s = probe_s

    def since(self, name):
        """By how much a figure of the account has grown."""
        return self.server.account()[name] - self.before[name]

    def of(self, name):
        """A mean. Probes have one token, and so no time between tokens."""
        probes = 0 if name.startswith("inter_token") else self.probes
        return (self.since(f"{name}_sum") - probes * self.probe_s) / (self.since(f"{name}_count") - probes)

    def compare(self, who, measured, requests):
        """Ends the program unless the client's means are close to the account's."""
        ended = self.since("e2e_request_latency_seconds_count") - self.probes
        if ended != requests:
            sys.exit(f"{who}: {requests} requests, but the server counted {ended:.0f}")
        failures = 0
        for what, name in [
            ("TTFT", "time_to_first_token_seconds"),
            ("time between tokens", "inter_token_latency_seconds"),
            ("E2E", "e2e_request_latency_seconds"),
        ]:
            account = self.of(name)
            error = measured[what] / account - 1
            print(f"{who}: {what} {measured[what] * 1e3:.2f} ms, account {account * 1e3:.2f} ms ({error:+.2%})")
            failures += abs(error) > TOLERANCE
        if failures:
            sys.exit(f"{who}: off by more than {TOLERANCE:.0%}")


def prompt(number):
    return f"Request {number}:" + " word" * PROMPT_WORDS


def with_openai(server):
    """Every call of the SDK that a load generator uses, its errors, and streams whose times are compared."""
    import openai

    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == [MODEL]
    messages = [{"role": "user", "content": "Hello there"}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=5, n=2)
    assert len(answer.choices) == 2 and answer.usage.completion_tokens == 10, answer
    assert answer.choices[0].finish_reason == "length" and answer.choices[0].message.content
    text = client.completions.create(model=MODEL, prompt=["one", "two"], max_tokens=3)
    assert [choice.index for choice in text.choices] == [0, 1] and text.usage.total_tokens == 8, text
    for error, request in [
        (openai.NotFoundError, {"model": "unknown", "messages": messages}),
        (openai.BadRequestError, {"model": MODEL, "messages": messages, "temperature": 9}),
        (openai.BadRequestError, {"model": MODEL, "messages": [{"role": "user", "content": "word " * 50_000}]}),
    ]:
        try:
            client.chat.completions.create(**request)
        except error as refused:
            assert refused.body["code"] == refused.status_code, refused.body
        else:
            sys.exit(f"openai: {error.__name__} expected")

    asynchronous = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)

    async def one(number):
        await asyncio.sleep(number / RATE)
        start = time.perf_counter()
        stream = await asynchronous.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": prompt(number)}],
            max_completion_tokens=ANSWER_TOKENS,
            extra_body={"ignore_eos": True},
            stream=True,
            stream_options={"include_usage": True},
        )
        times, usage = [], None
        async for chunk in stream:
            usage = chunk.usage or usage
            if chunk.choices and chunk.choices[0].delta.content:
                times.append(time.perf_counter())
        assert len(times) == usage.completion_tokens == ANSWER_TOKENS, (len(times), usage)
        return times[0] - start, (times[-1] - times[0]) / (len(times) - 1), times[-1] - start

    async def everybody():
        # Connections are made, and the client's own start is behind it, before the times count.
        await asyncio.gather(*[asynchronous.models.list() for _ in range(REQUESTS)])
        means = Means(server)
        return means, await asyncio.gather(*map(one, range(REQUESTS)))

    means, times = asyncio.run(everybody())
    columns = [sum(column) / len(column) for column in zip(*times)]
    measured = dict(zip(["TTFT", "time between tokens", "E2E"], columns))
    means.compare("openai", measured, REQUESTS)


def with_guidellm(server, python):
    """A benchmark of GuideLLM, and what its report says."""
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder) / "data.jsonl", Path(folder) / "report.json"
        rows = [
            {"prompt": prompt(f"by GuideLLM {number}"), "output_tokens_count": ANSWER_TOKENS}
            for number in range(REQUESTS)
        ]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        # Each of its processes first asks for one token, of a server that is idle.
        lone = Means(server)
        server.ask({"model": MODEL, "prompt": "Test connection", "max_tokens": 1, "ignore_eos": True})
        means = Means(server, probes=1 + WORKERS, probe_s=lone.of("time_to_first_token_seconds"))
        subprocess.run(
            [
                python.parent / "guidellm", "benchmark", "run", "--target", server.url, "--data", data,
                "--data-args", '{"split": "train"}', "--rate-type", "constant", "--rate", str(RATE),
                "--max-requests", str(REQUESTS), "--output-path", report,
                "--disable-progress", "--disable-console-outputs",
            ],
            check=True,
            env={
                **os.environ,
                "GUIDELLM__MAX_WORKER_PROCESSES": str(WORKERS),
                # Certificates, which nobody needs here, would be read within the time of the first requests.
                "GUIDELLM__OPENAI__VERIFY": "false",
                "GUIDELLM__REQUEST_HTTP2": "false",
                "HF_HOME": folder,
                "HF_HUB_OFFLINE": "1",
            },
        )
        benchmark = json.loads(report.read_text())["benchmarks"][0]
    requests = benchmark["requests"]
    if requests["errored"] or len(requests["successful"]) != REQUESTS:
        sys.exit(f"guidellm: {len(requests['successful'])} of {REQUESTS} requests succeeded: {requests['errored'][:1]}")
    tokens = {request["output_tokens"] for request in requests["successful"]}
    assert tokens == {ANSWER_TOKENS}, tokens

    def mean(name):
        return benchmark["metrics"][name]["successful"]["mean"]

    measured = {
        "TTFT": mean("time_to_first_token_ms") / 1e3,
        "time between tokens": mean("inter_token_latency_ms") / 1e3,
        "E2E": mean("request_latency"),
    }
    means.compare("guidellm", measured, REQUESTS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blis", required=True, type=Path, help="the program")
    parser.add_argument("--venv", type=Path, default=Path("target/clients"), help="where the clients are installed")
    given = parser.parse_args()
    python = environment(given.venv.absolute())
    if Path(sys.executable) != python:
        os.execv(python, [python, __file__, "--blis", str(given.blis.absolute()), "--venv", str(given.venv.absolute())])
    server = Server(given.blis)
    try:
        with_openai(server)
        with_guidellm(server, python)
    finally:
        server.stop()
    print("both clients agree with the server's account")


if __name__ == "__main__":
    main()
