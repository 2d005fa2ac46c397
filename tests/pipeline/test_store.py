"""A results folder reuses what holds, replaces only its own files, and loses nothing."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kinefit.pipeline.store import Folder, open_folder
from kinefit.types import InputError

INPUTS = {"v.mp4": "a" * 64}


def stage(folder: Folder, name: str, files: dict[str, str], key: str = "k", after=()) -> bool:
    """Do a stage unless it is valid; whether it was done."""
    key = f"{key}{name}".ljust(64, "0")
    if folder.valid(name, key) is not None:
        return False
    staged = folder.staging(name, key)
    for file, text in files.items():
        (staged / file).parent.mkdir(parents=True, exist_ok=True)
        (staged / file).write_text(text)
    folder.commit(name, key, 0.1, {a: folder.records[a].digest for a in after}, {})
    return True


def claim(folder: Folder, sha: str = "a", overwrite: bool = False) -> None:
    folder.claim("v", {"v.mp4": sha * 64}, overwrite=overwrite)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def names(folder: Path) -> set[str]:
    """The user's files."""
    return {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file() and ".kinefit" not in p.parts
    }


def test_a_stage_is_reused_until_its_key_or_its_files_change(out):
    with open_folder(out) as folder:
        assert stage(folder, "one", {"1.txt": "x"})
    with open_folder(out) as folder:
        assert not stage(folder, "one", {"1.txt": "x"})
        assert stage(folder, "one", {"1.txt": "y"}, key="other")
    (out / "1.txt").unlink()
    with open_folder(out) as folder:
        assert stage(folder, "one", {"1.txt": "y"}, key="other")
    assert (out / "1.txt").read_text() == "y"


def test_what_followed_from_an_earlier_result_stays_and_is_stale(out):
    with open_folder(out) as folder:
        stage(folder, "one", {"1.txt": "old"})
        stage(folder, "two", {"2.txt": "of old"}, after=["one"])
        stage(folder, "three", {"3.txt": "of 2"}, after=["two"])
        stage(folder, "beside", {"4.txt": "x"})
        stage(folder, "one", {"1.txt": "new"}, key="other")
        stale = {name: folder.is_stale(name) for name in folder.records}
    assert stale == {"one": False, "two": True, "three": True, "beside": False}
    assert names(out) == {"1.txt", "2.txt", "3.txt", "4.txt"}


def test_an_edited_file_is_made_again_and_the_edit_is_kept(out):
    for text in ("mine", "mine too"):
        with open_folder(out) as folder:
            stage(folder, "one", {"a.trc": "x"})
        (out / "a.trc").write_text(text)
    with open_folder(out) as folder:
        stage(folder, "one", {"a.trc": "x"})
        assert folder.kept == ["a.edited2.trc"]
    assert (out / "a.trc").read_text() == "x"
    assert (out / "a.edited.trc").read_text() == "mine"
    assert (out / "a.edited2.trc").read_text() == "mine too"


@pytest.mark.parametrize("owner", ["another stage", "the user"])
def test_a_file_of_somebody_else_is_never_replaced(out, owner):
    with open_folder(out) as folder:
        stage(folder, "zero", {"z.txt": "z"})
        if owner == "the user":
            (out / "1.txt").write_text("theirs")
        else:
            stage(folder, "other", {"1.txt": "theirs"})
        with pytest.raises(InputError, match="choose another --out"):
            stage(folder, "one", {"1.txt": "x"})
    assert (out / "1.txt").read_text() == "theirs"
    with open_folder(out) as folder:
        assert "one" not in folder.records
    assert not list(out.rglob("*staging*"))


def test_half_done_work_is_dropped_and_half_done_moves_are_finished(out):
    with open_folder(out) as folder:
        stage(folder, "one", {"1.txt": "x", "2.txt": "y"})
        staged = folder.staging("two", "k" * 64)
        (staged / "3.txt").write_text("half")
        again = folder.staging("one", folder.records["one"].key)
        os.replace(out / "1.txt", again / "1.txt")  # killed between the two moves
    with open_folder(out) as folder:
        assert not stage(folder, "one", {"1.txt": "x", "2.txt": "y"})
    assert names(out) == {"1.txt", "2.txt"}
    assert not (out / ".kinefit" / "staging").exists()


def test_partial_work_is_kept_until_the_stage_is_recorded(out):
    with open_folder(out) as folder:
        stage(folder, "zero", {"z.txt": "z"})
        folder.partial("one").mkdir(parents=True)
        (folder.partial("one") / "chunk").write_text("1")
    with open_folder(out) as folder:
        assert (folder.partial("one") / "chunk").exists()
        stage(folder, "one", {"1.txt": "x"})
    assert not (out / ".kinefit" / "partial").exists()


def test_another_input_is_refused_then_overwritten_without_touching_other_files(out):
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"sub/1.txt": "x", "edited.txt": "x"})
    (out / "notes.txt").write_text("mine")
    (out / "edited.txt").write_text("mine")
    with open_folder(out) as folder, pytest.raises(InputError, match="another input"):
        claim(folder, "b")
    with open_folder(out) as folder:
        claim(folder, "b", overwrite=True)
        stage(folder, "two", {"2.txt": "x"})
    assert names(out) == {"notes.txt", "edited.txt", "2.txt"}
    assert not (out / "sub").exists()


