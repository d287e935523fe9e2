"""Policies as Python classes.

A class is decorated with its axis and a name, and given to a call with `policies=[…]`; then the name can be chosen as that of
a built-in policy. It is asked once per decision with what it may see, and returns the decision. An exception ends the run.

    @blis.policy.routing("emptiest")
    class Emptiest:
        def route(self, request, instances):
            return min(range(len(instances)), key=instances.queue_depth.__getitem__)

    blis.run(model="qwen/qwen3-14b", routing_policy="emptiest", policies=[Emptiest])

The same policy must decide the same when it sees the same: draw from `random.Random(seed)` with the `seed` of the run, which
`__init__` gets when it has a parameter of that name, and look at no clock. Every run makes an object of its own, except on the
axes `scheduling` and `preemption`, where every decision does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

__all__ = [
    "AdmissionRequest", "Band", "Batch", "EncodeRequest", "Instances", "Param", "QueuedRequest", "RoutingRequest", "Served",
    "SplitRequest", "Waiting", "admission", "disaggregation", "dispatch_order", "encode", "fairness", "preemption", "routing",
    "saturation", "scheduling", "scorer", "usage_limit",
]  # fmt: skip

Class = TypeVar("Class", bound=type)


class Param(NamedTuple):
    """A number that a policy can be given, by a flag of its name; `__init__` gets it under that name, with underscores."""

    default: float
    range: str = "finite"
    """finite, positive, non-negative, fraction (above 0 to 1), share (0 to 1), count, positive-count or integer"""
    summary: str = ""


class Instances:
    """Instances, a field of each column per instance. A column that the policy does not read is None."""

    __slots__ = (
        "adapter_resident", "batch_size", "cached_blocks", "ids", "in_flight", "kv_utilization", "load", "queue_depth", "size",
    )  # fmt: skip

    def __init__(
        self,
        size: int,
        queue_depth: Any,
        batch_size: Any,
        kv_utilization: Any,
        in_flight: Any,
        load: Any = None,
        ids: Any = None,
        cached_blocks: Any = None,
        adapter_resident: Any = None,
    ) -> None:
        self.size = size
        #: Requests waiting. Read with "snapshot".
        self.queue_depth: tuple[int, ...] = queue_depth
        #: Requests running. Read with "snapshot".
        self.batch_size: tuple[int, ...] = batch_size
        #: Share of the KV blocks in use, 0 to 1. Read with "snapshot".
        self.kv_utilization: tuple[float, ...] = kv_utilization
        #: Requests handed over and not finished yet. Read with "in_flight".
        self.in_flight: tuple[int, ...] = in_flight
        #: What the built-in policies call load. Read with "snapshot" and "in_flight".
        self.load: tuple[int, ...] = load
        #: Numbers of the instances; routers and scorers only.
        self.ids: tuple[int, ...] = ids
        #: Leading blocks of the prompt that each holds. Routers and scorers only; read with "cache".
        self.cached_blocks: tuple[int, ...] = cached_blocks
        #: Whether each holds the LoRA adapter of the request; None for a request without one.
        self.adapter_resident: tuple[bool, ...] | None = adapter_resident

    def __len__(self) -> int:
        return self.size


class AdmissionRequest(NamedTuple):
    """A request at the gate."""

    now_us: int
    input_tokens: int
    slo_class: str
    slo_rank: int
    """Higher is more important; below 0 may be shed."""
    tenant: str
    tenant_in_flight: int


class RoutingRequest(NamedTuple):
    """A request that is to be placed."""

    now_us: int | None
    """None when a scorer observes."""
    input_tokens: int
    slo_rank: int
    blocks: int
    """Full blocks of its prompt."""


class SplitRequest(NamedTuple):
    """A request whose decode instance is chosen."""

    now_us: int
    input_tokens: int
    cached_tokens: int | None
    """Prompt tokens that the decode instance has. Read with "cache"."""
    transfer_time_us: int
    """How long the KV of the prompt takes to the decode instance when nothing else moves."""
    chosen: int
    """The decode instance's place among them."""


class Served(NamedTuple):
    """How it went with a request that was decided about."""

    input_tokens: int
    uncached_tokens: int
    output_tokens: int
    arrival_us: int
    ttft_us: int
    itl_mean_us: float
    was_split: bool


class EncodeRequest(NamedTuple):
    """A request that may need an encode instance."""

    input_tokens: int
    media_tokens: int


