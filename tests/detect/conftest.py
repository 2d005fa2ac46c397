"""What the tests of detectors share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .people_pictures import Cutout, pictures_of


@pytest.fixture(scope="session")
def person(demo_clip: Path) -> Cutout:
    """The demo's subject, cut out of the first picture."""
    return Cutout(pictures_of(demo_clip, 1)[0])
