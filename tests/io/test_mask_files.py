"""Masks of other programs: what each form says, and that hostile ones say nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from kinefit.io.mask_files import FileMasks, decode_runs, read_mask_files
from kinefit.io.video import Clip, VideoWriter
from kinefit.types import InputError, InvalidData

SIZE, FRAMES = (48, 32), 5  # width, height


def truth(frame: int) -> np.ndarray:
    """A box that moves by two pixels a frame, with nothing symmetric about it."""
    mask = np.zeros(SIZE[::-1], bool)
    mask[6:26, 5 + 2 * frame : 19 + 2 * frame] = True
    mask[20:30, 20:24] = True
    return mask


def runs_of(mask: np.ndarray) -> list[int]:
    """COCO's run lengths, pixel by pixel down the columns, as its description says."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def text_of(counts: list[int]) -> str:
    """The compressed form, written from its description in bits of Python's integers."""
    letters = []
    for k, count in enumerate(counts):
        rest = count - counts[k - 2] if k > 2 else count
        while True:
            group, rest = rest & 31, rest >> 5
            done = rest == (-1 if group & 16 else 0)
            letters.append(chr(48 + group + (0 if done else 32)))
            if done:
                break
    return "".join(letters)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(video(tmp_path_factory.mktemp("clip") / "v.mp4", lambda k: np.zeros(SIZE[::-1])))


def video(path: Path, picture: Callable[[int], Any], count: int = FRAMES) -> Path:
    first = np.asarray(picture(0))
    with VideoWriter(path, first.shape[1::-1], rate_hz=30.0, quality=5) as writer:
        for k in range(count):
            levels = np.asarray(picture(k)).astype(np.uint8)
            rgb = levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=-1)
            writer.add(rgb, k / 30)
    return path


def png_folder(folder: Path, picture: Callable[[int], Image.Image], first: int = 0) -> Path:
    folder.mkdir()
    for k in range(FRAMES):
        picture(k).save(folder / f"mask_{k + first:05d}.png")
    return folder


def read(path: Path, clip: Clip) -> list[FileMasks]:
    return list(read_mask_files(path, clip, SIZE))


def check_all(found: list[FileMasks]) -> None:
    assert [one.missing for one in found] == [""] * FRAMES
    for k, one in enumerate(found):
        (mask,) = one.masks
        np.testing.assert_array_equal(mask >= 128, truth(k))


def white(frame: int) -> np.ndarray:
    return (truth(frame) * 255).astype(np.uint8)


class TestRunLengths:
    def test_an_example_by_hand(self) -> None:
        """40 is 8 + 32: "X" (48 + 8 + 32, goes on), "1". The fourth number is 4 - 1, the fifth
        5 - 40 = -35, in groups of five bits -35 = 29 - 2 * 32: "m" (48 + 29 + 32), "N" (48 + 30).
        """
        counts = [6, 1, 40, 4, 5]
        mask = np.zeros(56, bool)
        mask[6], mask[47:51] = True, True
        for written in (counts, "61X13mN"):
            found = decode_runs({"size": [7, 8], "counts": written})
            np.testing.assert_array_equal(found, mask.reshape(8, 7).T)

    @given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
    @settings(max_examples=60, deadline=None)
    def test_both_forms_come_back(self, mask: np.ndarray) -> None:
        counts = runs_of(mask)
        for written in (counts, text_of(counts)):
            found = decode_runs({"size": list(mask.shape), "counts": written})
            np.testing.assert_array_equal(found, mask)

    @pytest.mark.parametrize(
        "entry",
        [
            None,
            [[1.0, 2.0, 3.0]],
            {"size": [4, 4], "counts": [16, 1]},
            {"size": [4, 4], "counts": [-4, 20]},
            {"size": [4, 4], "counts": [True] * 16},
            {"size": [4, 4], "counts": [10**400]},
            {"size": [4, 4], "counts": "0" * 100},
            {"size": [4, 4], "counts": "o"},
            {"size": [4, 4], "counts": "o" * 50},
            {"size": [4, 4], "counts": "\u00e9"},
            {"size": [4, 4], "counts": None},
            {"size": [10**6, 10**6], "counts": [10**12]},
            {"size": [0, 4], "counts": []},
            {"size": [4], "counts": [4]},
            {"size": [4.0, 4], "counts": [16]},
        ],
    )
    def test_hostile_ones_are_refused(self, entry: Any) -> None:
        with pytest.raises(InvalidData):
            decode_runs(entry)


