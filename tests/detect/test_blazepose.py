"""The two networks: what is done before and after them, and what they find in real pictures."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinefit.detect import blazepose
from kinefit.detect.blazepose import (
    NAMES,
    LandmarkNetwork,
    PersonNetwork,
    Pose,
    read_model,
    region,
    size_of,
    weights,
)
from kinefit.io.video import Picture, frames
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError

SIZE = (540, 960)
MIRROR = skeleton("blazepose33").mirror()
# Points that are seen in this picture; hands and face are small.
BODY = [NAMES.index(s + p) for s in "LR" for p in ("Shoulder", "Hip", "Knee", "Ankle", "Heel")]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def photo(demo_clip: Path) -> Picture:
    """540 x 960, a person 370 pixels high."""
    picture = next(iter(frames(demo_clip))).rgb
    assert picture is not None
    return picture


@pytest.fixture(scope="module")
def people() -> PersonNetwork:
    return PersonNetwork()


@pytest.fixture(scope="module")
def landmarks() -> LandmarkNetwork:
    return LandmarkNetwork()


@pytest.fixture(scope="module")
def place(people: PersonNetwork, photo: Picture) -> FloatArray:
    return people(photo)[1][0]


@pytest.fixture(scope="module")
def pose(landmarks: LandmarkNetwork, photo: Picture, place: FloatArray) -> Pose:
    return landmarks(photo, place)


class TestAnchors:
    def test_there_is_one_for_each_row_of_the_network(self) -> None:
        anchors = blazepose.anchors(blazepose._FIND, blazepose._GRIDS)
        assert anchors.shape == (2254, 2)  # 28 x 28 x 2 + 14 x 14 x 2 + 7 x 7 x 6
        assert anchors.min() > 0
        assert anchors.max() < 1
        np.testing.assert_allclose(anchors.mean(axis=0), 0.5)

    def test_they_are_the_middles_of_cells_row_by_row(self) -> None:
        anchors = blazepose.anchors(blazepose._FIND, blazepose._GRIDS)
        np.testing.assert_allclose(anchors[:4] * 224, [[4, 4], [4, 4], [12, 4], [12, 4]])
        np.testing.assert_allclose(anchors[2 * 28] * 224, [4, 12])
        np.testing.assert_allclose(anchors[1568] * 224, [8, 8])
        np.testing.assert_allclose(anchors[-6:] * 224, [[208, 208]] * 6)


def boxes(*corners: Any) -> FloatArray:
    """(N, 6, 2) square boxes of (x, y, side) and four points that are told apart by their box."""
    return np.array([
        [[x + s / 2, y + s / 2], [s, s], [x, y], [x + s, y], [x, y + s], [x + s, y + s]]
        for x, y, s in corners
    ])  # fmt: skip


class TestAveraging:
    def test_boxes_that_overlap_are_one_person_weighted_by_score(self) -> None:
        score = np.array([0.6, 0.9, 0.7])
        points = boxes((0.10, 0.1, 0.2), (0.12, 0.1, 0.2), (0.7, 0.7, 0.2))
        best, found = blazepose.average_boxes(score, points)
        assert best.tolist() == [0.9, 0.7]
        np.testing.assert_allclose(found[0], (0.6 * points[0] + 0.9 * points[1]) / 1.5)
        np.testing.assert_allclose(found[1], points[2])

    def test_as_a_naive_loop_says(self) -> None:
        for _ in range(20):
            count = int(RNG.integers(1, 12))
            score = RNG.uniform(0.5, 1, count)
            corners = RNG.uniform((0, 0, 0.1), (0.6, 0.6, 0.4), (count, 3))
            points = boxes(*corners)
            left, expected = list(np.argsort(-score)), []
            while left:
                group = [i for i in left if i == left[0] or self.shared(points, left[0], i) > 0.3]
                weight = sum(score[i] for i in group)
                mean = sum(score[i] * points[i] for i in group) / weight
                expected.append((score[left[0]], mean))
                left = [i for i in left if i not in group]
            best, found = blazepose.average_boxes(score, points)
            np.testing.assert_allclose(best, [s for s, _ in expected])
            np.testing.assert_allclose(found, [p for _, p in expected])

    @staticmethod
    def shared(points: FloatArray, i: int, j: int) -> float:
        """Intersection over union of two boxes."""
        low = np.maximum(points[i, 2], points[j, 2])
        both = np.prod(np.clip(np.minimum(points[i, 5], points[j, 5]) - low, 0, None))
        return float(both / (np.prod(points[i, 1]) + np.prod(points[j, 1]) - both))

    def test_nobody(self) -> None:
        best, found = blazepose.average_boxes(np.empty(0), np.empty((0, 6, 2)))
        assert best.shape == (0,)
        assert found.shape == (0, 6, 2)


class TestHeatmaps:
    def naive(self, xy: FloatArray, heat: np.ndarray) -> FloatArray:
        out = xy.copy()
        for k, (x, y) in enumerate(xy):
            column, row = int(np.floor(x * 64)), int(np.floor(y * 64))
            if not (0 <= column < 64 and 0 <= row < 64):
                continue
            total = best = sum_x = sum_y = 0.0
            for r in range(max(0, row - 3), min(64, row + 4)):
                for c in range(max(0, column - 3), min(64, column + 4)):
                    p = 1 / (1 + np.exp(-float(heat[r, c, k])))
                    total, best = total + p, max(best, p)
                    sum_x, sum_y = sum_x + p * c, sum_y + p * r
            if best >= 0.5:
                out[k] = sum_x / total / 64, sum_y / total / 64
        return out

    def test_as_a_naive_loop_says(self) -> None:
        for _ in range(10):
            xy = RNG.uniform(-0.1, 1.1, (39, 2))  # some beyond the borders, many near them
            heat = RNG.normal(-3, 2, (64, 64, 39)).astype(np.float32)
            heat[..., ::3] -= 8  # no peak: not moved
            found = blazepose._refined(xy, heat)
            np.testing.assert_allclose(found, self.naive(xy, heat), atol=1e-9)
            moved = (found != xy).any(axis=1)
            assert moved.any()
            assert not moved[::3].any()

    def test_a_peak_draws_the_landmark(self) -> None:
        heat = np.full((64, 64, 39), -20, np.float32)
        heat[31, 20, 5] = 20
        xy = np.full((39, 2), 0.34)
        xy[:, 1] = 0.5
        found = blazepose._refined(xy, heat)
        np.testing.assert_allclose(found[5], [20 / 64, 31 / 64], atol=1e-6)
        np.testing.assert_array_equal(np.delete(found, 5, axis=0), np.delete(xy, 5, axis=0))


class TestRegion:
    @pytest.mark.parametrize("degrees", [0, 37, 90, 180, -120])
    def test_the_person_stands_upright_in_its_middle(self, degrees: float) -> None:
        turn = np.radians(degrees)
        middle, radius = np.array([300.0, 200.0]), 120.0
        above = middle + radius * np.array([np.sin(turn), -np.cos(turn)])
        into = region(np.concatenate([middle, above]))
        np.testing.assert_allclose(into @ [128, 128, 1], middle, atol=1e-9)
        # The circle is 1 / 1.25 of the half side above the middle.
        np.testing.assert_allclose(into @ [128, 128 - 128 / 1.25, 1], above, atol=1e-9)
        # It is turned and scaled, not mirrored.
        assert np.linalg.det(into[:, :2]) == pytest.approx((2 * 1.25 * radius / 256) ** 2)
        np.testing.assert_allclose(into[:, 0] @ into[:, 1], 0, atol=1e-12)

    def test_size(self) -> None:
        assert size_of(np.array([10.0, 20, 13, 16])) == 5
        assert size_of(np.array([10.0, 20, 10, 20])) == 1  # never 0

    def test_a_place_finds_itself_again(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray
    ) -> None:
        """The place that a pose tells leads to the same pose."""
        for _ in range(3):
            place = landmarks(photo, place).place
        again = landmarks(photo, place)
        assert np.abs(again.place - place).max() < 0.02 * size_of(place)


def turned(picture: Picture, place: FloatArray, into: FloatArray, size: tuple[int, int]):
    """The picture and the place under an affine map (2, 3) that takes pixels to pixels."""
    how = {"flags": cv2.INTER_NEAREST, "borderMode": cv2.BORDER_REPLICATE}
    image = cv2.warpAffine(picture, into, size, **how)
    moved = place.reshape(2, 2) @ into[:, :2].T + into[:, 2]
    return image, moved.ravel()


class TestGeometry:
    W, H = SIZE

    @pytest.mark.parametrize(
        ("into", "size"),
        [
            ([[-1, 0, 539], [0, -1, 959]], SIZE),  # upside down
            ([[0, -1, 959], [1, 0, 0]], SIZE[::-1]),  # a quarter to the right
            ([[1, 0, 37], [0, 1, 51]], (SIZE[0] + 37, SIZE[1] + 51)),  # aside
        ],
    )
    def test_a_picture_that_is_turned_or_shifted(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray, pose: Pose,
        into: list[list[float]], size: tuple[int, int],
    ) -> None:  # fmt: skip
        """The network sees the same pixels; so landmarks are the same, to the last digits."""
        matrix = np.array(into, float)
        found = landmarks(*turned(photo, place, matrix, size))
        expected = pose.values[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(found.values[:, :2] - expected).max() < 0.05
        rotation = matrix[:, :2]
        metres = pose.values[:, 3:5] @ rotation.T
        assert np.abs(found.values[:, 3:5] - metres).max() < 1e-3
        np.testing.assert_allclose(found.values[:, 5], pose.values[:, 5], atol=1e-3)
        np.testing.assert_allclose(found.values[:, 2], pose.values[:, 2], atol=1e-3)
        np.testing.assert_allclose(
            found.place, (pose.place.reshape(2, 2) @ rotation.T + matrix[:, 2]).ravel(), atol=0.05
        )

    def test_the_whole_chain_has_pixel_centres_at_integers(
        self, people: PersonNetwork, landmarks: LandmarkNetwork, demo_clip: Path
    ) -> None:
        """Turned by 180 degrees, x + x' is width - 1; with centres at halves it would be width.

        Searching sees another picture then, and so does the landmark network: single points
        differ by pixels, the median over pictures does not.
        """
        off = []
        for frame in frames(demo_clip):
            if frame.index % 8 or frame.rgb is None:
                continue
            both = []
            for picture in (frame.rgb, np.ascontiguousarray(frame.rgb[::-1, ::-1])):
                both.append(landmarks(picture, people(picture)[1][0]).values[:, :2])
            off.append(both[0] + both[1] - (539, 959))
        assert np.abs(np.median(np.concatenate(off), axis=0)).max() < 0.3

    @pytest.mark.parametrize("factor", [2, 3])
    def test_a_larger_picture_has_the_same_landmarks(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray, factor: int
    ) -> None:
        """Pixel i of the small one is the middle of n in the large one: n i + (n - 1) / 2."""
        soft = cv2.GaussianBlur(photo, (0, 0), 3)  # so that it does not matter which are skipped
        large = cv2.resize(soft, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        one = landmarks(soft, place).values
        found = landmarks(large, factor * place + (factor - 1) / 2).values
        off = (found[:, :2] - (factor - 1) / 2) / factor - one[:, :2]
        # Half a pixel of the large picture would be 0.25 and 0.17 here, in all points.
        assert np.abs(np.median(off[BODY], axis=0)).max() < 0.1
        assert np.median(np.linalg.norm(off[BODY], axis=1)) < 0.3  # single points: 1.4
        assert np.abs(found[BODY, 3:] - one[BODY, 3:]).max() < 0.02

    def test_places_at_and_beyond_the_border(
        self, landmarks: LandmarkNetwork, photo: Picture
    ) -> None:
        """Nothing breaks, and nobody is there; in a picture of a few pixels neither."""
        for place in ([-900, -900, -900, -1100], [5000, 480, 5000, 280], [539, 959, 539, 99]):
            found = landmarks(photo, np.array(place, float))
            assert np.isfinite(found.values).all()
        for shape in ((1, 1, 3), (3, 2, 3), (5, 400, 3)):
            picture = np.full(shape, 128, np.uint8)
            found = landmarks(picture, np.array([100.0, 100, 100, -1000]))
            assert np.isfinite(found.values).all()
            assert not found.found


class TestMirror:
    def test_a_mirrored_look_is_that_at_a_mirrored_picture(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray
    ) -> None:
        """Looking into the mirror at the person, or at their mirror image and exchanging sides."""
        seen = landmarks(photo, place, mirrored=True)
        flipped = np.ascontiguousarray(photo[:, ::-1])
        x, y, cx, cy = place
        image = landmarks(flipped, np.array([539 - x, y, 539 - cx, cy])).values[MIRROR]
        # The network's picture begins half a pixel further: its middle is at 128, not 127.5.
        away = np.abs(seen.values[:, :2] - np.column_stack([539 - image[:, 0], image[:, 1]]))
        assert np.median(away) < 1
        assert np.median(np.abs(seen.values[:, 3:] - image[:, 3:] * [-1, 1, 1])) < 0.01

    def test_left_stays_left(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray, pose: Pose
    ) -> None:
        # He faces the camera: his left is on the right of the image, in the mirror as well.
        seen = landmarks(photo, place, mirrored=True)
        for found in (pose, seen):
            for part in ("Shoulder", "Hip"):
                left, right = (found.values[NAMES.index(s + part)] for s in "LR")
                assert left[0] > right[0] + 20
                assert left[3] > right[3] + 0.1
        away = np.linalg.norm(seen.values[BODY, :2] - pose.values[BODY, :2], axis=1)
        assert away.max() < 0.05 * pose.size
        np.testing.assert_allclose(seen.place, pose.place, atol=0.05 * pose.size)

    def test_both_ways_are_averaged(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray
    ) -> None:
        one, two = (landmarks(photo, place, mirrored=m) for m in (False, True))
        both, half = landmarks.both_ways(photo, place)
        kept = np.linalg.norm((two.values - one.values)[:, :2], axis=1) < 0.1 * one.size
        kept &= np.linalg.norm((two.values - one.values)[:, 3:], axis=1) < 0.25
        assert kept[BODY].all()
        np.testing.assert_allclose(both.values[kept], (one.values + two.values)[kept] / 2)
        np.testing.assert_array_equal(both.values[~kept], one.values[~kept])
        np.testing.assert_allclose(one.values + half, both.values, atol=1e-12)
        np.testing.assert_array_equal(both.place, one.place)

    def test_what_the_mirror_shows_elsewhere_is_not_averaged(
        self, landmarks: LandmarkNetwork, photo: Picture, place: FloatArray,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """Sides exchanged in one of two looks: an average would be neither."""
        first = Pose(np.zeros((33, 6)), np.array([0.0, 0, 0, -100]), 1.0)
        second = np.zeros((33, 6))
        second[0, 0] = 9.9  # within 10 % of the size
        second[1, 0] = 10.1  # beyond
        second[2, 5] = 0.24
        second[3, 5] = 0.26
        second[4, 2] = 1.0
        other = Pose(second, first.place, 1.0)
        monkeypatch.setattr(
            LandmarkNetwork,
            "__call__",
            lambda s, r, p, mirrored=False: other if mirrored else first,
        )
        both, half = landmarks.both_ways(photo, place)
        assert both.values[0, 0] == 4.95
        assert not both.values[[1, 3]].any()
        assert both.values[2, 5] == 0.12
        assert both.values[4, 2] == 0.5
        np.testing.assert_array_equal(half, both.values)

    def test_scores_stay_in_0_to_1(self) -> None:
        values = np.full((33, 6), 0.9)
        moved = Pose(values, np.zeros(4), 1.0).moved(np.full((33, 6), 0.3))
        assert moved.values[:, 2].max() == 1
        assert moved.values[:, 0].min() == pytest.approx(1.2)
        assert (values == 0.9).all()


class TestPersonNetwork:
    def test_the_subject_is_found_first(
        self, people: PersonNetwork, photo: Picture, pose: Pose
    ) -> None:
        scores, places = people(photo)
        assert (np.diff(scores) <= 0).all()
        assert scores[0] > 0.8
        # The landmark network says the same of the place, to a tenth of the size.
        assert np.linalg.norm((places[0] - pose.place)[:2]) < 0.1 * pose.size
        assert size_of(places[0]) == pytest.approx(pose.size, rel=0.15)

    def test_a_square_of_the_picture(
        self, people: PersonNetwork, photo: Picture, place: FloatArray
    ) -> None:
        """The same person, from a square around them, in pixels of the whole picture."""
        side = 2.5 * size_of(place)
        square = np.array([*(place[:2] - side / 2), side])
        scores, places = people(photo, square)
        assert scores[0] > 0.8
        assert np.linalg.norm(places[0] - place) < 0.1 * size_of(place)
        x, y = (place[:2] - 250).astype(int)
        part = np.ascontiguousarray(photo[max(y, 0) : y + 500, max(x, 0) : x + 500])
        inside = people(part)[1][0] + np.tile([max(x, 0), max(y, 0)], 2)
        assert np.linalg.norm(inside - place) < 0.15 * size_of(place)

    def test_nobody(self, people: PersonNetwork) -> None:
        for grey in (0, 128, 255):
            scores, places = people(np.full((120, 200, 3), grey, np.uint8))
            assert scores.shape == (0,)
            assert places.shape == (0, 4)

    def test_a_clear_person_is_one(self, people: PersonNetwork, photo: Picture) -> None:
        scores, _ = people(photo)
        assert (scores > 0.8).sum() == 1


class TestPose:
    def test_feet_are_down_and_left_is_left(self, pose: Pose) -> None:
        heights = [
            np.mean([pose.values[NAMES.index(s + p), 1] for s in "LR"])
            for p in ("Shoulder", "Hip", "Knee", "Heel")
        ]
        assert (np.diff(heights) > 30).all()

    def test_the_body_is_in_camera_axes_from_the_mid_hip(self, pose: Pose) -> None:
        def middle(part: str) -> FloatArray:
            return np.mean([pose.values[NAMES.index(s + part), 3:] for s in "LR"], axis=0)

        assert np.linalg.norm(middle("Hip")) < 0.01
        up = middle("Shoulder") - middle("Hip")
        assert up[1] < 0  # y is down
        assert 0.4 < np.linalg.norm(up) < 0.6  # of an adult
        front = middle("BigToe") - middle("Heel")
        left = pose.values[NAMES.index("LHip"), 3:] - pose.values[NAMES.index("RHip"), 3:]
        assert front[2] < 0  # towards the camera
        assert np.cross(up, front) @ left > 0

    def test_nobody_at_a_wall(self, landmarks: LandmarkNetwork) -> None:
        wall = np.full((400, 400, 3), 128, np.uint8)
        assert not landmarks(wall, np.array([200.0, 200, 200, 50])).found

    def test_equal_looks_are_equal_bytes(
        self, photo: Picture, place: FloatArray, pose: Pose
    ) -> None:
        again = LandmarkNetwork()
        for _ in range(2):
            assert again(photo, place).values.tobytes() == pose.values.tobytes()


def test_masks(photo: Picture, place: FloatArray, pose: Pose) -> None:
    assert pose.mask is None  # it was not asked for
    mask = LandmarkNetwork(masks=True)(photo, place).mask
    assert mask is not None
    assert mask.shape == (256, 256)
    assert mask.min() >= 0
    assert mask.max() <= 1
    into = region(place)
    back = np.linalg.inv(np.vstack([into, [0, 0, 1]]))[:2]
    for name in ("LShoulder", "RShoulder", "LHip", "RHip", "LKnee"):
        u, v = back @ [*pose.values[NAMES.index(name), :2], 1]
        assert mask[round(v), round(u)] > 0.8, name
    assert mask[:20].mean() < 0.2  # above the head
    assert 0.05 < (mask > 0.5).mean() < 0.5


def test_loading_the_networks_says_nothing_on_standard_error() -> None:
    code = """
