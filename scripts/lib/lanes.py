"""Suites in two lanes: most one after the other, since they wait for processes and judge by the clock;
beside them, one after the other too, those that only compute. The second lane has a low priority, so
that it takes what the first leaves of the processors and hardly disturbs it. When both lanes are at their
end come, one after the other, the suites that need the machine to themselves.

What they came to is told in the order they were asked for, whoever ends first."""

import contextlib
import os
import threading
import time

from results import Result

NICE = 10  # of the second lane


class Told:
    def __init__(self, names, report):
        self.waiting, self.report = list(names), report
        self.ended, self.total = {}, Result()
        self.changed = threading.Condition()

    def take(self, name, result, seconds):
        with self.changed:
            self.ended[name] = result, seconds
            while self.waiting and self.waiting[0] in self.ended:
                first = self.waiting.pop(0)
                result, seconds = self.ended[first]
                self.report(first, result, seconds)
                self.total.add(result)
            self.changed.notify_all()

    def all(self):
        with self.changed:
            self.changed.wait_for(lambda: not self.waiting)
            return self.total


def run_one(name, suite, told):
    began = time.monotonic()
    try:
        result = suite()
    except Exception as e:  # whatever it is: the others run, and the summary comes
        result = Result()
        result.fail(f"{name} could not run: {e}")
    if result.passed + result.failed == 0:
        result.fail(f"{name} ran nothing")
    told.take(name, result, time.monotonic() - began)


def run_aside(names, suites, first, told):
    os.setpriority(os.PRIO_PROCESS, 0, NICE)  # of this thread, and so of all that it starts
    with contextlib.suppress(Exception):  # whatever it is: the suite that needs it meets it, and tells
        first()
    for name in names:
        run_one(name, suites[name], told)


def run(suites, names, aside, alone, first, report):
    """suites: {name: function that returns a Result}. names: those wanted, in the order they are reported;
    aside: those for the second lane, in its order; alone: those that run when nothing else does. first:
    what the second lane does before all. Returns the sum."""
    told = Told(names, report)
    aside = [n for n in aside if n in names]
    together = [n for n in names if n not in alone and n not in aside]
    if not together:  # the only lane has the usual priority
        together, aside = aside, []
    second = threading.Thread(target=run_aside, args=(aside, suites, first, told), daemon=True)
    if aside:
        second.start()
    for name in together:
        run_one(name, suites[name], told)
    if aside:
        second.join()
    for name in names:
        if name in alone:
            run_one(name, suites[name], told)
    return told.all()
