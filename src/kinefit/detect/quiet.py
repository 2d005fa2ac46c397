"""Standard error without what C++ libraries say at every start."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STDERR = Lock()  # one descriptor for all threads: several networks start at the same time
_CHATTER = re.compile(
    rb"XNNPACK delegate|absl::InitializeLog|inference_feedback_manager|NORM_RECT without"
    rb"|GL version|EGL|OpenGL"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep LiteRT's and MediaPipe's known lines off standard error; whatever else is said there
    comes after.

    Their logging knows no level that Python can set (GLOG_minloglevel and TF_CPP_MIN_LOG_LEVEL
    change nothing), so the descriptor itself is turned aside.
    """
    with _STDERR, tempfile.TemporaryFile() as said:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, AttributeError):  # no standard error to protect
            yield
            return
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not _CHATTER.search(line)))
