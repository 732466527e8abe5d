"""A function over many items on all cores, for the tools that walk a whole data set."""
import collections
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import cv2

from data.errors import InputError
from data.worker import leave_with

CHUNK = 8  # items a worker takes at a time: the hand-over is then small beside reading one image

_function = None  # a worker's own: it comes with the fork, so that nothing has to be picklable but items and results


def each_result(function, items, workers=None):
    """Yields function(item) for every item of a sequence, in order, computed in forked processes.

    workers: how many (default: one a core this process may use; 1 computes here). Only a few chunks of items are under
    way at a time, so memory does not grow with their number. An exception in `function` is raised here; a worker that
    dies raises InputError. Workers end with this process.
    """
    workers = workers or len(os.sched_getaffinity(0))
    if workers == 1:
        yield from map(function, items)
        return
    chunks = (items[start:start + CHUNK] for start in range(0, len(items), CHUNK))
    # OpenCV's threads do not survive a fork, and a child that touches them hangs: none may be left in the parent.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    executor = ProcessPoolExecutor(workers, get_context("fork"), _begin, (function, os.getpid()))
    under_way = collections.deque()
    try:
        for chunk in chunks:
            under_way.append(executor.submit(_run, chunk))
            if len(under_way) > 2 * workers:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    except BrokenProcessPool:
        raise InputError("a worker process died, perhaps killed for want of memory",
                         "use fewer of them: --workers") from None
    finally:
        for future in under_way:
            future.cancel()
        executor.shutdown()
        cv2.setNumThreads(threads)


def _begin(function, parent):
    global _function
    _function = function
    leave_with(parent, True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the executor ends the others when one has died


def _run(items):
    return [_function(item) for item in items]
