"""Pointing at a person, and counting them."""

import numpy as np
import pytest

from kinefit.tracking.choose import Pointer, by_number, by_pointer
from kinefit.types import InputError, Timeline


def person(x: float, y: float, width: float = 40.0, height: float = 100.0) -> np.ndarray:
    """(4, 3) a pose in a box whose left upper corner is (x, y); its last point was not found."""
    corners = [[x, y, 0.9], [x + width, y + height, 0.9], [x + width / 2, y + 20, 0.9]]
    return np.array([*corners, [np.nan] * 3])


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("10,20", Pointer((10, 20), (10, 20))),
            (" 10.5 , 20 ", Pointer((10.5, 20), (10.5, 20))),
            ("10,20,7", Pointer((10, 20), (10, 20), 7)),
            ("left:10,20", Pointer((10, 20), (10, 20), None, "left")),
            ("cam 1:1e2,-20,0", Pointer((100, -20), (100, -20), 0, "cam 1")),
        ],
    )
    def test_a_click(self, text: str, expected: Pointer) -> None:
        assert Pointer.parse("--person-at", text, 1) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("10,20,30,50", Pointer((10, 20), (30, 50))),
            ("30,20,10,50", Pointer((10, 20), (30, 50))),  # drawn from the other corner
            ("10,50,30,20,3", Pointer((10, 20), (30, 50), 3)),
            ("back:10,20,30,50,3", Pointer((10, 20), (30, 50), 3, "back")),
        ],
    )
    def test_a_box(self, text: str, expected: Pointer) -> None:
        assert Pointer.parse("--box", text, 2) == expected

    @pytest.mark.parametrize(
        "text",
        ["", "10", "10,20,3,4", "10;20", "10,x", "10,,20", "a:b:10,20", "nan,20", "1e999,20",
         "10,20,1e999", ":10,20", "10,20,", "--1,2", "1e,2"],
    )  # fmt: skip
    def test_what_is_no_place(self, text: str) -> None:
        with pytest.raises(InputError, match=r"--person-at.*is not \[CAMERA:\]X,Y\[,FRAME\]"):
            Pointer.parse("--person-at", text, 1)

    @pytest.mark.parametrize("text", ["10,20", "10,20,3", "1,2,3,4,5,6", "1,2,3,inf"])
    def test_what_is_no_box(self, text: str) -> None:
        with pytest.raises(InputError, match=r"--box.*X0,Y0,X1,Y1"):
            Pointer.parse("--box", text, 2)

    def test_a_frame_is_a_whole_number(self) -> None:
        with pytest.raises(InputError, match=r"\[,FRAME\]"):
            Pointer.parse("--person-at", "10,20,2.5", 1)
        with pytest.raises(InputError, match=r"\[,FRAME\]"):
            Pointer.parse("--person-at", "10,20,-1", 1)


def click(x: float, y: float, frame: int | None = None) -> Pointer:
    return Pointer((x, y), (x, y), frame)


class TestPersonIn:
    POSES = np.stack([person(100, 100), person(120, 100), person(400, 100)])

    def test_a_click_is_in_a_box(self) -> None:
        assert click(410, 150).person_in(self.POSES) == 2
        assert click(400, 100).person_in(self.POSES) == 2  # its corner
        assert click(399, 150).person_in(self.POSES) is None

    def test_of_two_that_overlap_it_is_the_one_whose_middle_is_nearer(self) -> None:
        assert click(126, 150).person_in(self.POSES) == 0
        assert click(134, 150).person_in(self.POSES) == 1

    def test_a_box_is_the_person_s_who_fills_it_best(self) -> None:
        assert Pointer((115, 95), (165, 205)).person_in(self.POSES) == 1
        assert Pointer((90, 95), (135, 205)).person_in(self.POSES) == 0
        # Drawn around the whole picture, or a hand: of nobody.
        assert Pointer((0, 0), (1000, 1000)).person_in(self.POSES) is None
        assert Pointer((405, 105), (415, 115)).person_in(self.POSES) is None

    def test_nobody_there_and_nobody_found(self) -> None:
        for pointer in (click(5, 5), Pointer((0, 0), (5, 5))):
            assert pointer.person_in(self.POSES) is None
            assert pointer.person_in(np.empty((0, 4, 3))) is None
            assert pointer.person_in(np.full((1, 4, 3), np.nan)) is None


class TestByPointer:
    """Person 0 walks to the right, person 1 stands; each is first in the list by turns."""

    time = Timeline([4, 6, 8], [0.1, 0.2, 0.3])
    walks = person(100, 100), person(200, 100)
    stands = person(400, 100)
    points = np.stack([walks[0], stands]), np.stack([stands, walks[1]]), stands[None]
    places = np.array([0, 1, -1]), np.array([1, 0, 0])

    def at(self, pointer: Pointer) -> int:
        return by_pointer(pointer, self.points, self.time, self.places)

    def test_in_the_frame_that_is_named(self) -> None:
        assert self.at(click(220, 150, 6)) == 0
        assert self.at(click(420, 150, 6)) == 1
        with pytest.raises(InputError, match=r"was found at \(120, 150\) in frame 6"):
            self.at(click(120, 150, 6))  # gone on

    def test_in_the_first_frame_that_shows_somebody_there(self) -> None:
        assert self.at(click(120, 150)) == 0
        assert self.at(click(220, 150)) == 0
        with pytest.raises(InputError, match=r"was found at .* in any frame") as caught:
            self.at(click(320, 150))
        assert "--person" in caught.value.hint

    def test_frames_that_are_not_looked_at(self) -> None:
        for frame in (0, 5, 9):
            with pytest.raises(InputError, match=f"there is no frame {frame}") as caught:
                self.at(click(120, 150, frame))
            assert "frames 4 to 8" in caught.value.hint

    def test_who_is_nobody_s_track_is_passed_over(self) -> None:
        """A detection that belongs to no person (a glimpse) is not chosen; who comes next is."""
        ghost = np.stack([person(100, 100), person(700, 100)])
        points = [ghost, np.stack([person(105, 100)]), np.empty((0, 4, 3))]
        mine = [np.array([-1, 0, -1])]
        assert by_pointer(click(120, 150), points, self.time, mine) == 0


def test_the_camera_is_named_where_there_are_several() -> None:
    named = Pointer((1, 2), (1, 2), None, "left")
    assert named.camera_of(["left", "right"]) == named.camera_of(["left"]) == "left"
    assert click(1, 2).camera_of(["only"]) == "only"
    for pointer, names in ((click(1, 2), ["left", "right"]), (named, ["back"])):
        with pytest.raises(InputError, match="which camera's picture") as caught:
            pointer.camera_of(names)
        assert f"{names[0]}:" in caught.value.hint


def test_people_are_counted_from_1() -> None:
    assert [by_number("abc", n) for n in (None, 1, 3)] == [0, 0, 2]
    for wrong in (0, 4, -1):
        with pytest.raises(InputError, match=f"no person {wrong}; 3 found") as caught:
            by_number("abc", wrong)
        assert "from 1 to 3" in caught.value.hint
