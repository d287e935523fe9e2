"""Policies as Python classes, one for each axis that decides per request."""

import random
import traceback

import blis
import pytest

SETTINGS = {"model": "qwen/qwen3-14b", "rate": 30, "num_requests": 120, "num_instances": 3, "seed": 5}


def run(*policies, **flags):
    return blis.run(SETTINGS, policies=policies, **flags)


def served_by(result):
    counts = {}
    for instance in result.requests()["instance"]:
        counts[instance] = counts.get(instance, 0) + 1
    return [counts[name] for name in sorted(counts)]


def test_routing():
    @blis.policy.routing("second", summary="always the second")
    class Second:
        def route(self, request, instances):
            assert request.input_tokens > 0 and len(instances) == 3
            return 1

    assert served_by(run(Second, routing_policy="second")) == [120]


def test_a_router_sees_what_a_built_in_one_sees():
    @blis.policy.routing("like-least-loaded", reads=["in_flight"])
    class Like:
        def __init__(self, seed):
            self.random = random.Random(seed)

        def route(self, request, instances):
            assert instances.queue_depth is None
            return min(range(len(instances)), key=instances.in_flight.__getitem__)

    assert max(served_by(run(Like, routing_policy="like-least-loaded"))) < 60


def test_parameters_come_from_flags():
    @blis.policy.admission("short", params={"longest_prompt": blis.policy.Param(500, "count", "tokens")})
    class Short:
        def __init__(self, longest_prompt):
            self.longest_prompt = longest_prompt

        def admit(self, request, instances):
            return request.input_tokens <= self.longest_prompt

    def longest(**flags):
        requests = run(Short, admission_policy="short", **flags).requests()
        admitted = [n for n, e in zip(requests["input_tokens"], requests["ending"]) if e == "completed"]
        return max(admitted)

    assert 300 < longest() <= 500
    assert longest(longest_prompt=300) <= 300
    with pytest.raises(blis.BlisError, match="must be a whole number of at least 0"):
        longest(longest_prompt=-1)


def test_scorers():
    seen = []

    @blis.policy.scorer("last-first", reads=["in_flight", "snapshot", "cache"])
    class LastFirst:
        def score(self, request, instances):
            assert len(instances.cached_blocks) == 3
            return [n / 2 for n in range(len(instances))]

        def observe(self, request, instance):
            seen.append(instance)

    result = run(LastFirst, routing_policy="weighted", routing_scorers="last-first:1")
    assert served_by(result) == [120]
    assert seen == [2] * 120


def test_scheduling():
    @blis.policy.scheduling("shortest")
    class Shortest:
        def key(self, waiting):
            return waiting.input_tokens

    flags = {"rate": 200, "max_num_seqs": 4}
    own = run(Shortest, scheduler="shortest", **flags)
    built_in = run(scheduler="sjf", **flags)
    assert own.json == built_in.json
    assert own.json != run(**flags).json


def test_preemption():
    seen = []

    @blis.policy.preemption("first")
    class First:
        def choose(self, batch):
            seen.append(len(batch.priority))
            return 0

    flags = {"rate": 200, "total_kv_blocks": 600, "num_instances": 1}
    own = run(First, preemption_policy="first", **flags)
    assert seen
    assert own.json != run(**flags).json


def test_the_gateway_queue():
    asked = set()

    @blis.policy.saturation("in-flight")
    class InFlight:
        def saturation(self, instances, max_num_seqs):
            asked.add("saturation")
            return sum(instances.in_flight) / 30

    @blis.policy.dispatch_order("latest")
    class Latest:
        def band(self, request):
            asked.add("band")
            return 0

        def key(self, request):
            asked.add("key")
            return -request.since_us

    @blis.policy.fairness("first-tenant")
    class FirstTenant:
        def choose(self, band):
            asked.add("fairness")
            return 0

    @blis.policy.usage_limit("all-the-same")
    class AllTheSame:
        def ceilings(self, saturation, bands):
            asked.add("usage_limit")
            return [1.0] * len(bands)

    result = run(
        InFlight,
        Latest,
        FirstTenant,
        AllTheSame,
        flow_control=True,
        saturation_detector="in-flight",
        dispatch_order="latest",
        fairness_policy="first-tenant",
        usage_limit_policy="all-the-same",
        rate=100,
    )
    assert asked == {"saturation", "band", "key", "fairness", "usage_limit"}
    assert result.summary["requests"]["completed"] == 120


