#!/usr/bin/env python3
"""Times the cases of docs/performance.md as whole processes and prints the table.

    python3 scripts/measure_speed.py target/release/blis [--runs 5] [--instructions]

Wall and processor seconds are medians over the runs, memory is the largest. `--instructions` counts instructions
under valgrind's callgrind for the small cases: the same number on every machine of one kind, however busy it is.
"""
import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time

LENGTHS = "--prompt-tokens 1024 --prompt-tokens-stdev 0 --output-tokens 128 --output-tokens-stdev 0"
CASES = [
    # name, requests, arguments, must reach (s, MB), counted under callgrind
    ("start-up + 100 requests, 1 instance", 100, "", (0.02, None), True),
    ("10,000 requests, 4 instances, 80 req/s, weighted", 10_000,
     "--num-instances 4 --rate 80 --num-requests 10000 --routing-policy weighted", (0.1, 30), True),
    ("50,000 requests, 16 instances, 320 req/s, weighted", 50_000,
     "--num-instances 16 --rate 320 --num-requests 50000 --routing-policy weighted", (0.4, 60), True),
    ("1,000,000 requests, 64 instances, 1,280 req/s, weighted", 1_000_000,
     "--num-instances 64 --rate 1280 --num-requests 1000000 --routing-policy weighted", (6.0, 200), False),
    ("closed loop, 64 users, 1024/128 tokens, 1 instance", 300_000,
     f"--concurrency 64 --num-requests 300000 {LENGTHS}", (1.0, None), False),
    ("closed loop, 4,096 users, 1024/128 tokens, 64 instances, five scorers", 300_000,
     f"--concurrency 4096 --num-requests 300000 {LENGTHS} --num-instances 64 --routing-policy weighted "
     "--routing-scorers precise-prefix-cache:2,queue-depth:1,kv-utilization:1,active-requests:1,running-requests:1",
     (2.0, None), False),
]


def once(command):
    """Wall seconds, processor seconds and peak MB of one run."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def instructions(command):
    """Millions of instructions under callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"] + command,
            capture_output=True, text=True, check=True).stderr
    return int(re.search(r"Collected : (\d+)", out).group(1)) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blis")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--instructions", action="store_true")
    args = parser.parse_args()
    print("| case | must reach | wall s | processor s | peak MB | requests/s | instructions, M |")
    print("|---|---|---|---|---|---|---|")
    for name, requests, arguments, (limit_s, limit_mb), counted in CASES:
        command = [args.blis, "run", "--model", "qwen/qwen3-14b", "--quiet-instances"] + arguments.split()
        once(command)
        runs = [once(command) for _ in range(args.runs)]
        wall, cpu = (statistics.median(r[i] for r in runs) for i in (0, 1))
        memory = max(r[2] for r in runs)
        goal = f"≤ {limit_s:g} s" + (f", ≤ {limit_mb} MB" if limit_mb else "")
        count = f"{instructions(command):,.0f}" if args.instructions and counted else ""
        print(f"| {name} | {goal} | {wall:.3f} | {cpu:.3f} | {memory:.0f} | {requests / wall:,.0f} | {count} |", flush=True)


if __name__ == "__main__":
    main()
