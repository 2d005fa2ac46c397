"""`kinefit augment`: 43 markers more, and no deviation, for how far the passes differ is none."""

import numpy as np
from typer.testing import CliRunner

from benchmarks.augment import motion
from kinefit.cli.commands import app
from kinefit.io.trc import read_trc, write_trc


def test_markers_of_another_program_get_the_augmenter_s(tmp_path):
    given = motion(30)
    write_trc(tmp_path / "a.trc", given)
    arguments = ["augment", str(tmp_path / "a.trc"), "--height", "1.7", "--mass", "70"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "b.trc")])
    assert result.exit_code == 0, result.output
    found = read_trc(tmp_path / "b.trc")
    assert len(found.names) == 65
    np.testing.assert_allclose(found.select(given.names).xyz, given.xyz, atol=1e-5)
    header = (tmp_path / "b_uncertainty.csv").read_text().splitlines()[0]
    assert "r_knee_study_estimated" in header
    assert "_sd_" not in header
