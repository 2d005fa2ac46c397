"""Random bodies from Anny's parameters.

The ranges are wide: light and heavy, slight and muscular, of both sexes and between, children from
five years on. Bodies of unusual stature are rejected.
"""

from __future__ import annotations

import numpy as np

from kinefit.body.anny import PHENOTYPES
from kinefit.body.model import BodyModel
from kinefit.types import FloatArray, InvalidData

# Metres. Adults: 1st to 99th percentile of ANSUR II (women 1.48-1.78, men 1.59-1.92), with room;
# children of 5 to 14 years: WHO's growth reference, +- 2 SD.
ADULT_STATURE, CHILD_STATURE = (1.45, 2.02), (1.00, 1.75)
# Anny's age: 0 newborn, 1/3 child, 2/3 young adult, 1 old.
_ADULT_AGE, _CHILD_AGE = (2 / 3, 1.0), (0.28, 0.5)
_MEASURE_SD, _MEASURE_MOST = 0.3, 0.7  # of Anny's single measures: proportions of limbs
_TRIES = 200


def sample_shape(body: BodyModel, rng: np.random.Generator, *, child: bool = False) -> FloatArray:
    """(S,) shape parameters of a random person, for Anny (`load_anny`).

    Raises InvalidData for a body without Anny's parameters.
    """
    names = body.shape.names
    if any(name not in names for name in PHENOTYPES):
        raise InvalidData(f"Random people need Anny's shape parameters, which {body.name} lacks.")
    low, high = CHILD_STATURE if child else ADULT_STATURE
    for _ in range(_TRIES):
        shape = _draw(names, rng, child)
        if low <= stature(body, shape) <= high:
            return shape
    raise InvalidData(f"No body of {body.name} with a stature of {low} to {high} m was found.")


def _draw(names: tuple[str, ...], rng: np.random.Generator, child: bool) -> FloatArray:
    values = {
        # Two peaks: most bodies are clearly one or the other.
        "gender": float(np.clip(rng.choice([0.1, 0.9]) + rng.normal(0, 0.12), 0, 1)),
        "age": rng.uniform(*(_CHILD_AGE if child else _ADULT_AGE)),
        "muscle": rng.beta(2.0, 2.0),
        "weight": rng.beta(1.7, 1.7),  # 0.2 is lean, 0.8 obese
        "height": rng.uniform(0.15, 0.75),
        "proportions": rng.beta(2.0, 2.0),
    }
    measures = np.clip(rng.normal(0, _MEASURE_SD, len(names)), -_MEASURE_MOST, _MEASURE_MOST)
    return np.array([values.get(name, m) for name, m in zip(names, measures, strict=True)])


def stature(body: BodyModel, shape: FloatArray) -> float:
    """Metres from the soles to the crown, standing."""
    height = np.asarray(body.rest_vertices(shape))[:, 1]
    return float(height.max() - height.min())


# Kilograms per cubic metre of the whole body, lungs included.
_DENSITY = 1010.0


def mass(body: BodyModel, shape: FloatArray) -> float:
    """Kilograms, from the volume of the mesh (divergence theorem) and a body's mean density."""
    a, b, c = (np.asarray(body.rest_vertices(shape))[corner] for corner in body.faces.T)
    volume = float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)
    return abs(volume) * _DENSITY
