"""2D pose JSON of other programs: layouts as their own code writes them, and hostile input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinefit.io import people as people_module
from kinefit.io.people import People, of_one_set
from kinefit.io.pose_json import read_alphapose, read_coco, read_mmpose, read_openpose
from kinefit.skeletons import KeypointSet, keypoint_sets, skeleton
from kinefit.types import InputError, InvalidData

Reader = Callable[..., People]


def body(count: int = 17, base: float = 100.0, score: float = 0.9) -> list[float]:
    """x, y, score of `count` points; point j at (base + j, base + 2 j)."""
    return [v for j in range(count) for v in (base + j, base + 2 * j, score)]


def dump(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def openpose_frame(*persons: list[float], ids: tuple[int, ...] = ()) -> dict[str, Any]:
    numbers = ids or (-1,) * len(persons)
    entries = [
        {"person_id": [i], "pose_keypoints_2d": p, "face_keypoints_2d": []}
        for i, p in zip(numbers, persons, strict=True)
    ]
    return {"version": 1.3, "people": entries}


def mmpose_instances(*persons: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "keypoints": [p[i : i + 2] for i in range(0, len(p), 3)],
            "keypoint_scores": p[2::3],
            "bbox": [[0, 0, 10, 10]],
            "bbox_score": 0.9,
        }
        for p in persons
    ]


def test_openpose_folder(tmp_path: Path) -> None:
    missing = body(25)
    missing[3:6] = [0, 0, 0]
    dump(tmp_path / "walk_000000000000_keypoints.json", openpose_frame(missing, body(25, 300)))
    dump(tmp_path / "walk_000000000002_keypoints.json", openpose_frame())
    dump(tmp_path / "walk_000000000010_keypoints.json", openpose_frame([], body(25, 200)))
    dump(tmp_path / "settings.json", {"not": "a frame"})
    people = read_openpose(tmp_path)
    assert people.names == skeleton("body25").points
    assert people.frame.tolist() == [0, 2, 10]
    assert [p.shape for p in people.points] == [(2, 25, 3), (0, 25, 3), (1, 25, 3)]
    assert np.isnan(people.points[0][0, 1]).all()
    assert people.points[2][0, 3].tolist() == [203, 206, 0.9]
    with pytest.raises(ValueError, match="read-only"):
        people.points[0][0] = 0


def test_openpose_layout_of_pose2sim(tmp_path: Path) -> None:
    """Halpe-26 points, no `_keypoints` in the names, identities given."""
    dump(tmp_path / "cam01_000007.json", openpose_frame(body(26), body(26, 50), ids=(1, 0)))
    people = read_openpose(tmp_path)
    assert people.names == skeleton("halpe26").points
    assert people.frame.tolist() == [7]


# A standing person as in a picture, pixels; the left side is at larger x, as seen from the front.
STANDING = {
    "Nose": (0, 20), "Eye": (4, 16), "Ear": (9, 19), "Head": (0, 0), "UpperNeck": (0, 36),
    "Neck": (0, 48), "Thorax": (0, 48), "NeckBase": (0, 36), "Spine": (0, 100), "Hip": (0, 142),
    "Shoulder": (25, 48), "Elbow": (30, 98), "Wrist": (33, 143), "SideHip": (13, 142),
    "Knee": (15, 214), "Ankle": (16, 286), "Heel": (14, 303), "BigToe": (24, 308),
    "SmallToe": (29, 304), "EyeInner": (2, 16), "EyeOuter": (5, 16), "Mouth": (3, 27),
    "Pinky": (35, 158), "Index": (34, 160), "Thumb": (31, 153),
}  # fmt: skip


def standing(names: tuple[str, ...], count: int, hidden: tuple[str, ...] = ()) -> list[float]:
    """x, y, score of a person in that order, the rest of `count` points at the nose."""
    flat: list[float] = []
    for name in names:
        sided = name not in STANDING and name[0] in "LR"
        part = "SideHip" if name in ("LHip", "RHip") else name[sided:]
        x, y = STANDING.get(part, (0, 20))  # whatever a body has besides
        gone = any(word in name for word in hidden)
        flat += [0, 0, 0] if gone else [500 + (-x if sided and name[0] == "R" else x), 300 + y, 0.9]
    return flat + [500, 320, 0.9] * (count - len(names))


SHARED = [
    (told, n)
    for told in keypoint_sets()
    for n in told.counts
    if sum(n in other.counts for other in keypoint_sets()) > 1
]


def test_points_that_are_null_or_nan_are_missing(tmp_path: Path) -> None:
    flat = standing(skeleton("body25").points, 25)
    flat[3], flat[7], flat[11], flat[14] = None, float("nan"), None, -0.1
    file = dump(tmp_path / "a.json", openpose_frame(flat))
    missing = np.isnan(read_openpose(file).points[0][0])
    assert missing[1:5].all()
    assert not missing[5:].any()


@pytest.mark.parametrize(
    ("scale", "note"), [(100, "Scores, up to 90, were read as percent."), (3, "")]
)
def test_scores_in_percent(scale: float, note: str, tmp_path: Path) -> None:
    """Those of some older models are over 1 and count as 1."""
    flat = standing(skeleton("body25").points, 25)
    flat[2::3] = [0.3 * scale, *[0.9 * scale] * 24]
    people = read_openpose(dump(tmp_path / "a.json", openpose_frame(flat)))
    expected = [0.3, 0.9] if note else [0.9, 1.0]
    np.testing.assert_allclose(people.points[0][0, :2, 2], expected)
    assert people.notes == ((note,) if note else ())


def test_one_damaged_score_changes_no_other(tmp_path: Path) -> None:
    flat = standing(skeleton("body25").points, 25)
    for scale, damage in ((1, 50), (1, 1e5), (100, 1e5)):
        flat[2::3] = [damage, *[0.9 * scale] * 24]
        people = read_openpose(dump(tmp_path / "a.json", openpose_frame(flat)))
        np.testing.assert_allclose(people.points[0][0, :2, 2], [1, 0.9])


def test_scores_that_are_no_percent_are_refused(tmp_path: Path) -> None:
    flat = standing(skeleton("body25").points, 25)
    flat[2::3] = [255.0] * 25
    with pytest.raises(InputError, match="neither shares nor percent"):
        read_openpose(dump(tmp_path / "a.json", openpose_frame(flat)))


def test_files_of_another_program_are_told(tmp_path: Path) -> None:
    layouts = {
        "openpose": openpose_frame([1, 2, 0.9] * 25),
        "mmpose": [{"frame_id": 0, "instances": []}],
        "coco": {"images": [], "annotations": []},
        "alphapose": [{"image_id": 0, "keypoints": [1, 2, 0.9] * 17}],
    }
    readers = {"openpose": read_openpose, "mmpose": read_mmpose, "alphapose": read_alphapose}
    for program, content in layouts.items():
        file = dump(tmp_path / f"{program}_keypoints.json", content)
        for other, read in readers.items():
            if other != program and (other, program) != ("alphapose", "mmpose"):
                with pytest.raises(InputError, match=f"--detector {program}"):
                    read(file)
    with pytest.raises(InputError, match="an entry has no image_id"):
        read_coco(dump(tmp_path / "yolo.json", [{"keypoints": {"x": [], "y": []}}]))


def test_mmpose_of_a_folder_of_pictures(tmp_path: Path) -> None:
    person = {"keypoints": [[k, 2 * k] for k in range(17)], "keypoint_scores": [0.9] * 17}
    for frame in (3, 4):
        dump(tmp_path / f"img_{frame:04d}.json", [person] * (frame - 2))
    people = read_mmpose(tmp_path)
    assert people.frame.tolist() == [3, 4]
    assert [len(found) for found in people.points] == [1, 2]


class TestSetsOfOneNumber:
    @pytest.mark.parametrize("hidden", [(), ("Knee", "Ankle", "Heel", "Toe"), ("Elbow", "Wrist")])
    @pytest.mark.parametrize(("told", "count"), SHARED, ids=lambda v: getattr(v, "name", v))
    def test_told_by_anatomy_and_said(
        self, told: KeypointSet, count: int, hidden: tuple[str, ...], tmp_path: Path
    ) -> None:
        person = standing(told.points, count, hidden)
        people = read_openpose(dump(tmp_path / "a_keypoints.json", openpose_frame(person)))
        assert people.names == told.points
        commonest = next(s for s in keypoint_sets() if count in s.counts)
        _, findings = of_one_set({"a": people})
        assert len(findings) == (told != commonest)  # said where it is not what one expects
        for found in findings:
            assert found.level == "information"
            assert f"{told.about} ({told.name}), not" in found.what

    def test_too_little_is_seen_to_tell(self, tmp_path: Path) -> None:
        """Of the face alone nothing follows: the commonest set, and that is a caution."""
        b = next(s for s in keypoint_sets() if s.name == "body25b")
        hidden = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel", "Toe")
        file = dump(tmp_path / "a.json", openpose_frame(standing(b.points, 25, hidden)))
        people = read_openpose(file)
        assert people.names == skeleton("body25").points
        _, (found,) = of_one_set({"a": people})
        assert found.level == "caution"
        assert "BODY_25 (body25), not OpenPose BODY_25B" in found.what
        assert "--keypoint-set body25b" in found.action

    def test_cameras_are_told_together(self, tmp_path: Path) -> None:
        """One that shows legs only, or nobody's proportions, has the points of the others."""
        b = next(s for s in keypoint_sets() if s.name == "body25b")
        whole = dump(tmp_path / "a.json", openpose_frame(standing(b.points, 25)))
        face = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel", "Toe")
        little = dump(tmp_path / "b.json", openpose_frame(standing(b.points, 25, face)))
        cameras = {"a": read_openpose(little), "b": read_openpose(whole)}
        assert cameras["a"].names != cameras["b"].names
        for order in (["a", "b"], ["b", "a"]):
            together, (found,) = of_one_set({name: cameras[name] for name in order})
            assert {people.names for people in together.values()} == {b.points}
            assert found.level == "information"
        nobody = People((), np.empty(0, np.int64), ())
        assert of_one_set({"c": nobody, **cameras})[0]["c"].names == ()
        named = {**cameras, "b": read_openpose(whole, "body25b")}
        left, (own,) = of_one_set(named)  # told by the user
        assert left == named
        assert (own.level, own.where) == ("caution", "Camera a.")

    def test_cameras_of_other_numbers_of_points_are_told_alone(self, tmp_path: Path) -> None:
        rare = {n: s for s in keypoint_sets() for n in (17, 25) if n in s.counts}
        cameras = {
            str(n): read_openpose(
                dump(tmp_path / f"{n}.json", openpose_frame(standing(s.points, n)))
            )
            for n, s in rare.items()
        }
        same, findings = of_one_set(cameras)
        assert same == cameras
        assert {f.where for f in findings} == {"Camera 17.", "Camera 25."}

    def test_a_named_set_is_believed(self, tmp_path: Path) -> None:
        b = next(s for s in keypoint_sets() if s.name == "body25b")
        file = dump(tmp_path / "a.json", openpose_frame(standing(b.points, 25)))
        people = read_openpose(file, "body25")
        assert people.names == skeleton("body25").points
        assert of_one_set({"a": people})[1] == ()

    @pytest.mark.parametrize(
        ("name", "words"),
        [("halpe26", "has 25 points per person, that set 26 or 136"), ("x", "no set has that")],
    )
    def test_a_named_set_that_does_not_fit(self, name: str, words: str, tmp_path: Path) -> None:
        file = dump(tmp_path / "a.json", openpose_frame(body(25)))
        with pytest.raises(InputError, match=words):
            read_openpose(file, name)


