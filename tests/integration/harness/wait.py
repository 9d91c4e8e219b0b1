"""Waiting for a condition, never for luck: every wait has a deadline and says what it waited for."""

import os
import time

# One knob for slow machines and for runs under valgrind or a sanitizer.
SLOWNESS = float(os.environ.get("TRUEUP_TEST_SLOWNESS", "1"))


class Late(AssertionError):
    pass


def until(condition, what, seconds=20.0, every=0.02, alive=None):
    """Polls until condition() is truthy and returns its value. `alive` may raise to end it early,
    for instance when the process that is waited for has died."""
    deadline = time.monotonic() + seconds * SLOWNESS
    pause = every
    while True:
        value = condition()
        if value:
            return value
        if alive is not None:
            alive()
        if time.monotonic() > deadline:
            raise Late(f"waited {seconds * SLOWNESS:.0f} s for {what}; last seen: {value!r}")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)
