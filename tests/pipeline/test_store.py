"""A stage is reused exactly when nothing it depends on has changed."""

import json
from pathlib import Path

import pytest

from kinefit.pipeline import store
from kinefit.pipeline.store import open_run
from kinefit.types import InputError


class Counter:
    """Stage work that writes its files and counts how often it was done."""

    def __init__(self, *files: Path, text: str = "x") -> None:
        self.files, self.text, self.done = list(files), text, 0

    def __call__(self) -> list[Path]:
        self.done += 1
        for file in self.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.text)
        return self.files


def _refuses() -> list[Path]:
    raise InputError("v.mp4", "nobody in it", "film somebody")


def run(path, *works, sha="a", overwrite=False, parameters=None):
    """Run one stage after the other, each depending on the one before."""
    with open_run(path, source=Path("v.mp4"), input_sha256=sha, overwrite=overwrite) as folder:
        done = ()
        for name, work in works:
            folder.stage(name, work, parameters=parameters or {}, after=done[-1:])
            done += (name,)
        return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_second_run_reuses_and_changes_do_not(out, monkeypatch):
    first, second = Counter(out / "1.txt"), Counter(out / "2.txt")
    works = [("one", first), ("two", second)]
    run(out, *works)
    assert all(r.reused for r in run(out, *works).records.values())
    assert (first.done, second.done) == (1, 1)

    run(out, *works, parameters={"cutoff": 5})
    assert (first.done, second.done) == (2, 2)

    monkeypatch.setattr(store, "code_version", lambda: "other")
    run(out, *works, parameters={"cutoff": 5})
    assert (first.done, second.done) == (3, 3)


def test_a_changed_result_upstream_reaches_downstream(out):
    second = Counter(out / "2.txt")
    run(out, ("one", Counter(out / "1.txt", text="old")), ("two", second))
    (out / "1.txt").unlink()
    run(out, ("one", Counter(out / "1.txt", text="new")), ("two", second))
    assert second.done == 2


@pytest.mark.parametrize("damage", [Path.unlink, lambda p: p.write_text("edited")])
def test_a_lost_or_edited_file_is_made_again(out, damage):
    work = Counter(out / "1.txt")
    run(out, ("one", work))
    damage(out / "1.txt")
    run(out, ("one", work))
    assert work.done == 2
    assert (out / "1.txt").read_text() == "x"


def test_a_stage_that_died_half_way_is_done_again(out):
    def dies() -> list[Path]:
        (out / "1.txt").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run(out, ("zero", Counter(out / "0.txt")), ("one", dies))
    zero, one = Counter(out / "0.txt"), Counter(out / "1.txt")
    run(out, ("zero", zero), ("one", one))
    assert (zero.done, one.done) == (0, 1)


def test_files_a_new_result_lacks_are_removed(out):
    run(out, ("one", Counter(out / "1.txt", out / "extra.txt")))
    run(out, ("one", Counter(out / "1.txt")), parameters={"extra": False})
    assert not (out / "extra.txt").exists()


def test_another_input_is_refused_then_overwritten_without_touching_foreign_files(out):
    run(out, ("one", Counter(out / "sub" / "1.txt")))
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="another input"):
        run(out, sha="b")
    run(out, ("two", Counter(out / "2.txt")), sha="b", overwrite=True)
    assert not (out / "sub").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_kinefit_did_not_make_is_refused_even_with_overwrite(out):
    out.mkdir()
    (out / "thesis.doc").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="did not write"):
            run(out, overwrite=overwrite)
    assert [p.name for p in out.iterdir()] == ["thesis.doc"]


def test_a_refused_input_leaves_nothing_behind(out):
    with pytest.raises(InputError):
        run(out, ("one", _refuses))
    assert not out.exists()


def test_an_earlier_result_survives_a_later_refusal(out):
    work = Counter(out / "1.txt")
    run(out, ("one", work))
    with pytest.raises(InputError):
        run(out, ("one", work), ("two", _refuses))
    run(out, ("one", work))
    assert work.done == 1


def test_an_empty_folder_of_the_user_stays_and_stays_empty(out):
    out.mkdir()
    with pytest.raises(InputError):
        run(out, ("one", _refuses))
    assert list(out.iterdir()) == []


def test_a_forged_record_deletes_nothing_outside(out, tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    run(out, ("one", Counter(out / "1.txt")))
    record = out / ".kinefit" / "one.json"
    value = json.loads(record.read_text())
    value["files"]["../precious.txt"] = "0"
    record.write_text(json.dumps(value))
    run(out, ("one", Counter(out / "1.txt")))
    record.write_text(json.dumps(value))
    run(out, sha="b", overwrite=True)
    assert precious.read_text() == "mine"


def test_half_written_files_of_a_killed_run_are_removed(out):
    run(out, ("one", Counter(out / "1.txt")))
    leftover = out / "sub" / ".kinefit-part-abc.trc"
    leftover.parent.mkdir()
    leftover.write_text("half")
    run(out, ("one", Counter(out / "1.txt")))
    assert not leftover.exists()


def test_what_other_options_left_behind_goes(out):
    run(out, ("one", Counter(out / "1.txt")), ("two", Counter(out / "sub" / "2.txt")))
    folder = run(out, ("one", Counter(out / "1.txt")))
    folder.forget_stages_not_run()
    assert (out / "1.txt").exists()
    assert not (out / "sub").exists()
    assert not (out / ".kinefit" / "two.json").exists()


def test_folders_made_for_a_refused_run_go_too(tmp_path):
    with pytest.raises(InputError):
        run(tmp_path / "a" / "b", ("one", _refuses))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("claim", ["[1]", "3", "{"])
def test_a_claim_that_is_none_is_foreign(out, claim):
    (out / ".kinefit").mkdir(parents=True)
    (out / ".kinefit" / "input.json").write_text(claim)
    (out / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        run(out)


def test_a_stage_done_again_takes_what_followed_from_the_old_one_with_it(out):
    run(out, ("one", Counter(out / "1.txt")), ("two", Counter(out / "2.txt")))
    (out / "run.json").write_text("{}")
    (out / "1.txt").unlink()
    with pytest.raises(InputError):
        run(out, ("one", Counter(out / "1.txt", text="new")), ("two", _refuses))
    assert (out / "1.txt").read_text() == "new"
    assert not (out / "2.txt").exists()
    assert not (out / "run.json").exists()
