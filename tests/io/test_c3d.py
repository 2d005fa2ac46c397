"""C3D: an independent pure-Python reader (`c3d`) and ezc3d's own check both directions."""

import struct
from contextlib import suppress
from pathlib import Path

import c3d as independent
import ezc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinefit.io.c3d import read_c3d, write_c3d
from kinefit.io.markers import UP_TO_Y
from kinefit.types import InputError, Markers, Timeline

pytestmark = pytest.mark.filterwarnings("ignore:No analog data:UserWarning")

# A 32-bit float of 2 m in millimetres is right to 2000 * 2^-24 = 1.2e-4 mm.
FLOAT_MM = 1.3e-4
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def example(frames: int = 12, count: int = 3, rate: float = 59.94, start: int = 7) -> Markers:
    rng = np.random.default_rng(frames + count)
    xyz = rng.uniform(-2, 2, (frames, count, 3))
    xyz[2, 0] = xyz[5, -1] = np.nan
    names = tuple(f"M{i}" for i in range(count))
    return Markers(Timeline.regular(frames, rate, start), names, xyz)


def independent_points(path: Path) -> tuple[independent.Reader, np.ndarray]:
    """(T, M, 5) x, y, z in mm, residual, cameras, by the pure-Python reader."""
    with path.open("rb") as stream:
        reader = independent.Reader(stream)
        return reader, np.array([points for _, points, _ in reader.read_frames()])


def test_an_independent_reader_sees_the_same(tmp_path: Path) -> None:
    markers = example()
    write_c3d(tmp_path / "a.c3d", markers)
    reader, points = independent_points(tmp_path / "a.c3d")
    assert [label.strip() for label in reader.point_labels] == list(markers.names)
    assert reader.point_rate == pytest.approx(59.94, rel=1e-7)
    assert reader.point_scale == -1.0
    assert reader.get("POINT:UNITS").string_value == "mm"
    assert (reader.first_frame, reader.last_frame) == (8, 19)  # frame 7 counted from 0
    np.testing.assert_array_equal(points[..., 3] >= 0, markers.present)
    there = markers.present
    np.testing.assert_allclose(
        points[..., :3][there], 1000 * markers.xyz[there], atol=FLOAT_MM, rtol=0
    )


def test_ezc3d_reads_what_we_write(tmp_path: Path) -> None:
    """The reader of Pyomeca, Pose2Sim and OpenSim."""
    markers = example()
    write_c3d(tmp_path / "a.c3d", markers)
    read = ezc3d.c3d(str(tmp_path / "a.c3d"))
    point = read["parameters"]["POINT"]
    assert point["LABELS"]["value"] == list(markers.names)
    assert point["UNITS"]["value"] == ["mm"]
    assert point["RATE"]["value"][0] == pytest.approx(markers.timeline.rate_hz, rel=1e-6)
    assert read["header"]["points"]["first_frame"] == markers.timeline.frame[0]
    points = np.moveaxis(read["data"]["points"][:3], 0, -1)  # (M, T, 3)
    np.testing.assert_allclose(
        points.swapaxes(0, 1), 1000 * markers.xyz, atol=FLOAT_MM, rtol=0, equal_nan=True
    )


def test_round_trip(tmp_path: Path) -> None:
    markers = example()
    write_c3d(tmp_path / "a.c3d", markers)
    back = read_c3d(tmp_path / "a.c3d")
    assert back.names == markers.names
    assert back.timeline == markers.timeline  # exactly 59.94 Hz, not the 32-bit neighbour
    np.testing.assert_allclose(back.xyz, markers.xyz, atol=FLOAT_MM / 1000, rtol=0)


def test_two_writes_are_identical(tmp_path: Path) -> None:
    for name in ("a.c3d", "b.c3d"):
        write_c3d(tmp_path / name, example())
    assert (tmp_path / "a.c3d").read_bytes() == (tmp_path / "b.c3d").read_bytes()


def test_more_than_255_labels(tmp_path: Path) -> None:
    markers = example(count=300)
    write_c3d(tmp_path / "a.c3d", markers)
    back = read_c3d(tmp_path / "a.c3d")
    assert back.names == markers.names
    np.testing.assert_allclose(back.xyz, markers.xyz, atol=FLOAT_MM / 1000, rtol=0)


def test_labels_outside_ascii(tmp_path: Path) -> None:
    markers = Markers(Timeline.regular(2, 50.0), ("Genou_médial",), np.ones((2, 1, 3)))
    write_c3d(tmp_path / "a.c3d", markers)
    assert read_c3d(tmp_path / "a.c3d").names == ("Genou_médial",)