@pytest.mark.parametrize("count", sorted({n for s in keypoint_sets() for n in s.counts}))
def test_every_number_of_points_that_a_program_writes(count: int, tmp_path: Path) -> None:
    told = next(s for s in keypoint_sets() if count in s.counts)
    file = dump(tmp_path / "a.json", openpose_frame(standing(told.points, count)))
    people = read_openpose(file)
    assert people.names == told.points
    assert people.points[0].shape == (1, len(told.points), 3)


@pytest.mark.parametrize(
    "pattern",
    ["cam01.{:04d}.json", "clip_{:012d}_keypoints.json", "a.mp4_{:d}.json", "cam2.{:d}.mp4.json",
     "{:d}.json", "walk 3.5 m.{:05d}_keypoints.json"],
)  # fmt: skip
def test_the_number_of_a_file_is_its_last_wherever_dots_are(pattern: str, tmp_path: Path) -> None:
    for frame in (3, 12):
        dump(tmp_path / pattern.format(frame), openpose_frame(body(26)))
    assert read_openpose(tmp_path).frame.tolist() == [3, 12]


def test_openpose_single_file_is_frame_0(tmp_path: Path) -> None:
    file = dump(tmp_path / "cam1_keypoints.json", openpose_frame(body(25)))
    assert read_openpose(file).frame.tolist() == [0]


