"""Which trials a folder or a table holds, and what their results are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kinefit.api import demo_views
from kinefit.batch.table import read_trials
from kinefit.batch.trials import shard
from kinefit.types import InputError

ALL = {"height": 1.7}


def files(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def names(source: Path, **options: object) -> list[str]:
    return [trial.name for trial in read_trials(source, {**ALL, **options})]


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """A folder with two folders of the demo's four cameras (empty videos), and the calibration."""
    videos, calibration = demo_views()
    root = files(tmp_path / "lab", *(f"{t}/{v.name}" for t in ("walk", "run") for v in videos))
    shutil.copy(calibration, root / calibration.name)
    return root


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["A/cam01.mp4", "B/cam01.mp4"], ["A/cam01", "B/cam01"]),
        (["walk.mp4", "walk.mov"], ["walk.mov", "walk.mp4"]),
        (["walk.mp4", "Walk.mov"], ["Walk.mov", "walk.mp4"]),
        (["A.mp4", "A/one.mp4"], ["A.mp4", "A/one"]),
        (["Ärzte/Überlauf 1.MP4"], ["Ärzte/Überlauf 1"]),
        (["._walk.mp4", ".hidden/a.mp4", "walk.mp4", "notes.txt"], ["walk"]),
        (["trials.csv.mp4"], ["trials.csv.mp4"]),
        (["out/.kinefit/input.json", "out/a_overlay.mp4", "a.mp4"], ["a"]),
        (["b/.kinefit_batch/x", "b/t/film.mp4", "a.mp4"], ["a"]),
    ],
)
def test_a_video_is_a_trial_named_after_its_path(tmp_path, found, expected):
    assert names(files(tmp_path / "in", *found)) == expected


def test_names_do_not_change_when_another_is_added(tmp_path):
    root = files(tmp_path / "in", "A/a.mp4", "B/b.mp4")
    before = names(root)
    files(root, "C/c.mp4")
    assert set(before) < set(names(root))


@pytest.mark.parametrize("found", [[], ["readme.txt"]])
def test_a_folder_without_videos_is_refused(tmp_path, found):
    root = files(tmp_path, *found)
    with pytest.raises(InputError, match="there is no video in it"):
        read_trials(root, ALL)


def test_names_that_cannot_be_told_apart_are_refused(tmp_path):
    root = files(tmp_path / "in", "a.mp4", "a.mov", "a.mp4.mkv")
    with pytest.raises(InputError, match="a `name` of its own"):
        read_trials(root, ALL)


def test_videos_that_a_calibration_names_are_one_trial(rig):
    found = read_trials(rig, ALL)
    assert [trial.name for trial in found] == ["run", "walk"]
    assert [video.stem for video in found[0].videos] == ["cam01", "cam02", "cam03", "cam04"]
    assert found[0].config.calibration == rig / "Calib.qca.txt"


def test_without_a_calibration_each_is_a_trial(rig):
    (rig / "Calib.qca.txt").unlink()
    assert len(read_trials(rig, ALL)) == 8
    (rig / "Calib.toml").write_text("[project]\nname = 'no calibration'\n")
    assert len(read_trials(rig, ALL)) == 8


def test_a_calibration_for_all_leaves_single_videos_alone(rig):
    (rig / "Calib.qca.txt").rename(rig.parent / "cameras.xml")
    files(rig, "alone/film.mp4")
    found = read_trials(rig, {**ALL, "calibration": rig.parent / "cameras.xml"})
    assert [trial.name for trial in found] == ["alone/film", "run", "walk"]
    assert [trial.config.calibration is None for trial in found] == [True, False, False]
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        read_trials(rig, {**ALL, "calibration": rig / "nowhere.toml"})


def test_the_root_itself_may_be_one_trial(rig):
    shutil.copy(rig / "Calib.qca.txt", rig / "walk")
    assert names(rig / "walk") == ["walk"]


def test_a_rig_with_trials_below_it_has_a_folder_of_its_own(rig):
    files(rig, "walk/more/one.mp4")
    assert names(rig) == ["run", "walk/more/one", "walk/multiview"]