class QueuedRequest(NamedTuple):
    """A request that joins the gateway queue."""

    rank: int
    """Of its SLO class; higher is more important."""
    since_us: int
    slo_target_us: int | None


class Band(NamedTuple):
    """The tenants of a band of the gateway queue that have requests in it."""

    band: int
    tenants: tuple[int, ...]
    first_joined: tuple[int, ...]
    """When the first request of each joined, as a number that counts joins."""


class Waiting(NamedTuple):
    """A request in the wait queue of an instance."""

    priority: int
    """Lower is more urgent."""
    arrival_us: int
    input_tokens: int


class Batch(NamedTuple):
    """The requests of a batch, in its order."""

    priority: tuple[int, ...]
    """Lower is more urgent."""
    arrival_us: tuple[int, ...]


def _axis(axis: str, method: str, takes_params: bool = True) -> Callable[..., Callable[[Class], Class]]:
    def named(
        name: str,
        *,
        params: Mapping[str, float | Param] | None = None,
        reads: Iterable[str] = ("in_flight", "snapshot"),
        summary: str = "",
    ) -> Callable[[Class], Class]:
        """Makes a class a policy of this axis.

        `params` are numbers that flags of their names set. `reads` names what the policy looks at: "in_flight",
        "snapshot" (queue depth, batch size, KV use), "cache" (what the KV caches hold).
        """
        if isinstance(reads, str):
            reads = (reads,)
        reads = list(reads)
        unknown = sorted(set(reads) - {"in_flight", "snapshot", "cache"})
        if unknown:
            raise ValueError(f"a policy cannot read {unknown[0]!r}; it can read in_flight, snapshot and cache")
        if params and not takes_params:
            raise ValueError(f"policies of the axis {axis} take no parameters")
        listed = []
        for key, value in (params or {}).items():
            param = value if isinstance(value, Param) else Param(value)
            about = param.summary or f"parameter of {name}"
            listed.append((key.replace("_", "-"), float(param.default), param.range, about))

        def mark(policy: Class) -> Class:
            if not callable(getattr(policy, method, None)):
                raise TypeError(f"{policy.__name__} needs a method {method} to be a policy of the axis {axis}")
            seeded = takes_params and "seed" in inspect.signature(policy).parameters
            about = summary or (inspect.getdoc(policy) or policy.__name__).splitlines()[0]
            setattr(policy, "__blis_policy__", (axis, name, about, listed, reads, seeded))  # noqa: B010
            return policy

        return mark

    return named


admission = _axis("admission", "admit")
"""Whether a request is let in: `admit(self, request: AdmissionRequest, instances: Instances) -> bool`."""
routing = _axis("routing", "route")
"""Which instance gets it: `route(self, request: RoutingRequest, instances: Instances) -> int`, a place among them."""
scorer = _axis("scorer", "score")
"""What weighted routing prefers: `score(self, request: RoutingRequest, instances: Instances) -> list[float]`, 0 to 1 each.
`observe(self, request, instance: int)`, if there is one, is told where the request went."""
disaggregation = _axis("disaggregation", "splits")
"""Whether its prompt goes to a prefill instance: `splits(self, request: SplitRequest, prefill: Instances, decode: Instances) ->
bool`. `observe(self, served: Served)`, if there is one, is told how it went."""
encode = _axis("encode", "encodes")
"""Whether it goes through an encode instance: `encodes(self, request: EncodeRequest) -> bool`."""
saturation = _axis("saturation", "saturation")
"""How full the instances are: `saturation(self, instances: Instances, max_num_seqs: int) -> float`, 1 is full."""
dispatch_order = _axis("dispatch_order", "key")
"""Its place in the gateway queue: `key(self, request: QueuedRequest) -> int`, the smallest first; and
`band(self, request: QueuedRequest) -> int`, the highest first, if there is one, else its rank."""
fairness = _axis("fairness", "choose")
"""Which tenant is next: `choose(self, band: Band) -> int`, a place among the tenants."""
usage_limit = _axis("usage_limit", "ceilings")
"""Up to which saturation each band is served: `ceilings(self, saturation: float, bands: tuple[int, ...]) -> list[float]`."""
scheduling = _axis("scheduling", "key", takes_params=False)
"""The order of an instance's wait queue: `key(self, waiting: Waiting) -> float` or several numbers, the smallest first."""
preemption = _axis("preemption", "choose", takes_params=False)
"""Who gives way when KV blocks run out: `choose(self, batch: Batch) -> int`, a place in the batch."""