import os, sys
from kinefit.detect.blazepose import LandmarkNetwork, PersonNetwork
import numpy as np
PersonNetwork()(np.zeros((64, 64, 3), np.uint8))
LandmarkNetwork()(np.zeros((64, 64, 3), np.uint8), np.array([32., 32, 32, 0]))
print("to stderr", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == "to stderr\n"
    assert done.stdout == ""


class TestReadModel:
    def refused(self, path: Path, reason: str) -> None:
        with pytest.raises(InputError, match=reason) as caught:
            read_model(path)
        assert path.name in str(caught.value)
        assert "pose_landmark" in caught.value.hint

    def test_a_network_and_a_bundle_with_one(self, tmp_path: Path) -> None:
        content = weights("pose_landmark_full")
        plain, task = tmp_path / "net.tflite", tmp_path / "net.TASK"
        plain.write_bytes(content)
        with zipfile.ZipFile(task, "w") as bundle:
            bundle.writestr("pose_landmarks_detector.tflite", content)
        assert read_model(plain) == read_model(task) == content

    def test_missing_and_unreadable(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.tflite", "cannot be read")
        self.refused(tmp_path / "none.task", "cannot be read")
        (tmp_path / "folder.tflite").mkdir()
        self.refused(tmp_path / "folder.tflite", "is a folder")

    @pytest.mark.parametrize("name", ["text.tflite", "text.task", "empty.tflite", "empty.task"])
    def test_not_a_model(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"" if "empty" in name else b"nothing of the kind" * 100)
        self.refused(tmp_path / name, "is empty" if "empty" in name else "it is not")

    def test_a_cut_off_or_damaged_network(self, tmp_path: Path) -> None:
        content = weights("pose_landmark_full")
        (tmp_path / "half.tflite").write_bytes(content[: len(content) // 2])
        self.refused(tmp_path / "half.tflite", "it is not")

    def test_another_network(self, tmp_path: Path) -> None:
        (tmp_path / "people.tflite").write_bytes(weights("pose_detection"))
        self.refused(tmp_path / "people.tflite", "not BlazePose's landmark network")

    def test_another_network_of_the_same_input(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Other networks look at 256 pixels, too; what they say is something else."""
        (tmp_path / "faces.tflite").write_bytes(weights("pose_detection"))
        monkeypatch.setattr(blazepose, "_LOOK", 224)
        self.refused(tmp_path / "faces.tflite", r"no output of shape \(195,\)")

    def test_bundles_without_it_or_with_too_much(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with zipfile.ZipFile(tmp_path / "other.task", "w") as bundle:
            bundle.writestr("pose_detector.tflite", b"x")
        self.refused(tmp_path / "other.task", "it is not a model")
        with zipfile.ZipFile(tmp_path / "bomb.task", "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("pose_landmarks_detector.tflite", bytes(10**6))  # 1 kB in the file
        monkeypatch.setattr(blazepose, "_MAX_MODEL_BYTES", 10**6 - 1)
        self.refused(tmp_path / "bomb.task", "too large")

    def test_a_bundle_that_lies_about_its_size(self, tmp_path: Path) -> None:
        """The size in the directory is less than what is unpacked: refused by its checksum."""
        path = tmp_path / "liar.task"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("pose_landmarks_detector.tflite", bytes(10**5))
        data = path.read_bytes()
        told, less = (10**5).to_bytes(4, "little"), (1000).to_bytes(4, "little")
        assert told in data
        path.write_bytes(data.replace(told, less))
        self.refused(path, "it is not a model")
