"""The import rule holds, and the check that says so can fail."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CONTRACT = """
[importlinter]
root_package = broken

[importlinter:contract:layers]
name = layers
type = layers
layers =
    broken.high
    broken.low
"""


def _lint(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(config), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kinefit_keeps_its_layers():
    root = HERE.parents[1]
    result = _lint(root / "pyproject.toml", root / "src")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_check_catches_a_low_layer_that_imports_a_high_one(tmp_path):
    config = tmp_path / "contract.ini"
    config.write_text(CONTRACT)
    result = _lint(config, HERE)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "broken.low is not allowed to import broken.high" in result.stdout


def test_help_does_not_wait_for_the_numerical_libraries():
    heavy = ("ai_edge_litert", "av", "cv2", "mediapipe", "onnxruntime", "scipy")
    code = f"import sys, kinefit.cli; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
