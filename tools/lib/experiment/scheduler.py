"""Runs tasks that need each other, several at a time; stops at the first that fails."""
import os
import signal
import subprocess
import sys
import time

from tqdm import tqdm

from data.errors import InputError
from data.files import ROOT
from tools.lib.experiment.plan import done

POLL_SECONDS = 0.2


def _start(task, threads, log_folder):
    """(process, path of its output) of a task; its threads share the cores with its neighbours."""
    log_path = os.path.join(log_folder, f"{task.name.replace(' ', '_').replace('/', '_')}.log")
    env = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    with open(log_path, "wb") as log:
        return subprocess.Popen(task.argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=subprocess.STDOUT), log_path


def _failure(task, code, log_path):
    with open(log_path, encoding="utf-8", errors="replace") as log:
        last = log.read().strip().splitlines()[-12:]
    return InputError("%s ended with exit code %d; the end of its output (%s):\n    %s" % (
        task.name, code, os.path.relpath(log_path, ROOT), "\n    ".join(last)),
        fix="after the repair run the same command again: what is done stays done")


def _leave(number, frame):
    sys.exit(128 + number)      # so that run() still stops its commands


def run(tasks, jobs, threads, log_folder):
    """Runs the tasks whose result is not there yet, `jobs` at a time, needs first.

    Ctrl-C and SIGTERM reach the running commands, which save and end by themselves.  Raises
    InputError with the end of its output when one fails; the others are stopped too.
    """
    os.makedirs(log_folder, exist_ok=True)
    names = {task.name for task in tasks if not done(task)}
    waiting = [task for task in tasks if task.name in names]
    running, finished = {}, set()
    before = signal.signal(signal.SIGTERM, _leave)
    with tqdm(total=len(waiting), unit="task", mininterval=1) as bar:
        try:
            while waiting or running:
                ready = [task for task in waiting
                         if not (set(task.needs) & names) - finished]
                for task in ready[:jobs - len(running)]:
                    waiting.remove(task)
                    running[task.name] = (task,) + _start(task, threads, log_folder)
                    bar.set_description(", ".join(running))
                time.sleep(POLL_SECONDS)
                for name, (task, process, log_path) in list(running.items()):
                    code = process.poll()
                    if code is None:
                        continue
                    del running[name]
                    if code or not done(task):
                        raise _failure(task, code, log_path)
                    finished.add(name)
                    bar.set_description(", ".join(running))
                    bar.update()
        finally:
            for _, process, _ in running.values():
                process.terminate()
            for _, process, _ in running.values():
                process.wait()
            signal.signal(signal.SIGTERM, before)
