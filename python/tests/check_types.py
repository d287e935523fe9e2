"""What a type checker has to understand; mypy reads this in strict mode."""

import blis


@blis.policy.routing("typed")
class Typed:
    def route(self, request: blis.policy.RoutingRequest, instances: blis.policy.Instances) -> int:
        return min(range(len(instances)), key=instances.queue_depth.__getitem__)


def run() -> float:
    result: blis.Result = blis.run(model="qwen/qwen3-14b", policies=[Typed])
    table: blis.Table = result.requests()
    assert len(table) > 0
    return result.figures["ttft_p99_ms"] or 0.0


def sweep() -> dict[str, object] | None:
    found = blis.sweep({"model": "qwen/qwen3-14b"}, progress=lambda done, of: print(done, of))
    return found.best


def problems() -> list[str]:
    try:
        blis.plan(model="qwen/qwen3-14b")
    except blis.BlisError as error:
        return [problem.message for problem in error.problems]
    return []
