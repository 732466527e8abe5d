"""Runs the tasks of a plan, several at a time, and stops at the first that fails."""
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
    """Starts a task with its share of threads; (process, path of its output)."""
    log_path = os.path.join(log_folder, f"{task.name.replace(' ', '_').replace('/', '_')}.log")
    env = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    with open(log_path, "wb") as log:
        return subprocess.Popen(task.argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=subprocess.STDOUT), log_path


def _failure(task, code, log_path):
    with open(log_path, encoding="utf-8", errors="replace") as log:
        last = log.read().strip().splitlines()[-12:]
    shown = "\n    ".join(last)
    return InputError(f"{task.name} ended with exit code {code}; the end of its output "
                      f"({os.path.relpath(log_path, ROOT)}):\n    {shown}",
                      "after the repair run the same command again: it skips the finished tasks")


def _exit_on_signal(number, frame):
    sys.exit(128 + number)      # an exception, so that run() still stops its commands


def run(tasks, jobs, threads, log_folder):
    """Runs the tasks whose result is missing, `jobs` at a time, each after those that it needs.

    threads: of each task.  log_folder: gets the tasks' output.  Ctrl-C and SIGTERM reach the
    running commands, which save and end by themselves.  When a task fails, the others are stopped,
    and InputError with the end of its output is raised.
    """
    os.makedirs(log_folder, exist_ok=True)
    names = {task.name for task in tasks if not done(task)}
    waiting = [task for task in tasks if task.name in names]
    running, finished = {}, set()
    before = signal.signal(signal.SIGTERM, _exit_on_signal)
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
