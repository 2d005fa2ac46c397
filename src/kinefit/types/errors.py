"""What goes wrong, as types.

Every message names the offender (file, frame, camera or option), says why it cannot be
used, and ends with the next thing to do. The command line prints it and exits with 2.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def _sentence(text: str) -> str:
    """With one full stop, whether it comes with an end of its own or not."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


class KinefitError(Exception):
    """Base of every error a user can act on."""

    @property
    def bare_reason(self) -> str:
        """The message without the next thing to do, for another error to go on with."""
        return str(self).partition(" Next:")[0].rstrip(".")

    def __reduce__(self) -> tuple[Any, ...]:
        """As message and attributes, so that it survives the way from a worker process."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InputError(KinefitError):
    """A file, folder or option that cannot be used.

    >>> str(InputError("walk.mp4", "the file is empty", "copy it again from the camera"))
    'walk.mp4: the file is empty. Next: copy it again from the camera.'
    """

    def __init__(self, source: str | Path, reason: str, hint: str) -> None:
        self.source, self.reason, self.hint = str(source), reason, hint
        super().__init__(f"{source}: {_sentence(reason)} Next: {_sentence(hint)}")


class NobodyFound(InputError):
    """A video or picture in which no frame shows a person."""

    def __init__(self, source: str | Path, n_frames: int) -> None:
        what = "it" if n_frames == 1 else f"any of its {n_frames} frames"
        hint = "check that the whole body is in the picture, upright and well lit"
        super().__init__(source, f"no person was found in {what}", hint)


class Cancelled(KinefitError):
    """Work that was stopped because the user asked for it."""


class InvalidData(KinefitError):
    """Values that contradict a type's contract (shape, range, order); found at construction."""


class TooFewPoints(KinefitError):
    """Too little data for a computation that would otherwise return a number.

    what: of which there is too little. hint: the next thing to do.
    """

    def __init__(
        self,
        what: str,
        *,
        found: int,
        needed: int,
        frame: int | None = None,
        hint: str = "check that the whole person is seen",
    ) -> None:
        self.found, self.needed, self.frame = found, needed, frame
        where = "" if frame is None else f" in frame {frame}"
        super().__init__(
            f"{what}: {found} found{where}, at least {needed} are needed. Next: {_sentence(hint)}"
        )


class NoCommonTime(TooFewPoints):
    """Two recordings that no moment is in both of.

    >>> str(NoCommonTime((8.66, 9.5), (0.0, 5.0))).partition(" Next")[0]
    'No common times: 8.66 to 9.5 s against 0 to 5 s of the reference.'
    """

    def __init__(self, times: tuple[float, float], reference: tuple[float, float]) -> None:
        self.found, self.needed, self.frame = 0, 1, None
        (a, b), (c, d) = times, reference
        ranges = f"{a:.6g} to {b:.6g} s against {c:.6g} to {d:.6g} s of the reference"
        hint = "check that both are of the same recording, and their clocks"
        KinefitError.__init__(self, f"No common times: {ranges}. Next: {hint}.")


class MissingMarkers(KinefitError):
    """Markers that a computation needs are absent from the data."""

    def __init__(self, what: str, missing: Iterable[str], hint: str) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"{what}: missing markers {', '.join(self.missing)}. Next: {_sentence(hint)}"
        )


class MissingDependency(KinefitError):
    """An optional package is not installed; how: the command that does it."""

    def __init__(self, package: str, purpose: str, how: str) -> None:
        self.package = package
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed. "
            f"Next: {how} (see docs/install.md)."
        )
