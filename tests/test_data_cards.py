"""Files that kinefit brings along are those of which their cards tell the origin."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(str(files("kinefit")))
CARDS = [
    card for card in ROOT.rglob("*.md") if re.search(r"\b[0-9a-f]{64}\b", card.read_text("utf-8"))
]


def test_the_cards_are_found() -> None:
    expected = {"weights/augmenter.md", "demo/README.md", "biomech/opensim/models/README.md"}
    assert expected <= {card.relative_to(ROOT).as_posix() for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.relative_to(ROOT).as_posix())
def test_every_hash_is_that_of_a_file_beside_the_card(card: Path) -> None:
    stated = set(re.findall(r"\b[0-9a-f]{64}\b", card.read_text("utf-8")))
    beside = {sha256(p.read_bytes()).hexdigest() for p in card.parent.iterdir() if p.is_file()}
    assert stated <= beside
