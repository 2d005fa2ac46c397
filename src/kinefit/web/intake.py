"""What users upload: names made harmless, and content looked at by a child with limits.

`python -m kinefit.web.intake FILE PICTURE` prints facts of a video as JSON and writes its first
picture; it may use so much memory and time and no more, because decoders read hostile files.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

VIDEO_ENDS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".3gp")
CALIBRATION_ENDS = (".toml", ".txt", ".yml", ".yaml", ".json")
MOST_CALIBRATION_BYTES = 5_000_000
_MEMORY, _SECONDS = 4 * 2**30, 60
_PICTURE_PX = 1280  # longer side


def stored_name(name: str, kind: str, taken: set[str]) -> str:
    """A file name for an upload: of its own letters, digits and dashes, unlike all that are taken.
    Cameras are told by it, so it is kept as far as it is harmless.

    Raises ValueError, with a sentence for the user, for a kind of file that is not read.
    """
    stem, end = Path(name.replace("\\", "/")).stem, Path(name).suffix.lower()
    if end not in (VIDEO_ENDS if kind == "video" else CALIBRATION_ENDS):
        known = ", ".join(VIDEO_ENDS if kind == "video" else CALIBRATION_ENDS)
        raise ValueError(
            f"Files that end in {end or 'nothing'} are not read. Next: one of {known}."
        )
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")[:60] or kind
    count, found = 1, plain + end
    while found in taken:
        count += 1
        found = f"{plain}_{count}{end}"
    return found


def look_at(video: Path, picture: Path) -> tuple[str, dict[str, Any]]:
    """(why it cannot be used or "", facts) of a video; its first picture is written."""
    command = [sys.executable, "-m", "kinefit.web.intake", str(video), str(picture)]
    try:
        done = subprocess.run(  # noqa: S603 (our own)
            command, stdout=subprocess.PIPE, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
        told = json.loads(done.stdout)
        if not isinstance(told, dict):
            raise ValueError(told)
    except subprocess.TimeoutExpired:
        return "Reading it takes too long. Next: save it anew with another program.", {}
    except ValueError:
        return "It cannot be read as a video. Next: save it anew with another program.", {}
    return str(told.pop("problem", "")), told


def _main(video: Path, picture: Path) -> dict[str, Any]:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    import cv2
    import numpy as np

    from kinefit.io.video import frames, probe
    from kinefit.render.body_overlay import write_picture
    from kinefit.types import KinefitError

    try:
        info = probe(video)
        first = next((frame.rgb for frame in frames(video) if frame.rgb is not None), None)
    except KinefitError as error:
        return {"problem": str(error).replace(str(video), video.name)}
    if first is None:
        return {"problem": "None of its pictures can be decoded. Next: save it anew."}
    scale = min(1.0, _PICTURE_PX / max(first.shape[:2]))
    size = [max(1, round(scale * side)) for side in first.shape[1::-1]]
    small = cv2.resize(first, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    write_picture(picture, small)
    return {"size": list(info.size), "frames": info.n_frames, "rate_hz": round(info.rate_hz, 3)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(Path(sys.argv[1]), Path(sys.argv[2]))))