def test_disaggregation():
    served = []

    @blis.policy.disaggregation("long-prompts", reads=["in_flight", "snapshot", "cache"])
    class LongPrompts:
        def splits(self, request, prefill, decode):
            assert (len(prefill), len(decode)) == (1, 2)
            assert request.cached_tokens <= request.input_tokens
            return request.input_tokens > 500

        def observe(self, one):
            served.append(one)

    run(LongPrompts, pd_decider="long-prompts", prefill_instances=1, decode_instances=2)
    assert len(served) == 120
    assert all(one.was_split == (one.input_tokens > 500) for one in served)


def test_encoding():
    seen = []

    @blis.policy.encode("nobody")
    class Nobody:
        def encodes(self, request):
            seen.append(request.media_tokens)
            return False

    flags = {"encode_instances": 1, "prefill_instances": 1, "decode_instances": 1, "num_instances": 3}
    run(Nobody, encode_decider="nobody", pd_decider="always", **flags)
    assert seen == [0] * 120


@blis.policy.routing("drawn")
class Drawn:
    """Draws, and fails when it is told to."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def route(self, request, instances):
        return self.random.randrange(len(instances))


def test_the_same_policy_gives_the_same_bytes():
    first, second = (run(Drawn, routing_policy="drawn") for _ in range(2))
    assert first.json == second.json
    assert first.json != run(Drawn, routing_policy="drawn", seed=6).json
    settings = SETTINGS | {"routing_policy": "drawn", "set": {"max-num-seqs": [8, 16, 32, 64]}}
    first, second = (blis.sweep(settings, policies=[Drawn]) for _ in range(2))
    assert first.json == second.json


@blis.policy.routing("broken")
class Broken:
    def __init__(self):
        self.asked = 0

    def route(self, request, instances):
        self.asked += 1
        if self.asked == 50:
            raise LookupError("the fiftieth")
        return 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: run(Broken, routing_policy="broken"),
        lambda: blis.sweep(SETTINGS, routing_policy="broken", policies=[Broken], set={"max-num-seqs": [8, 16]}),
        lambda: blis.plan(
            model="qwen/qwen3-14b", rate=30, slo="ttft_p99<1s", routing_policy="broken", policies=[Broken]
        ),
        lambda: blis.compare({}, {"tp": 2}, **SETTINGS, routing_policy="broken", policies=[Broken]),
    ],
    ids=["run", "sweep", "plan", "compare"],
)
def test_an_exception_in_a_policy_is_raised_with_its_traceback(call, capfd):
    with pytest.raises(LookupError, match="the fiftieth") as raised:
        call()
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[-1] == "route"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("answer", [3, -1, "x", None])
def test_answers_that_make_no_sense_are_named(answer):
    @blis.policy.routing("wrong")
    class Wrong:
        def route(self, request, instances):
            return answer

    with pytest.raises(ValueError, match=f"route of wrong gave {answer}; it must be from 0 to 2"):
        run(Wrong, routing_policy="wrong")


def test_names_are_known_only_where_the_class_is_given():
    with pytest.raises(blis.BlisError, match='unknown routing policy "drawn"'):
        run(routing_policy="drawn")

    @blis.policy.routing("round-robin")
    class Taken:
        def route(self, request, instances):
            return 0

    with pytest.raises(blis.BlisError, match="there is a routing policy called round-robin already"):
        run(Taken)


def test_classes_that_cannot_be_policies_are_refused():
    with pytest.raises(TypeError, match="needs a method admit"):
        blis.policy.admission("x")(int)
    with pytest.raises(TypeError, match="is no policy"):
        run(int)
    with pytest.raises(ValueError, match="cannot read 'tokens'"):
        blis.policy.routing("x", reads=["tokens"])
