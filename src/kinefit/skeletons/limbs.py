"""The limbs whose directions are compared, between points named as in COCO."""

from __future__ import annotations

from typing import NamedTuple


class Limb(NamedTuple):
    """From one named point to another."""

    name: str
    start: str
    end: str


# Part orientation fields (Xiang, Joo & Sheikh 2019, CVPR, "Monocular total capture") on the points
# of COCO: what a network that lifts pictures to directions predicts, in this order.
LIMBS = (
    Limb("left upper arm", "LShoulder", "LElbow"),
    Limb("left forearm", "LElbow", "LWrist"),
    Limb("right upper arm", "RShoulder", "RElbow"),
    Limb("right forearm", "RElbow", "RWrist"),
    Limb("left thigh", "LHip", "LKnee"),
    Limb("left shank", "LKnee", "LAnkle"),
    Limb("right thigh", "RHip", "RKnee"),
    Limb("right shank", "RKnee", "RAnkle"),
    Limb("shoulders", "LShoulder", "RShoulder"),
    Limb("hips", "LHip", "RHip"),
    Limb("left trunk", "LShoulder", "LHip"),
    Limb("right trunk", "RShoulder", "RHip"),
    Limb("left diagonal", "LShoulder", "RHip"),
    Limb("right diagonal", "RShoulder", "LHip"),
)