def test_a_folder_kinefit_did_not_make_is_refused_even_with_overwrite(out):
    out.mkdir()
    (out / "thesis.doc").write_text("mine")
    for overwrite in (False, True):
        with open_folder(out) as folder, pytest.raises(InputError, match="did not write"):
            claim(folder, overwrite=overwrite)
    assert [p.name for p in out.iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize("text", ["[1]", "3", "{", '{"stem": 1}'])
def test_a_claim_that_is_none_is_foreign(out, text):
    (out / ".kinefit").mkdir(parents=True)
    (out / ".kinefit" / "input.json").write_text(text)
    (out / "thesis.doc").write_text("mine")
    with open_folder(out) as folder, pytest.raises(InputError, match="did not write"):
        claim(folder)


def test_nothing_finished_leaves_nothing_behind(tmp_path):
    with open_folder(tmp_path / "a" / "b") as folder:
        claim(folder)
        (folder.staging("one", "k" * 64) / "half").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_what_was_finished_survives_a_refusal(out):
    with suppress(InputError), open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"1.txt": "x"})
        raise InputError("v.mp4", "nobody in it", "film somebody")
    with open_folder(out) as folder:
        assert not stage(folder, "one", {"1.txt": "x"})


def test_a_forged_record_reaches_nothing_outside(out, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"1.txt": "x"})
        digest = folder.records["one"].files["1.txt"]
    precious.write_text("x")  # the hash of the forged record is right, too
    record = out / ".kinefit" / "stages" / "one.json"
    value = json.loads(record.read_text())
    (out / "link").symlink_to(tmp_path, target_is_directory=True)
    value["files"] |= {"link/precious.txt": digest}
    record.write_text(json.dumps(value))
    with open_folder(out) as folder, pytest.raises(InputError, match="link"):
        claim(folder, "b", overwrite=True)
    value["files"] = {"../precious.txt": digest}
    record.write_text(json.dumps(value))
    with open_folder(out) as folder:
        assert folder.records == {}
    assert precious.exists()


@pytest.mark.parametrize(
    "forged",
    [
        {"files": {"x" * 300: "0"}}, {"left": {"a/" * 600 + "b": "0"}}, {"seconds": 10**400},
        {"about": {"\ud800": 1}}, {"files": {"\ud800": "0"}}, {"files": {"/etc/passwd": "0"}},
    ],
    ids=["long name", "long way", "huge number", "half a character", "half in a name", "absolute"],
)  # fmt: skip
def test_a_record_that_nothing_can_hold_is_none(out, forged):
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"1.txt": "x"})
    record = out / ".kinefit" / "stages" / "one.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | forged))
    with open_folder(out) as folder:
        assert folder.records == {}
        claim(folder)
        stage(folder, "two", {"2.txt": "x"})


def test_links_among_unfinished_work_are_removed_not_followed(out, tmp_path):
    """A killed process's moves are finished, but not with files of another folder."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "1.txt").write_text("x")
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"1.txt": "x", "a/2.txt": "x"})
        key = folder.records["one"].key
    internal = out / ".kinefit"
    (out / "1.txt").unlink()
    (out / "a" / "2.txt").unlink()
    for part in ("staging", "partial"):
        (internal / part).mkdir(exist_ok=True)
    (internal / "partial" / "one").symlink_to(stranger)
    staged = internal / "staging" / f"one.{key[:16]}"
    staged.symlink_to(stranger)
    with open_folder(out) as folder:
        assert not (out / "1.txt").exists()
        assert not folder.partial("one").exists()
    staged.parent.mkdir(exist_ok=True)
    staged.mkdir()
    (stranger / "2.txt").write_text("x")
    (staged / "a").symlink_to(stranger)
    with open_folder(out):
        assert not (out / "a" / "2.txt").exists()
    staged.parent.mkdir(exist_ok=True)
    with open_folder(out) as folder:
        staged.parent.mkdir(exist_ok=True)
        staged.symlink_to(stranger)
        folder.staging("one", key)
        assert not staged.is_symlink()
    assert sorted(p.name for p in stranger.iterdir()) == ["1.txt", "2.txt"]


def test_records_that_read_one_another_in_a_circle(out):
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"1.txt": "x"})
        stage(folder, "two", {"2.txt": "x"}, after=["one"])
        for name, other in (("one", "two"), ("two", "one")):
            record = out / ".kinefit" / "stages" / f"{name}.json"
            value = json.loads(record.read_text())
            value["after"] = {other: folder.records[other].digest}
            record.write_text(json.dumps(value))
    with open_folder(out) as folder:
        assert set(folder.records) == {"one", "two"}
        assert not folder.is_stale("one")


@pytest.mark.parametrize("where", ["joint_angles", "a/b", "stages"])
def test_no_link_in_a_folder_leads_a_deletion_outside(out, tmp_path, where):
    """A folder that kinefit made, in which a sub-folder was replaced by a link since."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "1.txt").write_text("x")
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {f"{where}/1.txt": "x"})
    mine = out / where
    (mine / "1.txt").unlink()
    mine.rmdir()
    mine.symlink_to(stranger, target_is_directory=True)
    with open_folder(out) as folder, pytest.raises(InputError, match="link"):
        claim(folder, "b", overwrite=True)
    assert (stranger / "1.txt").read_text() == "x"