def test_openpose_two_videos_in_one_folder(tmp_path: Path) -> None:
    for name in ("a_000_keypoints.json", "b_000_keypoints.json"):
        dump(tmp_path / name, openpose_frame(body(25)))
    with pytest.raises(InputError, match=r"a_000_keypoints\.json and b_000_keypoints\.json"):
        read_openpose(tmp_path)


def test_openpose_names_the_file_at_fault(tmp_path: Path) -> None:
    dump(tmp_path / "a_000_keypoints.json", openpose_frame(body(25)))
    dump(tmp_path / "a_001_keypoints.json", openpose_frame(body(24)))
    with pytest.raises(InputError, match=r"a_001_keypoints\.json: frame 1: 24 keypoints, 25"):
        read_openpose(tmp_path)
    (tmp_path / "a_001_keypoints.json").write_text('{"people": [')
    with pytest.raises(InputError, match=r"a_001_keypoints\.json: is not valid JSON"):
        read_openpose(tmp_path)


def test_openpose_folder_without_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no JSON file"):
        read_openpose(tmp_path)


def test_alphapose(tmp_path: Path) -> None:
    entries = [
        {"image_id": "10.jpg", "category_id": 1, "keypoints": body(17, 5, 3.2), "idx": [[4.0]]},
        {"image_id": "2.jpg", "category_id": 1, "keypoints": body(), "score": 2.9, "idx": 4},
        {"image_id": "2.jpg", "category_id": 1, "keypoints": body(17, 400), "idx": 5.0},
    ]
    people = read_alphapose(dump(tmp_path / "alphapose-results.json", entries))
    assert people.names == skeleton("coco17").points
    assert people.frame.tolist() == [2, 10]
    assert [len(p) for p in people.points] == [2, 1]
    assert people.points[1][0, 0].tolist() == [5, 5, 1]  # a score above 1 counts as 1


