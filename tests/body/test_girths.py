"""Girths: a tape around bodies whose cuts are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.body.girths import GIRTHS, girths
from kinefit.body.model import BodyModel


def _tube(radius: float, x: float, low: float, high: float, sides: int = 200):
    """Vertices and faces of an upright tube."""
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([x + radius * np.cos(angle), np.zeros(sides), radius * np.sin(angle)])
    up = np.array([0.0, 1.0, 0.0])
    a, b = np.arange(sides), (np.arange(sides) + 1) % sides
    faces = np.concatenate([np.column_stack([a, b, a + sides]),
                            np.column_stack([b, b + sides, a + sides])])  # fmt: skip
    return np.concatenate([ring + low * up, ring + high * up]), faces


def _body() -> BodyModel:
    """A trunk of 15 cm radius, an arm beside it, and a left leg of 8 cm."""
    body = load_anny()
    rest = body.rest_joints(body.shape.neutral)
    at = {a: rest[body.joint_names.index(b)] for a, b in body.anatomy.items()}
    parts = [
        (*_tube(0.15, 0.0, at["LHip"][1] - 0.2, at["LShoulder"][1] + 0.1), "Spine1"),
        (*_tube(0.05, 0.5, 0.0, 2.0), "LElbow"),
        (*_tube(0.08, at["LHip"][0], 0.0, at["LHip"][1] - 0.01), "LHip"),
    ]
    first = np.cumsum([0, *(len(v) for v, _, _ in parts)])
    owner = np.concatenate(
        [np.full(len(v), body.joint_names.index(body.anatomy[joint])) for v, _, joint in parts]
    )
    vertices = np.concatenate([v for v, _, _ in parts])
    plain = body.fixed(body.shape.neutral)
    return replace(
        plain,
        vertices=vertices, vertex_dirs=np.zeros((0, *vertices.shape)),
        faces=np.concatenate([f + k for (_, f, _), k in zip(parts, first[:-1], strict=True)]),
        skin_joints=owner[:, None], skin_weights=np.ones((len(vertices), 1)),
    )  # fmt: skip


def test_tubes_have_their_circumference() -> None:
    found = girths(_body(), np.zeros(0))
    # A polygon of 200 sides is 0.004 % shorter than its circle; the arm is not in the tape.
    assert found["chest"] == pytest.approx(2 * np.pi * 0.15, rel=1e-3)
    assert found["waist"] == pytest.approx(2 * np.pi * 0.15, rel=1e-3)
    assert found["thigh"] == pytest.approx(2 * np.pi * 0.08, rel=1e-3)


def test_a_heavier_body_is_wider_everywhere() -> None:
    body = load_anny()
    light, heavy = body.shape.neutral.copy(), body.shape.neutral.copy()
    weight = body.shape.names.index("weight")
    light[weight], heavy[weight] = 0.2, 0.8
    a, b = girths(body, light), girths(body, heavy)
    assert tuple(a) == GIRTHS
    assert all(b[name] > 1.03 * a[name] for name in GIRTHS)  # chest 4 %, waist 10 %


def test_a_body_without_these_joints_has_none() -> None:
    assert girths(replace(load_anny(), anatomy={}), load_anny().shape.neutral) == {}