@pytest.mark.parametrize("part", ["stages", "staging", "partial", "input.json"])
def test_no_internal_part_may_be_a_link(out, tmp_path, part):
    """Whatever lies in them is removed when it is old: it must be kinefit's."""
    stranger = tmp_path / "stranger"
    (stranger / "one").mkdir(parents=True)
    (stranger / "one" / "precious.txt").write_text("x")
    (out / ".kinefit").mkdir(parents=True)
    (out / ".kinefit" / part).symlink_to(stranger, target_is_directory=True)
    with pytest.raises(InputError, match="link"), open_folder(out) as folder:
        claim(folder, overwrite=True)
    assert (stranger / "one" / "precious.txt").exists()


def test_a_file_that_is_a_link_takes_nothing_with_it(out, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with open_folder(out) as folder:
        claim(folder)
        stage(folder, "one", {"1.txt": "x"})
    (out / "1.txt").unlink()
    (out / "1.txt").symlink_to(tmp_path / "mine.txt")
    with open_folder(out) as folder:
        claim(folder, "b", overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "x"


def test_an_internal_folder_that_is_a_link_is_refused(out, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    out.mkdir()
    (out / ".kinefit").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(InputError, match="link"), open_folder(out):
        pass


def test_two_processes_never_write_one_folder(out):
    code = (
        "import sys; from pathlib import Path; from kinefit.pipeline.store import open_folder\n"
        "from kinefit.types import InputError\n"
        f"try:\n    with open_folder(Path({str(out)!r})): pass\n"
        "except InputError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", code]
    with open_folder(out) as folder:
        stage(folder, "one", {"1.txt": "x"})
        other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another process is writing" in other.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_a_result_is_taken_over_from_another_folder(out, tmp_path):
    files, key = {"a.txt": "x", ".kinefit/b.npz": "y"}, "kone".ljust(64, "0")
    with open_folder(tmp_path / "lender") as lender:
        stage(lender, "zero", {"0.txt": "z"})
        stage(lender, "one", files, after=("zero",))
        with open_folder(out) as folder:
            stage(folder, "zero", {"0.txt": "z"})
            assert not folder.adopt(lender, "two", key)  # there is none
            assert not folder.adopt(lender, "one", "another key")
            assert folder.adopt(lender, "one", key)
            assert folder.records["one"] == lender.records["one"]
            assert not folder.is_stale("one")
    assert {name: (out / name).read_text() for name in files} == files
    assert {name: (tmp_path / "lender" / name).read_text() for name in files} == files
    with open_folder(out) as folder:
        assert not stage(folder, "one", files)  # it is there


def test_a_damaged_result_is_not_taken_over(out, tmp_path):
    with open_folder(tmp_path / "lender") as lender, open_folder(out) as folder:
        stage(lender, "one", {"a.txt": "x"})
        (tmp_path / "lender" / "a.txt").write_text("edited")
        assert not folder.adopt(lender, "one", "kone".ljust(64, "0"))
    assert not out.exists()


def test_what_is_taken_over_replaces_no_file_of_somebody_else(out, tmp_path):
    out.mkdir()
    (out / "a.txt").write_text("mine")
    with open_folder(tmp_path / "lender") as lender, open_folder(out) as folder:
        stage(lender, "one", {"a.txt": "x"})
        with pytest.raises(InputError, match="is not kinefit's"):
            folder.adopt(lender, "one", "kone".ljust(64, "0"))
    assert (out / "a.txt").read_text() == "mine"


def test_a_file_that_a_stage_leaves_out_and_makes_again_is_still_its_own(tmp_path: Path) -> None:
    """As with an option that is turned off and on: it stays meanwhile, and is then replaced."""

    def make(key: str, *names: str) -> Folder:
        with open_folder(tmp_path) as folder:
            staged = folder.staging("s", key)
            for name in names:
                (staged / name).write_text(key, "utf-8")
            folder.commit("s", key, 0.0, {}, {})
        return folder

    for key, names, held in (("1", "ab", "1"), ("2", "a", "1"), ("3", "ab", "3")):
        folder = make(key, *names)
        assert (tmp_path / "b").read_text("utf-8") == held
        assert set(folder.records["s"].left) == set("ab") - set(names)
    make("4", "a")
    (tmp_path / "b").write_text("mine", "utf-8")
    make("5", "a", "b")
    assert (tmp_path / "b.edited").read_text("utf-8") == "mine"
    assert (tmp_path / "b").read_text("utf-8") == "5"