def test_a_height_is_asked_for_before_anything_is_done(tmp_path):
    with pytest.raises(InputError, match="the height is missing"):
        read_trials(files(tmp_path, "a.mp4"), {})


def table(folder: Path, text: str, name: str = "trials.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_csv_line_is_a_trial_with_its_options(tmp_path):
    files(tmp_path, "P1/walk.mp4", "P2/walk.mp4")
    text = "video,height,Mass,person,camera-pof\nP1/walk.mp4,1.8,,,yes\nP2/walk.mp4,,60,2,\n\n"
    one, two = read_trials(table(tmp_path, text), {"height": 1.7, "quality": "fast"})
    assert (one.name, two.name) == ("P1/walk", "P2/walk")
    assert one.videos == (tmp_path / "P1/walk.mp4",)
    assert (one.config.height, one.config.mass, one.config.camera_pof) == (1.8, None, True)
    assert (two.config.height, two.config.mass, two.config.person) == (1.7, 60.0, 2)
    assert one.config.quality == two.config.quality == "fast"


@pytest.mark.parametrize("text", ["video;height\na.mp4;1.8\n", "video\theight\na.mp4\t1.8\n"])
def test_other_separators_are_understood(tmp_path, text):
    assert read_trials(table(tmp_path, text), {})[0].config.height == 1.8


@pytest.mark.parametrize(
    "video", ["walk/cam01.mp4; walk/cam02.mp4;walk/cam03.mp4;walk/cam04.mp4", "walk", "walk/*.mp4"]
)
def test_several_videos_are_listed_or_a_folder_or_a_pattern(rig, video):
    text = f"videos,calibration,height\n{video},Calib.qca.txt,1.7\n"
    (trial,) = read_trials(table(rig, text), {})
    assert trial.name == "walk"
    assert len(trial.videos) == 4
    assert trial.config.calibration == rig / "Calib.qca.txt"


def test_decimal_commas_beside_semicolons(tmp_path):
    text = "video;height;person_at\na.mp4;1,8;640,360\n"
    (one,) = read_trials(table(tmp_path, text), {})
    assert one.config.height == 1.8
    assert one.config.person_at == "640,360"


def test_toml_has_defaults_that_options_and_trials_win_over(tmp_path):
    text = """
    [defaults]
    height = 1.6
    quality = "fast"
    visibility-min = 0.1
    [[trial]]
    video = "a.mp4"
    [[trial]]
    video = ["c/cam1.mp4", "c/cam2.mp4"]
    calibration = "c/cameras.toml"
    name = "both"
    height = 1.9
    """
    a, both = read_trials(table(tmp_path, text, "t.toml"), {"quality": "best"})
    assert (a.config.height, both.config.height) == (1.6, 1.9)
    assert a.config.quality == "best"
    assert a.config.visibility_min == 0.1
    assert both.name == "both"
    assert both.config.calibration == tmp_path / "c/cameras.toml"


def test_paths_out_of_the_folder_are_names_too(tmp_path):
    files(tmp_path, "data/a.mp4", "tables/x")
    (trial,) = read_trials(table(tmp_path / "tables", "video\n../data/a.mp4\n"), ALL)
    assert trial.videos == (tmp_path / "data/a.mp4",)
    assert trial.name == (tmp_path / "data/a").as_posix().lstrip("/")


def test_a_video_that_is_not_there_is_a_trial_all_the_same(tmp_path):
    trials = read_trials(table(tmp_path, "video\nmissing.mp4\nnone/*.mp4\n"), ALL)
    assert len(trials) == 2


def test_one_video_may_be_two_trials_of_two_names(tmp_path):
    text = "video,name,person\na.mp4,left,1\na.mp4,right,2\n"
    assert names(table(tmp_path, text)) == ["left", "right"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video,hieght\na.mp4,1.7\n", "no option `hieght`. Next: call it `height`"),
        ("video,xyz\na.mp4,1\n", "no option `xyz`. Next: see kinefit run --help"),
        ("video,height\na.mp4,9\n", r"line 2: --height: 9 m is not the height of a person"),
        ("video,height\na.mp4\n", "line 2: has 1 cells, the header 2"),
        ("video,height,height\na.mp4,1,1\n", "two columns have one name"),
        ("height\n1.7\n", "line 2: names no video"),
        ("video\n", "there is no trial in it"),
        ("video\na.mp4\na.mp4\n", "is the same trial as"),
        ("video,name\na.mp4,../b\n", "'../b' cannot be the name"),
        ("video,name\na.mp4,/etc\n", "'/etc' cannot be the name"),
        (f"video\n{'a' * 300}.mp4\n", "has no such long name"),
        ("video,name\na.mp4,.kinefit_batch/x\n", "cannot be the name"),
        ("video,name\na.mp4,batch.html\n", "cannot be the name"),
        ("video,name\na.mp4,x\nb.mp4,x/y\n", "would hold other trials"),
        ('video\n"a.mp4\n', "unexpected end of data"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_trials(table(tmp_path, text), ALL)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[trials]]\nvideo='a'\n", "`trials` does not belong there"),
        ("trial = 3\n", "`trial` does not belong there"),
        ("trial = [3]\n", "trial 1: is no table"),
        ("[[trial]]\nvideo = 3\n", "`video` is not a path in quotes"),
        ("[[trial]]\nvideo = []\n", "names no video"),
        ("[defaults]\nx = 3\n[[trial]]\nvideo='a'\n", "no option `x`"),
        ("[[trial]\n", "is not valid TOML"),
    ],
)
def test_bad_toml_is_refused(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_trials(table(tmp_path, text, "t.toml"), ALL)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["film.mp4", "nothing.csv"])
def test_what_is_no_table_is_refused(tmp_path, name):
    files(tmp_path, "film.mp4")
    with pytest.raises(InputError):
        read_trials(tmp_path / name, ALL)


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 20])
def test_shards_hold_every_trial_exactly_once(tmp_path, parts):
    trials = read_trials(files(tmp_path, *(f"{i:02}.mp4" for i in range(11))), ALL)
    dealt = [shard(trials, f"{i}/{parts}") for i in range(1, parts + 1)]
    assert sorted(t.name for part in dealt for t in part) == [t.name for t in trials]
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "-1/2", "1/0", ""])
def test_what_is_no_part_is_refused(tmp_path, part):
    with pytest.raises(InputError, match="--shard"):
        shard(read_trials(files(tmp_path, "a.mp4"), ALL), part)


