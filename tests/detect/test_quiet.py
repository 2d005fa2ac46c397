"""Known chatter is kept off standard error; everything else is said."""

import os
import subprocess
import sys
import threading

from kinefit.detect.quiet import quiet

CHATTER = (
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "W0000 00:00:1795992386.3 18989 inference_feedback_manager.cc:114] Feedback manager requires a",
)


def say(*lines: str) -> None:
    """As a C++ library does: past Python, on the descriptor."""
    os.write(2, "".join(f"{line}\n" for line in lines).encode())


def test_chatter_is_dropped_and_the_rest_comes_after(capfd) -> None:
    with quiet():
        say(CHATTER[0], "something is wrong", *CHATTER[1:])
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "something is wrong\n"
    say(CHATTER[0])
    assert capfd.readouterr().err == f"{CHATTER[0]}\n"  # not turned aside any more


def test_errors_pass_and_standard_error_is_given_back(capfd) -> None:
    try:
        with quiet():
            say("before the error")
            raise KeyError("x")
    except KeyError:
        say("after it")
    assert capfd.readouterr().err == "before the error\nafter it\n"


def test_several_threads_take_turns(capfd) -> None:
    def work() -> None:
        for _ in range(20):
            with quiet():
                say(CHATTER[0], "kept")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err == "kept\n" * 80


def test_a_process_without_standard_error() -> None:
    code = """
import os, sys
os.close(2)
sys.stderr = None
from kinefit.detect.quiet import quiet
with quiet():
    print("worked")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "worked\n"