class TestJson:
    @pytest.mark.parametrize("compressed", [True, False])
    def test_results_data_sets_and_bare_lists(
        self, clip: Clip, tmp_path: Path, compressed: bool
    ) -> None:
        form: Callable[[list[int]], Any] = text_of if compressed else list
        masks = [{"size": list(SIZE[::-1]), "counts": form(runs_of(truth(k)))}
                 for k in range(FRAMES)]  # fmt: skip
        images = [{"id": 70 + k, "file_name": f"v_{k:04d}.jpg"} for k in range(FRAMES)]
        listed = [{"image_id": 70 + k, "segmentation": m} for k, m in enumerate(masks)]
        results = [{"image_id": k, "segmentation": m} for k, m in enumerate(masks)]
        for content in (masks, results, {"images": images, "annotations": listed}):
            path = tmp_path / "m.json"
            path.write_text(json.dumps(content))
            check_all(read(path, clip))

    def test_images_from_1_with_nobody_in_some(self, clip: Clip, tmp_path: Path) -> None:
        images = [{"id": k, "file_name": f"{k}.jpg"} for k in range(1, FRAMES + 1)]
        runs = {"size": list(SIZE[::-1]), "counts": runs_of(truth(1))}
        path = tmp_path / "m.json"
        listed = [{"image_id": 2, "segmentation": runs}]
        path.write_text(json.dumps({"images": images, "annotations": listed}))
        found = read(path, clip)
        assert [len(one.masks) for one in found] == [0, 1, 0, 0, 0]

    def test_run_lengths_of_far_more_pixels_are_not_decoded(
        self, clip: Clip, tmp_path: Path
    ) -> None:
        path = tmp_path / "m.json"
        runs = {"size": [SIZE[1] * 100, SIZE[0] * 100], "counts": [SIZE[0] * SIZE[1] * 10**4]}
        path.write_text(json.dumps([runs] * FRAMES))
        with pytest.raises(InputError, match="4800 x 3200 pixels is none of this video"):
            read(path, clip)

    def test_a_frame_without_and_a_polygon_are_flagged(self, clip: Clip, tmp_path: Path) -> None:
        good = {"size": list(SIZE[::-1]), "counts": runs_of(truth(0))}
        small = {"size": [9, 9], "counts": [81]}
        rows = [(0, good), (2, [[1, 2, 3, 4]]), (3, small), (4, good), (4, good)]
        path = tmp_path / "m.json"
        path.write_text(json.dumps([{"image_id": k, "segmentation": m} for k, m in rows]))
        found = read(path, clip)
        assert [len(one.masks) for one in found] == [1, 0, 0, 0, 2]
        for k, words in ((1, "no mask of this frame"), (2, "run lengths"), (3, "9 x 9")):
            assert words in found[k].missing

    @pytest.mark.parametrize(
        "text", ["{", "3", "{}", '[{"image_id": 0}, 4]', "[]", "[[1]]", "[1, 2]", "[true]"]
    )
    def test_what_is_none_is_refused(self, clip: Clip, tmp_path: Path, text: str) -> None:
        path = tmp_path / "m.json"
        path.write_text(text)
        with pytest.raises(InputError):
            read(path, clip)


