"""What the command line does, as functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from . import _blis
from ._settings import Config, loaded, merged, warn

Policies = Sequence[type]
"""Classes that `blis.policy` made policies."""


class Result:
    """What a run gave."""

    def __init__(self, run: _blis.Run) -> None:
        self._run = run

    @property
    def json(self) -> str:
        """What `blis run --format json` prints."""
        return self._run.document

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The same as a dictionary."""
        document: dict[str, Any] = json.loads(self._run.document)
        return document

    @cached_property
    def figures(self) -> dict[str, float | None]:
        """Every figure that sweeps know, by name; None where the run does not show it."""
        return self._run.figures()

    @cached_property
    def settings(self) -> dict[str, str]:
        """Every setting of the run with its value."""
        return {name: value for name, value, _ in self._run.settings()}

    @cached_property
    def sources(self) -> dict[str, str]:
        """Where each of them comes from: given, catalogue, model-config, engine, computed or default."""
        return {name: source for name, _, source in self._run.settings()}

    def requests(self) -> _blis.Table:
        """A row for every request."""
        return self._requests

    @cached_property
    def _requests(self) -> _blis.Table:
        return self._run.requests()

    def __repr__(self) -> str:
        requests = self.summary["requests"]
        return f"<blis.Result: {requests['completed']} of {requests['injected']} requests completed>"


class Sweep:
    """What a sweep found."""

    def __init__(self, job: _blis.SweepJob, done: Sequence[_blis._Trial]) -> None:
        self._job = job
        self._done = done

    @property
    def json(self) -> str:
        """What `blis sweep --format json` prints."""
        return self._job.document(self._done)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The same as a dictionary."""
        document: dict[str, Any] = json.loads(self.json)
        return document

    @cached_property
    def trials(self) -> _blis.Table:
        """A row for every trial: its number, its settings and every figure."""
        return self._job.table(self._done)

    @cached_property
    def front(self) -> list[dict[str, Any]]:
        """The trials that no other beats and that meet the SLO, by the first objective; empty without objectives."""
        place = {trial[0]: n for n, trial in enumerate(sorted(self._done))}
        return [self.trials.row(place[number]) for number in self._job.front(self._done)]

    @property
    def best(self) -> dict[str, Any] | None:
        """The first of them."""
        return self.front[0] if self.front else None

    def __len__(self) -> int:
        return len(self._done)

    def __repr__(self) -> str:
        return f"<blis.Sweep of {len(self)} trials>"


class Plan:
    """The answer to a question for a number of instances or a rate."""

    def __init__(self, document: str) -> None:
        self.json = document
        """What `blis plan --format json` prints."""

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The same as a dictionary."""
        document: dict[str, Any] = json.loads(self.json)
        return document


class Comparison(Plan):
    """How configurations differ; `json` is what `blis compare --format json` prints."""


def run(config: Config = None, *, policies: Policies = (), **flags: Any) -> Result:
    """Simulates synthesised traffic, as `blis run` does; flags are written with underscores.

    Files of settings such as `policy_config` and `workload_spec` may be given as mappings.
    """
    run, told = _blis.simulate("run", merged(config, flags), policies)
    warn(told)
    return Result(run)


def replay(config: Config = None, *, policies: Policies = (), **flags: Any) -> Result:
    """Simulates the traffic of a recorded trace, as `blis replay` does."""
    run, told = _blis.simulate("replay", merged(config, flags), policies)
    warn(told)
    return Result(run)


def plan(config: Config = None, *, policies: Policies = (), **flags: Any) -> Plan:
    """Finds how many instances meet an SLO, or what rate so many bear, as `blis plan` does.

    Choices of a flag are given as `{"try": {"tp": [1, 2]}}`.
    """
    document, told = _blis.plan(merged(config, flags), policies)
    warn(told)
    return Plan(document)


def sweep(
    config: Config = None,
    *,
    policies: Policies = (),
    progress: Callable[[int, int], object] | None = None,
    **flags: Any,
) -> Sweep:
    """Tries many configurations, as `blis sweep` does: `set={"tp": [1, 2], "max-num-seqs": "log:16..512/6"}`.

    `progress` is told how many trials of how many are done. With `results="FOLDER"` trials are kept as they come, and the
    same call goes on where it was.
    """
    job = _blis.SweepJob(merged(config, flags), policies)
    warn(job.told)
    done, told = job.run(progress)
    warn(told)
    return Sweep(job, done)


def compare(*configs: Config, policies: Policies = (), **flags: Any) -> Comparison:
    """Runs configurations with the same traffic and seeds, as `blis compare` does; `flags` are common to all.

    A configuration may have a `name`.
    """
    named: list[tuple[str, str]] = []
    for number, config in enumerate(configs, 1):
        settings = dict(loaded(config))
        is_file = config is not None and not isinstance(config, Mapping) and Path(config).is_file()
        name = Path(config).stem if is_file else f"configuration {number}"  # type: ignore[arg-type]
        named.append((str(settings.pop("name", name)), merged(settings, {})))
    document, told = _blis.compare(named, merged(None, flags), policies)
    warn(told)
    return Comparison(document)