@pytest.mark.parametrize("scale", [-1.0, 0.1])
def test_files_of_another_writer(tmp_path: Path, scale: float) -> None:
    """Floats (scale -1) and 16-bit integers of 0.1 mm (scale 0.1), by the pure-Python writer."""
    mm = np.round(np.random.default_rng(3).uniform(-900, 900, (6, 2, 3)), 1)
    writer = independent.Writer(point_rate=120.0, point_scale=scale, point_units="mm")
    writer.set_point_labels(["A", "B"])
    writer.set_screen_axis(X="+X", Y="+Z")
    for frame in mm:
        points = np.column_stack((frame, np.zeros((2, 2))))
        writer.add_frames([(points, np.empty((0, 0)))])
    with (tmp_path / "a.c3d").open("wb") as stream:
        writer.write(stream)
    _, seen = independent_points(tmp_path / "a.c3d")
    markers = read_c3d(tmp_path / "a.c3d")
    assert (markers.names, markers.timeline) == (("A", "B"), Timeline.regular(6, 120.0))
    # Z is up in this file: (x, y, z) becomes (x, z, -y). The writer cuts integers off.
    turned = np.stack((seen[..., 0], seen[..., 2], -seen[..., 1]), -1) / 1000
    np.testing.assert_allclose(markers.xyz, turned, atol=1e-7, rtol=0)
    np.testing.assert_allclose(markers.xyz[..., 1], mm[..., 2] / 1000, atol=1.1e-4, rtol=0)


def write_with(path: Path, **parameters: object) -> None:
    """One point at (1, 2, 3) for two frames, some POINT parameters set."""
    file = ezc3d.c3d()
    file["data"]["points"] = np.array([1.0, 2, 3, 1]).reshape(4, 1, 1).repeat(2, -1)
    values = {"RATE": [50.0], "UNITS": ["m"], "LABELS": ["A"], **parameters}
    for name, value in values.items():
        file.add_parameter("POINT", name, value)
    file.write(str(path))