class TestPngFolder:
    @pytest.mark.parametrize(
        "picture",
        [
            lambda k: Image.fromarray(white(k)),
            lambda k: Image.fromarray(white(k)).convert("1"),
            lambda k: Image.fromarray(truth(k).astype(np.uint8)),
            lambda k: Image.fromarray(white(k)).convert("RGB"),
            lambda k: Image.merge(
                "RGBA",
                [Image.new("L", SIZE, c) for c in (200, 80, 10)] + [Image.fromarray(white(k))],
            ),
        ],
        ids=["grey", "bits", "ones", "rgb", "cut out"],
    )
    @pytest.mark.parametrize("first", [0, 1])
    def test_one_mask(
        self, clip: Clip, tmp_path: Path, picture: Callable[[int], Image.Image], first: int
    ) -> None:
        check_all(read(png_folder(tmp_path / "m", picture, first), clip))

    def test_labels_are_a_mask_each(self, clip: Clip, tmp_path: Path) -> None:
        def labels(k: int) -> Image.Image:
            values = truth(k).astype(np.uint8) * 2
            values[0, :4] = 5
            picture = Image.fromarray(values, "P")
            picture.putpalette([v for k in range(256) for v in (k, 255 - k, 7 * k % 256)])
            return picture

        for k, one in enumerate(read(png_folder(tmp_path / "m", labels), clip)):
            person, other = one.masks
            np.testing.assert_array_equal(person > 0, truth(k))
            assert (other > 0).sum() == 4

    def test_masks_of_another_scale_are_scaled(self, clip: Clip, tmp_path: Path) -> None:
        def larger(k: int) -> Image.Image:
            return Image.fromarray(np.kron(white(k), np.ones((2, 2), np.uint8)))

        check_all(read(png_folder(tmp_path / "m", larger), clip))

    def test_many_large_ones_are_refused_before_they_are_held(
        self, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """64 labels fit into the pixels of a frame's masks; one in 100 times the pixels does not,
        whatever its shape, and is not decoded."""
        labels = np.arange(65).clip(1, 64).astype(np.uint8)  # no background
        rows = np.zeros(SIZE[::-1], np.uint8)
        rows[0, :], rows[1, :17] = labels[:48], labels[48:]

        def picture(k: int) -> Image.Image:
            grown = np.kron(rows, np.ones((10, 10), np.uint8))
            return Image.fromarray(grown if k == 1 else rows)

        folder = png_folder(tmp_path / "m", picture)
        found = read(folder, clip)
        assert [len(one.masks) for one in found] == [64, 0, 64, 64, 64]
        assert "480 x 320" in found[1].missing
        assert "4 times as many at most" in found[1].missing
        monkeypatch.setattr("kinefit.io.mask_files._MOST_PIXELS", 63 * SIZE[0] * SIZE[1])
        with pytest.raises(InputError, match="more than 63 labels"):
            read(folder, clip)

    @pytest.mark.parametrize(
        ("colours", "transparent"),
        [
            (((255, 255, 255), (0, 0, 0)), None),
            (((255, 0, 0), (0, 0, 0)), None),
            (((255, 0, 0), (0, 0, 255)), 1),
            (((255, 255, 255), (255, 255, 255)), 1),
        ],
        ids=["white first", "red first", "transparent", "transparent white"],
    )
    def test_a_palette_is_read_by_its_colours(
        self, clip: Clip, tmp_path: Path, colours: Any, transparent: int | None
    ) -> None:
        """The person has the number 0, what is around them 1."""
        folder = tmp_path / "m"
        folder.mkdir()
        for k in range(FRAMES):
            picture = Image.fromarray((~truth(k)).astype(np.uint8), "P")
            picture.putpalette([v for colour in colours for v in colour])
            more: dict[str, Any] = {} if transparent is None else {"transparency": transparent}
            picture.save(folder / f"{k}.png", **more)
        check_all(read(folder, clip))

    def test_colours_that_tell_nothing_are_read_by_number(self, clip: Clip, tmp_path: Path) -> None:
        def dark(k: int) -> Image.Image:
            picture = Image.fromarray(truth(k).astype(np.uint8), "P")
            picture.putpalette([0] * 6)
            return picture

        check_all(read(png_folder(tmp_path / "m", dark), clip))

    def test_files_from_1_with_some_missing(self, clip: Clip, tmp_path: Path) -> None:
        folder = png_folder(tmp_path / "m", lambda k: Image.fromarray(white(k)), first=1)
        (folder / "mask_00002.png").unlink()
        found = read(folder, clip)
        assert [len(one.masks) for one in found] == [1, 0, 1, 1, 1]
        np.testing.assert_array_equal(found[4].masks[0] >= 128, truth(4))
        (folder / "mask_00005.png").unlink()  # now 1, 3, 4: of files from 0, or from 1
        found = read(folder, clip)
        assert [len(one.masks) for one in found] == [0, 1, 0, 1, 1]
        assert "counted from 0; nothing has the number 0" in found[0].missing

    def test_each_bad_file_is_flagged_alone(self, clip: Clip, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        folder = png_folder(tmp_path / "m", lambda k: Image.fromarray(white(k)))
        (folder / "mask_00000.png").unlink()
        (folder / "mask_00001.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
        Image.new("L", (9, 9)).save(folder / "mask_00002.png")
        photo = rng.integers(60, 200, (*SIZE[::-1], 3)).astype(np.uint8)
        Image.fromarray(photo).save(folder / "mask_00003.png")
        found = read(folder, clip)
        for k, words in enumerate(("no mask of this frame", "damaged", "9 x 9", "colour picture")):
            assert words in found[k].missing
            assert found[k].masks == ()
        np.testing.assert_array_equal(found[4].masks[0] >= 128, truth(4))

    def test_a_grey_photograph_is_no_mask(self, clip: Clip, tmp_path: Path) -> None:
        def photo(k: int) -> Image.Image:
            return Image.fromarray(np.full(SIZE[::-1], 120, np.uint8))

        with pytest.raises(InputError, match=r"no mask for any frame .*neither black nor white"):
            read(png_folder(tmp_path / "m", photo), clip)

    def test_folders_without_order_are_refused(self, clip: Clip, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no PNG"):
            read(tmp_path, clip)
        Image.new("L", SIZE).save(tmp_path / "a.png")
        with pytest.raises(InputError, match="no frame number"):
            read(tmp_path, clip)


class TestVideo:
    def test_a_video_of_the_whole_or_of_the_part(self, clip: Clip, tmp_path: Path) -> None:
        path = video(tmp_path / "m.mp4", white)
        for k, one in enumerate(read(path, clip)):
            assert ((one.masks[0] >= 128) != truth(k)).mean() < 0.01  # compressed
        part = Clip(clip.path, start_s=2 / 30)
        whole, own = (
            read(path, part),
            read(video(tmp_path / "p.mp4", lambda k: white(k + 2), 3), part),
        )
        assert len(whole) == len(own) == 3
        for k in range(3):
            for found in (whole, own):
                assert ((found[k].masks[0] >= 128) != truth(k + 2)).mean() < 0.01

    def test_another_length_shape_or_content_is_refused(self, clip: Clip, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="it has 4 frames, the video 5"):
            read(video(tmp_path / "a.mp4", white, 4), clip)
        with pytest.raises(InputError, match="64 x 64, the video 48 x 32"):
            read(video(tmp_path / "b.mp4", lambda k: np.zeros((64, 64))), clip)
        ramp = np.linspace(0, 255, 48)[None, :, None] * np.array([1.0, 0.3, 0.1])
        with pytest.raises(InputError, match="colour picture"):
            read(video(tmp_path / "c.mp4", lambda k: np.repeat(ramp, 32, 0)), clip)
        (tmp_path / "d.bin").write_bytes(b"nothing")
        with pytest.raises(InputError):
            read(tmp_path / "d.bin", clip)
