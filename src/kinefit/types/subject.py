"""Who is filmed."""

from __future__ import annotations

from dataclasses import dataclass

from kinefit.types.errors import InvalidData


@dataclass(frozen=True)
class Subject:
    """Stature in metres and body mass in kilograms.

    Raises InvalidData outside 0.5-2.5 m and 5-400 kg: beyond any living person who walks, so
    a value there is a wrong unit.
    """

    height_m: float
    mass_kg: float

    def __post_init__(self) -> None:
        if not 0.5 <= self.height_m <= 2.5:
            raise InvalidData(
                f"Height {self.height_m} m is outside 0.5-2.5 m. "
                "Next: give it in metres, e.g. 1.78."
            )
        if not 5 <= self.mass_kg <= 400:
            raise InvalidData(
                f"Mass {self.mass_kg} kg is outside 5-400 kg. Next: give it in kilograms, e.g. 75."
            )