@pytest.mark.parametrize(("units", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_units(tmp_path: Path, units: str, factor: float) -> None:
    write_with(tmp_path / "a.c3d", UNITS=[units])
    xyz = read_c3d(tmp_path / "a.c3d").xyz[0, 0]
    np.testing.assert_allclose(xyz, np.array([1, 2, 3]) / factor, rtol=1e-7)


@pytest.mark.parametrize("up", ["+X", "-X", "+Y", "-Y", "+Z", "-Z"])
def test_up_becomes_y_by_a_rotation(tmp_path: Path, up: str) -> None:
    write_with(tmp_path / "a.c3d", Y_SCREEN=[up])
    point, axis = read_c3d(tmp_path / "a.c3d").xyz[0, 0], "XYZ".index(up[1])
    assert point[1] == (axis + 1) * (1 if up[0] == "+" else -1)
    assert np.linalg.norm(point) == pytest.approx(np.sqrt(14))
    assert np.linalg.det(UP_TO_Y[up.removeprefix("+")]) == pytest.approx(1)


def test_without_a_stated_axis_the_points_stay(tmp_path: Path) -> None:
    write_with(tmp_path / "a.c3d")
    assert read_c3d(tmp_path / "a.c3d").xyz[0, 0].tolist() == [1, 2, 3]


def test_what_no_reader_knows_is_said(tmp_path: Path) -> None:
    write_with(tmp_path / "a.c3d", UNITS=["m"], Y_SCREEN=["up"])
    markers = read_c3d(tmp_path / "a.c3d")
    assert markers.xyz[0, 0].tolist() == [1, 2, 3]
    assert "'up', which is no axis" in markers.notes[0]


def test_a_stated_unit_that_nobody_knows_is_not_guessed(tmp_path: Path) -> None:
    """Inches look like centimetres of a child."""
    write_with(tmp_path / "a.c3d", UNITS=["inches"])
    with pytest.raises(InputError, match="'inches', which is no known unit"):
        read_c3d(tmp_path / "a.c3d")
    assert read_c3d(tmp_path / "a.c3d", units="m").xyz[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [("Z", [1, 3, -2]), ("+z", [1, 3, -2]), ("Z+", [1, 3, -2]), (" + Z", [1, 3, -2]),
     ("y", [1, 2, 3]), ("-y", [1, -2, -3]), ("x-", [2, -1, 3])],
)  # fmt: skip
def test_axes_as_programs_write_them(tmp_path: Path, axis: str, expected: list[float]) -> None:
    write_with(tmp_path / "a.c3d", Y_SCREEN=[axis])
    assert read_c3d(tmp_path / "a.c3d").xyz[0, 0].tolist() == expected


@pytest.mark.parametrize(("units", "factor"), [("MM", 1000), ("Meters", 1), ("mete", 1)])
def test_units_in_other_spellings(tmp_path: Path, units: str, factor: float) -> None:
    write_with(tmp_path / "a.c3d", UNITS=[units], Y_SCREEN=["y"])
    xyz = read_c3d(tmp_path / "a.c3d").xyz[0, 0]
    np.testing.assert_allclose(xyz, np.array([1, 2, 3]) / factor, rtol=1e-7)


@pytest.mark.parametrize("per_metre", [1, 100, 1000])
def test_without_units_the_size_says_it(tmp_path: Path, per_metre: float) -> None:
    person = per_metre * np.array([[0.3, 1.4, -2.0], [0.2, 0.9, -2.1], [0.2, 0.1, -2.1]])
    file = ezc3d.c3d()
    file["data"]["points"] = np.ones((4, 3, 2))
    file["data"]["points"][:3] = person.T[..., None]
    for name, value in {"RATE": [50.0], "UNITS": [""], "LABELS": ["A", "B", "C"]}.items():
        file.add_parameter("POINT", name, value)
    file.write(str(tmp_path / "a.c3d"))
    xyz = read_c3d(tmp_path / "a.c3d").xyz[0]
    np.testing.assert_allclose(xyz, person / per_metre, rtol=1e-6)


@pytest.mark.parametrize("name", ["first0", "dup", "empty", "sgi_int"])
def test_files_of_other_programs(name: str) -> None:
    """OptiTrack counts frames from 0; labels stand twice or are empty; a section ends before its
    last parameter says so."""
    found = sorted((SHARED / "cases").glob(f"c3d_*/{name}.c3d"))
    if not found:
        pytest.skip("shared recordings are not beside the repository")
    markers = read_c3d(found[0])
    expected = {
        "first0": ("C7", "LASI", "RASI"), "dup": ("C7", "LASI", "LASI_2"),
        "empty": ("C7", "marker_2", "RASI"),
    }.get(name, markers.names)  # fmt: skip
    assert markers.names == expected
    assert len(markers.timeline) == (89 if name == "sgi_int" else 10)
    assert name != "first0" or markers.timeline.frame[0] == 0


def test_parameters_that_overlap_are_refused(tmp_path: Path) -> None:
    """Each a few bytes behind the last and 65,025 values long: a small file of gigabytes."""
    content = bytearray(handmade(84, "<"))
    content += bytes(-len(content) % 512)  # the parameters go behind the file's content
    content[0] = len(content) // 512 + 1
    entry = struct.pack("<bb1shbBBB", 1, 1, b"A", 6, -1, 2, 255, 255)
    content += bytes((0, 0, 255, 84)) + entry * 30_000 + bytes(70_000)
    (tmp_path / "a.c3d").write_bytes(bytes(content))
    with pytest.raises(InputError, match="claim more than a section"):
        read_c3d(tmp_path / "a.c3d")


def test_a_file_without_a_rate_is_refused(tmp_path: Path) -> None:
    content = handmade(84, "<").replace(struct.pack("<f", 50.0), struct.pack("<f", 0.0))
    (tmp_path / "a.c3d").write_bytes(content)  # ezc3d itself would abort the interpreter
    with pytest.raises(InputError, match="RATE is 0 Hz"):
        read_c3d(tmp_path / "a.c3d")


def test_big_endian_and_vax_numbers(tmp_path: Path) -> None:
    """The two other processors of the format, from one hand-made file."""
    for processor, order in ((84, "<"), (86, ">"), (85, "<")):
        path = tmp_path / f"{processor}.c3d"
        path.write_bytes(handmade(processor, order))
        markers = read_c3d(path)
        assert markers.names == ("A",)
        assert markers.timeline == Timeline.regular(2, 50.0)
        np.testing.assert_array_equal(markers.xyz[:, 0], [[1.5, -2.25, 0.125], [np.nan] * 3])


def handmade(processor: int, order: str) -> bytes:
    """A file in three blocks, laid out by hand from the format's description."""

    def real(*values: float) -> bytes:
        if processor != 85:
            return struct.pack(f"{order}{len(values)}f", *values)
        # VAX F: the bits of an IEEE float four times as large, 16-bit halves swapped.
        halves = np.array([4 * v for v in values], "<f4").view("<u2").reshape(-1, 2)[:, ::-1]
        return halves.tobytes()

    def entry(name: bytes, group: int, body: bytes) -> bytes:
        size = struct.pack(f"{order}h", 2 + len(body))
        return struct.pack("bb", len(name), group) + name + size + body

    def text(value: bytes) -> bytes:
        return struct.pack("bBBB", -1, 2, len(value), 1) + value + b"\0"

    parameters = b"".join(
        [
            bytes([1, 80, 1, processor]),
            entry(b"UNITS", 1, text(b"m ")),  # a parameter may come before its group
            entry(b"POINT", -1, b"\0"),
            entry(b"LABELS", 1, text(b"A   ")),
            entry(b"RATE", 1, struct.pack("bB", 4, 0) + real(50.0) + b"\0"),
        ]
    )
    header = bytes([2, 0x50]) + struct.pack(f"{order}5H", 1, 0, 1, 2, 10)
    header += real(-1.0) + struct.pack(f"{order}2H", 3, 0) + real(50.0)
    data = real(1.5, -2.25, 0.125, 0.0) + real(0.0, 0.0, 0.0, -1.0)
    return header.ljust(512, b"\0") + parameters.ljust(512, b"\0") + data


@pytest.mark.parametrize("rate", [0.01, 1.0, 30000 / 1001, 1000.0, 50000.0])
def test_any_rate(tmp_path: Path, rate: float) -> None:
    markers = Markers(Timeline.regular(3, rate), ("A",), np.zeros((3, 1, 3)))
    write_c3d(tmp_path / "a.c3d", markers)
    assert read_c3d(tmp_path / "a.c3d").timeline.rate_hz == pytest.approx(rate, rel=1e-7)


@pytest.mark.parametrize("kept", [0, 1, 600, 1023, 1024, 1300, -1])
def test_a_file_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    write_c3d(tmp_path / "a.c3d", example(frames=40))
    content = (tmp_path / "a.c3d").read_bytes()
    data_end = len(content.rstrip(b"\0"))
    (tmp_path / "b.c3d").write_bytes(content[:kept] if kept >= 0 else content[: data_end - 8])
    with pytest.raises(InputError, match=r"b\.c3d"):
        read_c3d(tmp_path / "b.c3d")


@pytest.mark.parametrize("rate", [1e-30, 1e30, -100.0])
def test_a_rate_that_no_camera_has_is_refused(tmp_path: Path, rate: float) -> None:
    write_with(tmp_path / "a.c3d", RATE=[rate])
    with pytest.raises(InputError, match="POINT:RATE"):
        read_c3d(tmp_path / "a.c3d")


@given(
    changes=st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), min_size=1, max_size=20)
)
@settings(max_examples=300, deadline=2000)
def test_damage_never_escapes_as_another_error(tmp_path_factory, changes) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = folder / "whole.c3d"
    if not whole.exists():
        write_c3d(whole, example(frames=6))
    content = bytearray(whole.read_bytes())
    for at, value in changes:
        content[at % len(content)] = value
    (folder / "damaged.c3d").write_bytes(content)
    with suppress(InputError):
        assert isinstance(read_c3d(folder / "damaged.c3d"), Markers)


