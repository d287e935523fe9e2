"""Simulates clusters of LLM servers.

    >>> import blis
    >>> result = blis.run(model="qwen/qwen3-14b", rate=20, num_requests=500)
    >>> result.figures["ttft_p99_ms"]
"""

from . import policy
from ._api import Comparison, Plan, Result, Sweep, compare, plan, replay, run, sweep
from ._blis import Column, Table, version
from ._problems import BlisError, BlisWarning, Problem

__all__ = [
    "BlisError", "BlisWarning", "Column", "Comparison", "Plan", "Problem", "Result", "Sweep", "Table", "compare", "plan",
    "policy", "replay", "run", "sweep", "version",
]  # fmt: skip
__version__ = version
