"""Runs the tasks of a plan, several at a time, and stops at the first that fails."""
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple

from data.errors import InputError
from data.files import ROOT
from data.progress import progress_bar
from tools.lib.experiment.plan import is_done
from tools.lib.signals import handled

POLL_SECONDS = 0.2

#: A running task. log_path: of its output. takes_place: whether another may start when it ends.
#: device: that it computes on, or None.
Running = namedtuple("Running", "task process log_path takes_place device")


def _start(task, device, threads, log_folder):
    """Starts a task on a device, or None, with its share of threads; (process, its output's path).
    """
    log_path = os.path.join(log_folder, f"{task.name.replace(' ', '_').replace('/', '_')}.log")
    env = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    with open(log_path, "wb") as log:
        return subprocess.Popen(_argv(task, device), cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=subprocess.STDOUT), log_path


def _argv(task, device):
    """The task's command, with --device where it computes and a device is chosen."""
    return task.argv + (["--device", device] if task.computes and device else [])


def _failure(task, code, log_path):
    with open(log_path, encoding="utf-8", errors="replace") as log:
        last = log.read().strip().splitlines()[-12:]
    shown = "\n    ".join(last)
    return InputError(f"{task.name} ended with exit code {code}; the end of its output "
                      f"({os.path.relpath(log_path, ROOT)}):\n    {shown}",
                      "after the repair run the same command again: it skips the finished tasks")


def _exit_on_signal(number, frame):
    sys.exit(128 + number)      # an exception, so that run() still stops its commands


def run(tasks, jobs, threads, log_folder, devices=()):
    """Runs the tasks whose result is missing, `jobs` at a time, each after those that it needs.

    threads: of each task.  log_folder: gets the tasks' output.  devices: none where each command
    chooses; ["cpu"]; or GPUs, as many as `jobs`: each has one command at a time, and tasks that
    compute nothing run beside them.  Ctrl-C and SIGTERM reach the running commands, which save and
    end by themselves.  When a task fails, the others are stopped, and InputError with the end of
    its output is raised.
    """
    on_gpus = bool(devices) and devices[0] != "cpu"
    free = list(devices) if on_gpus else [devices[0] if devices else None] * jobs
    os.makedirs(log_folder, exist_ok=True)
    names = {task.name for task in tasks if not is_done(task)}
    waiting = [task for task in tasks if task.name in names]
    running, finished = {}, set()
    with handled([signal.SIGTERM], _exit_on_signal), \
            progress_bar(total=len(waiting), desc="tasks", unit="task", leave=True) as bar:
        try:
            while waiting or running:
                ready = [task for task in waiting
                         if not (set(task.needs) & names) - finished]
                for task in ready:
                    takes_place = task.computes or not on_gpus
                    if takes_place and not free:
                        continue
                    device = free.pop(0) if takes_place else None
                    waiting.remove(task)
                    process, log_path = _start(task, device, threads, log_folder)
                    running[task.name] = Running(task, process, log_path, takes_place, device)
                    bar.set_description(", ".join(running))
                time.sleep(POLL_SECONDS)
                for name, started in list(running.items()):
                    code = started.process.poll()
                    if code is None:
                        continue
                    del running[name]
                    if code or not is_done(started.task):
                        raise _failure(started.task, code, started.log_path)
                    if started.takes_place:
                        free.append(started.device)
                    finished.add(name)
                    bar.set_description(", ".join(running))
                    bar.update()
        finally:
            for started in running.values():
                started.process.terminate()
            for started in running.values():
                started.process.wait()
