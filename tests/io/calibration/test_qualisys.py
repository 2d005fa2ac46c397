"""Qualisys' export: its 64ths of pixels, millimetres, camera axes, and hostile XML."""

import numpy as np
import pytest

from kinefit.geometry.projection import project_rig
from kinefit.io.calibration import read_calibration
from kinefit.types import InputError

HEAD = "<?xml version='1.0' encoding='ASCII'?>\n"


def _qca(rig, *, left=0, top=0, extra="", model="Miqus Video") -> str:
    """The rig as Qualisys would write it: Z up, millimetres, camera axes x right, y up, z back."""
    cameras = ""
    for camera in rig:
        z_up = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # (x, y, z) -> (z, x, y)
        axes = np.diag([1.0, -1, -1]) @ camera.R @ z_up.T
        x, y, z = 1000 * z_up @ camera.centre
        K = camera.K * 64
        r = " ".join(f'r{i + 1}{j + 1}="{axes[i, j]!r}"' for i in range(3) for j in range(3))
        k1, k2, p1, p2, k3 = [*camera.distortion, 0.0][:5]
        w, h = camera.size
        cameras += f"""
        <camera active="1" avg-residual="0.4" serial="{camera.name}" model="{model}"
         viewrotation="0">
        <fov_video left="{left}" top="{top}" right="{left + w - 1}" bottom="{top + h - 1}"/>
        <transform x="{x!r}" y="{y!r}" z="{z!r}" {r}/>
        <intrinsic focalLengthU="{K[0, 0]!r}" focalLengthV="{K[1, 1]!r}"
         centerPointU="{K[0, 2] + 64 * left!r}" centerPointV="{K[1, 2] + 64 * top!r}" skew="0"
         sensorMinU="0" sensorMaxU="{64 * (w + left) - 1}" sensorMinV="0" sensorMaxV="{64 * h - 1}"
         radialDistortion1="{k1!r}" radialDistortion2="{k2!r}" radialDistortion3="{k3!r}"
         tangentalDistortion1="{p1!r}" tangentalDistortion2="{p2!r}"/>
        </camera>"""
    text = f'{HEAD}<calibration source="x"><cameras>{cameras}{extra}</cameras></calibration>'
    return text.replace("np.float64(", "").replace(')"', '"')


@pytest.mark.parametrize("window", [(0, 0), (200, 40)])
def test_a_rig_comes_back_from_qualisys(tmp_path, rig, points, window):
    path = tmp_path / "Calib.qca.txt"
    path.write_text(_qca(rig, left=window[0], top=window[1]))
    found = read_calibration(path)
    assert (found.format, found.up, found.residual_unit) == ("qualisys", "z", "mm")
    assert found.rig.names == rig.names
    assert [c.size for c in found.rig] == [c.size for c in rig]
    # 1e-8 px: positions go through millimetres and 64ths and back.
    np.testing.assert_allclose(
        project_rig(found.rig, points), project_rig(rig, points), rtol=0, atol=1e-8
    )
    text = "\n".join(found.assumptions)
    for said in ("millimetres, as Qualisys", "world Z up", "(y, z, x)", "1/64 pixel", "y up"):
        assert said in text


def test_without_a_window_the_size_is_the_sensors(tmp_path, rig):
    path = tmp_path / "Calib.qca.txt"
    lines = [n for n in _qca(rig).splitlines() if "fov_video" not in n]
    path.write_text("\n".join(lines))
    assert read_calibration(path).rig.cameras[0].size == (1280, 720)


def test_marker_and_inactive_cameras_are_left_out_and_named(tmp_path, rig):
    path = tmp_path / "Calib.qca.txt"
    marker = _qca(rig.select(["cam_1"]), model="Miqus M3").split("<cameras>")[1]
    marker = marker.split("</cameras>")[0].replace('"cam_1"', '"M3"')
    idle = marker.replace('"M3"', '"idle"').replace('active="1"', 'active="0"')
    path.write_text(_qca(rig, extra=marker + idle))
    found = read_calibration(path)
    assert found.rig.names == rig.names
    assert "left out as inactive or not filming: M3, idle" in found.assumptions


def test_a_turned_camera_is_said(tmp_path, rig):
    path = tmp_path / "c.qca.txt"
    for turn in (90, 180):
        path.write_text(_qca(rig).replace('viewrotation="0"', f'viewrotation="{turn}"', 1))
        found = read_calibration(path)
        assert any(f"cam_0 is turned by {turn} degrees" in a for a in found.assumptions)
        # A picture of a quarter turn has another shape; one upside down nothing tells.
        assert [f.level for f in found.findings] == ["caution"] * (turn == 180)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('r11="', 'r11="x'), "cam_0: r11 is"),
        (('r11="', 'was="'), "cam_0: transform has no r11"),
        (('focalLengthU="', 'focalLengthU="nan'), "focalLengthU"),
        (("</camera>", ""), "damaged XML"),
        (('right="1279"', 'right="1279000"'), "sensor ends"),
        (('left="0"', 'left="1280"'), "0 x 720"),
        (("<intrinsic", "<intrinsics"), "cam_0: intrinsic has no"),
        (('serial="cam_0"', 'serial="cam_1"'), "two cameras are called cam_1"),
    ],
)
def test_damage_is_named(tmp_path, rig, change, said):
    path = tmp_path / "Calib.qca.txt"
    path.write_text(_qca(rig).replace(*change, 1))
    with pytest.raises(InputError, match=said):
        read_calibration(path)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE c [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE c SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_document_types_and_entities_are_refused(tmp_path, rig, head):
    path = tmp_path / "Calib.qca.txt"
    path.write_text(_qca(rig).replace(HEAD, HEAD + head))
    with pytest.raises(InputError, match="document type"):
        read_calibration(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEAD + "<a>" * 100, "too deep"),
        (HEAD + "<a>" + "<b/>" * 200_000 + "</a>", "too large"),
        (HEAD + "<calibration/>", "no Qualisys camera"),
        (HEAD, "damaged"),
    ],
)
def test_trees_that_are_no_calibration_are_refused(tmp_path, content, said):
    path = tmp_path / "Calib.qca.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        read_calibration(path)


def test_the_real_export_of_the_demo(demo_videos):
    found = read_calibration(demo_videos / "Calib.qca.txt")
    assert found.rig.names == ("cam01", "cam02", "cam03", "cam04")
    assert all(c.size == (1088, 1920) for c in found.rig)
    assert found.residuals["cam01"] == 0.402
    # The tripods are man-high: 1.69 to 2.09 m in the file's z, which is now y.
    heights = [c.centre[1] for c in found.rig]
    np.testing.assert_allclose(heights, [1.8965, 1.6910, 2.0882, 1.8818], atol=1e-4)