@pytest.mark.parametrize("root", [".data", "results"])
def test_the_folder_that_was_named_is_never_passed_over(tmp_path, root):
    files(tmp_path / root, "a.mp4", ".kinefit_batch/x")
    assert names(tmp_path / root) == ["a"]


@pytest.mark.parametrize("space", ["\u202f", "\u3000", "\xa0", "\u2028"])
def test_any_space_may_be_in_a_name(tmp_path, space):
    assert names(files(tmp_path, f"a{space}b.mp4")) == [f"a{space}b"]


@pytest.mark.parametrize("bad", ["\n", "\x1b", "\x7f", "\x85", "\udcff"])
def test_control_characters_and_broken_text_are_refused(tmp_path, bad):
    with pytest.raises(InputError, match="cannot be the name"):
        names(files(tmp_path, f"a{bad}b.mp4"))


@pytest.mark.parametrize("given", ["P1/*.mp4", "{}/P1/*.mp4"])
def test_the_table_s_folder_is_no_pattern(tmp_path, given):
    root = files(tmp_path / "lab [1]", "P1/a.mp4", "P1/b.mp4")
    text = f"video,name\n{given.format(root)},both\n"
    (trial,) = read_trials(table(root, text), ALL)
    assert trial.videos == (root / "P1/a.mp4", root / "P1/b.mp4")


def test_a_body_counts_from_the_table_s_folder(tmp_path):
    files(tmp_path, "bodies/SMPLX.npz", "a.mp4", "b.mp4")
    one, two = read_trials(table(tmp_path, "video,body\na.mp4,bodies/SMPLX.npz\nb.mp4,anny\n"), ALL)
    assert one.config.body == str(tmp_path / "bodies/SMPLX.npz")
    assert two.config.body == "anny"
    (one,) = read_trials(table(tmp_path, "video,camera_pof,pof_model\na.mp4,1,n.onnx\n"), ALL)
    assert one.config.pof_model == str(tmp_path / "n.onnx")
