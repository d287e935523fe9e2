#!/usr/bin/env bash
# Which routing policy keeps the tail short? Two kinds of traffic, several routers, one line of figures each.
#
#   bash examples/routing-comparison.sh [path to blis]
set -euo pipefail
cd "$(dirname "$0")/.."
blis=${1:-blis}
model=meta-llama/llama-3.1-8b-instruct

# Runs one configuration and prints what a reader compares.
compare() {
  local title=$1
  shift
  printf '\n%s\n' "$title"
  "$blis" run --model "$model" --num-instances 4 --trace-level decisions --summarize-trace "$@" 2>/dev/null |
    grep -E '"instance_id": "cluster"|"ttft_p99|"ttft_mean|"responses_per_sec|Target Dist|^  instance' |
    sed -n '/"cluster"/,$p' | tail -n +2
}

burst=(--rate 5000 --num-requests 1000)
compare "Burst, round-robin" "${burst[@]}" --routing-policy round-robin
compare "Burst, least-loaded" "${burst[@]}" --routing-policy least-loaded
compare "Burst, weighted: default scorers" "${burst[@]}" --routing-policy weighted
compare "Burst, weighted: queue-depth" "${burst[@]}" --routing-policy weighted --routing-scorers queue-depth:1
# Memory fills long after the queues do: this one sees the burst too late.
compare "Burst, weighted: kv-utilization" "${burst[@]}" --routing-policy weighted --routing-scorers kv-utilization:1
compare "Burst, weighted: load-balance" "${burst[@]}" --routing-policy weighted --routing-scorers load-balance:1

prefix=(--workload-spec examples/prefix-affinity-demo.yaml)
compare "Shared prefix, round-robin" "${prefix[@]}" --routing-policy round-robin
compare "Shared prefix, weighted: prefix-affinity:5,queue-depth:1" "${prefix[@]}" \
  --routing-policy weighted --routing-scorers prefix-affinity:5,queue-depth:1
compare "Shared prefix, weighted: queue-depth" "${prefix[@]}" --routing-policy weighted --routing-scorers queue-depth:1
