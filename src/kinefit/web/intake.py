"""What users upload: names made harmless, and content looked at by a child with limits.

`python -m kinefit.web.intake FILE PICTURE` prints facts of a video as JSON and writes its first
picture, or reads a calibration; it may use so much memory and time and no more, because decoders
read hostile files.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

VIDEO_ENDS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".3gp")
CALIBRATION_ENDS = (".toml", ".txt", ".yml", ".yaml", ".json")
MOST_CALIBRATION_BYTES = 5_000_000
_MEMORY, _SECONDS = 4 * 2**30, 60  # of the processor
_PATIENCE_S = 180  # on a clock: a busy server is no fault of the file
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
    stems = {Path(one).stem.lower() for one in taken}  # cameras are told by them
    count, free = 1, plain
    while free.lower() in stems:
        count += 1
        free = f"{plain}_{count}"
    return free + end


_AT_ONCE = threading.Semaphore(2)  # looks, each of which may take so much memory


def look_at(file: Path) -> tuple[str, dict[str, Any]]:
    """(why it cannot be used or "", facts) of a file; the first picture of a video is written
    beside it (`picture_of`)."""
    command = [sys.executable, "-m", "kinefit.web.intake", str(file), str(picture_of(file))]
    with _AT_ONCE:
        return _look(command)


def picture_of(video: Path) -> Path:
    """Where the first picture of a video lies."""
    return video.with_suffix(".jpg")


def _look(command: list[str]) -> tuple[str, dict[str, Any]]:
    try:
        done = subprocess.run(  # noqa: S603 (our own)
            command, stdout=subprocess.PIPE, timeout=_PATIENCE_S, stdin=subprocess.DEVNULL
        )
        told = json.loads(done.stdout)
        if not isinstance(told, dict):
            raise ValueError(told)
    except subprocess.TimeoutExpired:
        return "Reading it takes too long. Next: save it anew with another program.", {}
    except ValueError:
        return "It cannot be read. Next: save it anew with another program.", {}
    return str(told.pop("problem", "")), told


def _main(file: Path, picture: Path) -> dict[str, Any]:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    from kinefit.types import KinefitError

    try:
        return _video(file, picture) if file.suffix in VIDEO_ENDS else _calibration(file)
    except KinefitError as error:
        return {"problem": str(error).replace(str(file), file.name)}


def _calibration(file: Path) -> dict[str, Any]:
    from kinefit.io.calibration import read_calibration

    return {"cameras": [camera.name for camera in read_calibration(file).rig]}


def _video(video: Path, picture: Path) -> dict[str, Any]:
    import cv2
    import numpy as np

    from kinefit.io.pictures import write_picture
    from kinefit.io.video import frames, probe

    info = probe(video)
    first = next((frame.rgb for frame in frames(video) if frame.rgb is not None), None)
    if first is None:
        return {"problem": "None of its pictures can be decoded. Next: save it anew."}
    scale = min(1.0, _PICTURE_PX / max(first.shape[:2]))
    size = [max(1, round(scale * side)) for side in first.shape[1::-1]]
    small = cv2.resize(first, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    write_picture(picture, small)
    return {"size": list(info.size), "frames": info.n_frames, "rate_hz": round(info.rate_hz, 3)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(Path(sys.argv[1]), Path(sys.argv[2]))))
