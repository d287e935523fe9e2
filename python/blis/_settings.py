"""From what a caller gives to the settings that the simulator reads."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

from . import _blis
from ._problems import BlisError, BlisWarning, Problem

Config = Union[Mapping[str, Any], str, "os.PathLike[str]", None]
"""Settings: a mapping from flags to values, the path of a YAML file with one, or its text."""


def merged(config: Config, flags: Mapping[str, Any]) -> str:
    """The settings as JSON; what is given as flags goes before what the configuration says."""
    settings = dict(loaded(config))
    for name, value in flags.items():
        settings = {key: old for key, old in settings.items() if _flag(key) != _flag(name)}
        settings[name] = value
    return json.dumps(settings, default=_plain, allow_nan=False)


def loaded(config: Config) -> Mapping[str, Any]:
    """The settings as a mapping."""
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return config
    text, name = os.fspath(config), "config"
    # A text of YAML has a colon and a space or a newline, or both; a path that has them can be given as a Path.
    if isinstance(config, os.PathLike) or not (": " in text or "\n" in text):
        name = text
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise BlisError([Problem(f"cannot read {name}: {error.strerror}")]) from error
    settings = json.loads(_blis.parse(text, name))
    if not isinstance(settings, dict):
        raise BlisError([Problem("there must be a mapping from flags to values", file=name)])
    return settings


def _flag(name: str) -> str:
    return name.lstrip("-").replace("_", "-")


def _plain(value: object) -> object:
    """Numbers of NumPy, paths and the like."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, range)):
        return list(value)
    for method in ("item", "tolist"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise BlisError([Problem(f"{value!r} is no value of a setting")])


def warn(told: list[str], stacklevel: int = 3) -> None:
    for text in told:
        warnings.warn(text, BlisWarning, stacklevel=stacklevel)
