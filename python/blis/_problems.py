"""What can be wrong, as the command line says it."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with what was given."""

    message: str
    """What is wrong: the setting's name, its value and what is allowed."""
    file: str | None = None
    """The file in which it lies."""
    line: int | None = None
    """Line in it, counted from 1."""
    column: int | None = None
    """Column in characters, counted from 1."""
    help: str | None = None
    """What to do about it."""

    def __str__(self) -> str:
        place = [str(part) for part in (self.file, self.line, self.column) if part is not None]
        text = ":".join(place) + ": " + self.message if self.file is not None else self.message
        return text if self.help is None else f"{text}; {self.help}"


class BlisError(ValueError):
    """Everything that is wrong with what was given. Its text is what the command line prints, a line for each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[BlisError], tuple[list[Problem]]]:
        return (type(self), (self.problems,))

    @classmethod
    def of(cls, fields: list[tuple[str, str | None, int | None, int | None, str | None]]) -> BlisError:
        return cls([Problem(*one) for one in fields])


class BlisWarning(UserWarning):
    """What one should know, as the command line says it."""