def test_coco_results(tmp_path: Path) -> None:
    entries = [{"image_id": 7, "category_id": 1, "keypoints": body(), "score": 0.8}]
    people = read_coco(dump(tmp_path / "a.json", entries))
    assert people.frame.tolist() == [7]
    assert people.points[0][0, 16].tolist() == [116, 132, 0.9]


def test_coco_data_set(tmp_path: Path) -> None:
    flags = body(score=2)
    flags[2], flags[5] = 1, 0
    data = {
        "images": [{"id": 501, "file_name": "v/000003.png"}, {"id": 9, "file_name": "000004.png"}],
        "annotations": [
            {"image_id": 501, "keypoints": flags, "num_keypoints": 16, "track_id": 3},
            {"image_id": 501, "bbox": [0, 0, 1, 1]},
            {"image_id": 501, "keypoints": [0] * 51, "num_keypoints": 0},
        ],
    }
    people = read_coco(dump(tmp_path / "a.json", data))
    assert people.frame.tolist() == [3, 4]
    assert [len(p) for p in people.points] == [1, 0]
    assert people.points[0][0, 0].tolist() == [100, 100, 0.5]
    assert np.isnan(people.points[0][0, 1]).all()
    assert people.points[0][0, 2, 2] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "b1.png"}]}, "two"),
        ({"images": [{"file_name": "1.png"}]}, "no id"),
        ({"images": None}, '"images" is not a list'),
        ({"annotations": [{"image_id": 77, "keypoints": body(score=2)}]}, "no image '77'"),
        ({"annotations": [{"image_id": [], "keypoints": body(score=2)}]}, "no image"),
        ({"annotations": [{"image_id": 1, "keypoints": body(score=0.3)}]}, "visibility 0.3"),
        ({"annotations": [{"image_id": 1, "keypoints": "x"}]}, "frame 1: keypoints are not"),
    ],
)
def test_coco_data_set_at_fault(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    data = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": [], **change}
    with pytest.raises(InputError, match=message):
        read_coco(dump(tmp_path / "a.json", data))


def test_mmpose_demo_counts_from_1(tmp_path: Path) -> None:
    frames = [
        {"frame_id": 1, "instances": mmpose_instances(body(133), body(133, 50))},
        {"frame_id": 2, "instances": []},
    ]
    file = dump(tmp_path / "a.json", {"meta_info": {}, "instance_info": frames})
    people = read_mmpose(file)
    assert people.frame.tolist() == [0, 1]
    assert [p.shape for p in people.points] == [(2, 23, 3), (0, 23, 3)]
    # COCO-WholeBody: 17 body points, then the feet, left before right.
    assert people.names[:17] == skeleton("coco17").points
    assert people.names[17:] == ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
    assert people.points[0][1, 22].tolist() == [72, 94, 0.9]


def test_mmpose_inferencer_counts_from_0(tmp_path: Path) -> None:
    frames = [{"frame_id": i, "instances": mmpose_instances(body())} for i in range(3)]
    assert read_mmpose(dump(tmp_path / "a.json", frames)).frame.tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrapped", [True, False])
def test_mmpose_image(tmp_path: Path, wrapped: bool) -> None:
    listed = mmpose_instances(body(26), body(26, 7))
    file = dump(tmp_path / "a.json", {"instance_info": listed} if wrapped else listed)
    people = read_mmpose(file)
    assert people.frame.tolist() == [0]
    assert people.points[0].shape == (2, 26, 3)


def test_halpe_136_keeps_its_body(tmp_path: Path) -> None:
    file = dump(tmp_path / "a.json", [{"image_id": 0, "keypoints": body(136)}])
    assert read_coco(file).names == skeleton("halpe26").points


def test_an_unknown_number_of_points_is_refused(tmp_path: Path) -> None:
    file = dump(tmp_path / "a.json", [{"image_id": 0, "keypoints": body(34)}])
    with pytest.raises(InputError, match="34 keypoints per person: no known set"):
        read_coco(file)


HOSTILE: list[Any] = [
    None,
    {},
    "text",
    [],
    [1.0, 2.0],
    [[1, 2, 3]],
    [*body()[:-1], "0.9"],
    [*body()[:-1], True],
    [*body()[:-1], float("inf")],
    [*body()[:-1], 10**400],
    [*body()[:-1], -1e7],
]


@pytest.mark.parametrize("keypoints", HOSTILE, ids=lambda value: str(value)[-30:])
def test_hostile_keypoints_name_file_and_frame(tmp_path: Path, keypoints: Any) -> None:
    good = {"image_id": "12.jpg", "keypoints": body()}
    bad = {"image_id": "13.jpg", "keypoints": keypoints}
    with pytest.raises(InputError, match=r"a\.json: frame 13: "):
        read_alphapose(dump(tmp_path / "a.json", [good, bad]))


@pytest.mark.parametrize(
    "entry",
    [
        {"keypoints": body()},
        {"image_id": "no number", "keypoints": body()},
        {"image_id": -1, "keypoints": body()},
        {"image_id": True, "keypoints": body()},
        {"image_id": 10**300, "keypoints": body()},
        {"image_id": "9" * 60, "keypoints": body()},
        "not an object",
    ],
    ids=lambda value: str(value)[:40],
)
def test_hostile_entries(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(InputError, match=r"a\.json: "):
        read_alphapose(dump(tmp_path / "a.json", [entry]))


@pytest.mark.parametrize("reader", [read_alphapose, read_coco, read_mmpose, read_openpose])
@pytest.mark.parametrize(
    "content",
    [b"", b"\0\1\2", b"{", b"[" * 100_000, b"1" * 10_000, b"null", b"[]", b"{}", b"[[]]", b"[1]",
     b'{"people": 3}', b'{"instance_info": [{"frame_id": "x", "instances": 1}]}'],
    ids=lambda value: value[:20].decode(),
)  # fmt: skip
def test_no_file_escapes_as_another_error(tmp_path: Path, reader: Reader, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: "):
        reader(tmp_path / "a.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["image_id", "keypoints", "idx", "people", "pose_keypoints_2d", "instances",
             "frame_id", "instance_info", "keypoint_scores", "images", "annotations", "id"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(value=JSON)
@settings(max_examples=200, deadline=None)
def test_garbage_never_escapes_as_another_error(tmp_path_factory, value: Any) -> None:
    file = dump(tmp_path_factory.getbasetemp() / "garbage.json", value)
    for reader in (read_alphapose, read_coco, read_mmpose, read_openpose):
        with pytest.raises(InputError):  # 17 points never come together by chance
            reader(file)


def test_nobody_anywhere_is_an_error(tmp_path: Path) -> None:
    dump(tmp_path / "a_000_keypoints.json", openpose_frame())
    with pytest.raises(InputError, match="no person was found"):
        read_openpose(tmp_path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(people_module, "MAX_JSON_BYTES", 100)
    file = dump(tmp_path / "a.json", [{"image_id": 0, "keypoints": body()}])
    with pytest.raises(InputError, match="over 0 MiB"):
        read_coco(file)


@pytest.mark.parametrize("frame", [[1, 0], [-1, 0], [0, 1, 2]])
def test_people_refuses_disorder(frame) -> None:
    with pytest.raises(InvalidData):
        People(("A",), frame, (np.zeros((1, 1, 3)), np.zeros((0, 1, 3))))


def test_people_refuses_values_of_other_persons() -> None:
    points = (np.zeros((2, 1, 3)), np.zeros((0, 1, 3)))
    fits = {"body": (2, 1, 3), "place": (2, 4), "look": (2, 6, 3)}
    for name, shape in fits.items():
        whole = (np.zeros(shape), np.zeros((0, *shape[1:])))
        assert getattr(People(("A",), [0, 1], points, **{name: whole}), name)[0].shape == shape
        for wrong in ((np.zeros((1, *shape[1:])), whole[1]), (whole[1], whole[0])):
            with pytest.raises(InvalidData, match=f"{name} must be of the same persons"):
                People(("A",), [0, 1], points, **{name: wrong})
    with pytest.raises(InvalidData, match="place"):
        People(("A",), [0, 1], points, place=(np.zeros((2, 3)), np.zeros((0, 3))))
