"""Who is filmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kinefit.types.errors import InvalidData

Clothing = Literal["tight", "usual"]
"""What the person wears; tight is bare skin or sportswear."""

_HEIGHT_M, _MASS_KG = (0.5, 2.5), (5.0, 400.0)
_ADULT_M = (1.2, 2.3)  # of such statures the units below are told apart by the number alone
_LENGTHS = {"centimetres": 0.01, "millimetres": 0.001, "feet": 0.3048, "inches": 0.0254}
_GRAMS, _POUNDS = 0.001, 0.4536
_RARE_INDEX, _LEAN_INDEX = 45.0, 16.0  # kg/m^2: some people are beyond, few are


@dataclass(frozen=True)
class Subject:
    """Stature in metres and body mass in kilograms.

    Raises InvalidData outside 0.5-2.5 m and 5-400 kg: beyond any living person who walks, so
    a value there is a wrong unit.
    """

    height_m: float
    mass_kg: float

    def __post_init__(self) -> None:
        check_height(self.height_m)
        check_mass(self.mass_kg)

    @property
    def pounds_hint(self) -> str:
        """A sentence where few people have this mass, and it would be usual in pounds; or "".

        >>> Subject(1.78, 165.0).pounds_hint
        'If 165 are pounds, give --mass 75.'
        """
        kilograms, square_m2 = self.mass_kg * _POUNDS, self.height_m**2
        if self.mass_kg / square_m2 > _RARE_INDEX and kilograms / square_m2 > _LEAN_INDEX:
            return f"If {self.mass_kg:g} are pounds, give --mass {kilograms:.0f}."
        return ""


def check_height(metres: float) -> float:
    """The same; raises InvalidData, with the unit that was probably meant, for no stature.

    >>> check_height(178)
    Traceback (most recent call last):
        ...
    kinefit.types.errors.InvalidData: 178 m is not the height of a person. Next: give 1.78 if you \
mean 178 centimetres.
    """
    if _HEIGHT_M[0] <= metres <= _HEIGHT_M[1]:
        return metres
    hint = "give it in metres, e.g. 1.78"
    for low, high in (_ADULT_M, _HEIGHT_M):  # children only where no adult fits
        meant = {u: metres * m for u, m in _LENGTHS.items() if low <= metres * m <= high}
        if meant:
            unit, value = next(iter(meant.items()))
            hint = f"give {value:.2f} if you mean {metres:g} {unit}"
            break
    raise InvalidData(f"{metres:g} m is not the height of a person. Next: {hint}.")


def check_mass(kilograms: float) -> float:
    """The same; raises InvalidData for no mass of a person, with the unit that was meant."""
    if _MASS_KG[0] <= kilograms <= _MASS_KG[1]:
        return kilograms
    hint = "give it in kilograms, e.g. 75"
    if _MASS_KG[0] <= kilograms * _GRAMS <= _MASS_KG[1]:
        hint = f"give {kilograms * _GRAMS:.3g} if you mean {kilograms:g} grams"
    raise InvalidData(f"{kilograms:g} kg is not the mass of a person. Next: {hint}.")
