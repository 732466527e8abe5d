"""Applies a function to many items on all cores, for commands that read a whole data set.

Python's own ProcessPoolExecutor and multiprocessing.Pool are not used: in Python 3.9 the shutdown
of either can wait for ever after work that failed or was cancelled
(github.com/python/cpython/issues/94777 is one such case), and both fork workers while threads of
their own run.
"""
import collections
import functools
import traceback
from multiprocessing.connection import wait

from data.cores import usable_cores
from data.errors import InputError
from data.worker import end_worker, start_worker

CHUNK = 8  # items a worker takes at a time: the hand-over is then small beside reading one image

#: A worker's answer to the number of a chunk: its results, or the exception and its traceback.
_Answer = collections.namedtuple("_Answer", "number results error trace")


class WorkerTraceback(Exception):
    """The traceback of a worker's exception, as text: set as the cause when it is raised here."""


def each_result(function, items, workers=None, chunk=CHUNK):
    """Yields function(item) for every item of a sequence, in order, computed in forked processes.

    workers: how many (default: as many as data.cores.usable_cores; 1 computes here); chunk: items a
    worker takes at a time. Only a few chunks are under way at a time, so memory does not grow with
    the number of items. An exception in `function` is raised here; a worker that dies raises
    InputError. Workers end with this process.
    """
    workers = workers or usable_cores()
    if workers == 1:
        yield from map(function, items)
        return
    chunks = [items[start:start + chunk] for start in range(0, len(items), chunk)]
    team = []
    try:
        for _ in range(min(workers, len(chunks))):
            team.append(start_worker(functools.partial(_serve, function=function, chunks=chunks)))
        yield from _in_order(len(chunks), [pipe for _, pipe in team])
    finally:
        for pid, pipe in team:
            end_worker(pid, pipe)


def _in_order(count, pipes):
    """Yields the results of the chunks 0 to count - 1."""
    # two chunks a worker, so that it has one while this process is busy
    free = collections.deque(pipes * 2)
    answers = {}
    asked = 0
    for number in range(count):
        try:
            while True:
                while free and asked < min(count, number + 3 * len(pipes)):
                    free.popleft().send(asked)
                    asked += 1
                if number in answers:
                    break
                for pipe in wait(pipes):
                    answer = pipe.recv()
                    answers[answer.number] = answer
                    free.append(pipe)
        except (EOFError, ConnectionError):
            raise InputError(
                "a worker process died, perhaps killed for lack of memory",
                "free memory, or use fewer workers where the command has --workers") from None
        answer = answers.pop(number)
        if answer.error is not None:
            raise answer.error from WorkerTraceback(answer.trace)
        yield from answer.results


def _serve(pipe, function, chunks):
    """In a worker: answers until the other end is closed."""
    while True:
        number = pipe.recv()
        try:
            answer = _Answer(number, [function(item) for item in chunks[number]], None, "")
        except Exception as error:
            answer = _Answer(number, [], error, traceback.format_exc())
        pipe.send(answer)
