"""What a reader of the numbers should know, in a form that a program can sort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from kinefit.types.errors import InvalidData

Level = Literal["information", "caution", "refusal"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Finding:
    """One thing to know; all texts are sentences in plain English, empty where there is none.

    level: "information" for what was repaired or assumed and leaves the numbers good, "caution"
        for what limits their use, "refusal" for what makes them unusable.
    what: what happened. where: frames, cameras, joints. meaning: what it means for the numbers.
    action: what to do.
    """

    level: Level
    what: str
    where: str = ""
    meaning: str = ""
    action: str = ""

    def __post_init__(self) -> None:
        texts = (self.what, self.where, self.meaning, self.action)
        if self.level not in LEVELS or not self.what or not all(isinstance(t, str) for t in texts):
            raise InvalidData(f"A finding needs a text and one of {', '.join(LEVELS)}.")

    def __str__(self) -> str:
        """All of it in one line, for a terminal."""
        return " ".join(filter(None, (self.what, self.where, self.meaning, self.action)))

    def to_json(self) -> dict[str, str]:
        """Its fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` gave."""
        return cls(**value)