DROPPED = np.delete(np.arange(20), 9)


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        (Timeline(DROPPED, DROPPED / 60), "resample"),
        (Timeline.regular(1, 60.0), "two or more frames"),
        (Timeline.regular(0, 60.0), "nothing to write"),
        (Timeline(np.arange(2), [-1.0, 0.0]), "counts frames from 1"),
        (Timeline.regular(2, 60.0, 65534), "65535-65536"),
    ],
)
def test_what_the_format_cannot_say_is_not_written(
    tmp_path: Path, timeline: Timeline, message: str
) -> None:
    markers = Markers(timeline, ("A",), np.zeros((len(timeline), 1, 3)))
    with pytest.raises(InputError, match=message):
        write_c3d(tmp_path / "a.c3d", markers)
    assert not list(tmp_path.iterdir())


def test_the_last_frame_that_fits(tmp_path: Path) -> None:
    markers = Markers(Timeline.regular(65535, 60.0), ("A",), np.ones((65535, 1, 3)))
    write_c3d(tmp_path / "a.c3d", markers)
    assert read_c3d(tmp_path / "a.c3d").timeline == markers.timeline


def test_a_label_that_is_too_long(tmp_path: Path) -> None:
    markers = Markers(Timeline.regular(2, 60.0), ("é" * 64,), np.zeros((2, 1, 3)))
    with pytest.raises(InputError, match="too long"):
        write_c3d(tmp_path / "a.c3d", markers)
