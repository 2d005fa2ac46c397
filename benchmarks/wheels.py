"""Which wheels the run-time dependencies have, as the table of docs/install.md.

    python benchmarks/wheels.py      (a Python that has pip)

Asks pip, for each direct dependency in pyproject.toml, system and Python version, to download the
newest wheel without its dependencies: one that is found can be installed there without a compiler.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
# The oldest of each that is asked for, then newer ones: pip takes a wheel of exactly these tags.
SYSTEMS = {
    "Linux x86_64": [f"manylinux_2_{glibc}_x86_64" for glibc in (17, 24, 27, 28)],
    "macOS arm64": [f"macosx_{version}_0_arm64" for version in (11, 12, 13, 14, 15)],
    "Windows x86_64": ["win_amd64"],
}


def main() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    print(f"| | {' | '.join(SYSTEMS)} |\n| --- {'| --- ' * len(SYSTEMS)}|")
    for requirement in project["project"]["dependencies"]:
        print(f"| {row(requirement)} |", flush=True)


def row(requirement: str) -> str:
    """One line of the table: the name, then for each system the Pythons and the wheel's tag."""
    cells = []
    for platforms in SYSTEMS.values():
        tags = {python: platform_tag(requirement, python, platforms) for python in PYTHONS}
        found = sorted({tag for tag in tags.values() if tag})
        lacking = [python for python, tag in tags.items() if not tag]
        cells.append(", ".join(found) + (f"; none for {', '.join(lacking)}" if lacking else ""))
    return " | ".join([re.split("[<>=!~]", requirement)[0], *cells])


def platform_tag(requirement: str, python: str, platforms: list[str]) -> str:
    """What follows the ABI in the newest wheel's name ("any", "win_amd64", ...); "" for none."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, requirement]
    command += [f"--platform={platform}" for platform in platforms]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, "--dest", folder], capture_output=True, text=True)
        if done.returncode:
            return ""
        return next(Path(folder).iterdir()).stem.split("-")[-1].split(".")[0]


if __name__ == "__main__":
    main()
