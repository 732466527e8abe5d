"""Memory, open files and processes of a run, from start to end."""
import os
import re
import time
from collections import namedtuple

from tqdm import tqdm

from data.errors import InputError
from data.files import write_aside
from tools.bench.endurance.toy_run import start, write_solver
from tools.lib.training.log import LOG, read_log

#: iteration: last one in the log; training, workers: resident MB of the training process and of the
#: data
#: workers; files: open files; processes: it and its children, those that write a snapshot or draw
#: included.
Sample = namedtuple("Sample", "iteration training workers files processes")

DISPLAY = 20
#: Iterations after which buffers, caches and the allocator have settled.
SETTLED = 200


def watch_run(iterations, folder):
    """Samples of one toy GA + CA run, one each `display` of its log."""
    solver = write_solver("ga_ca", folder, max_iter=iterations, display=DISPLAY,
                          snapshot=max(iterations // 4, 1))
    output, samples, workers = os.path.join(folder, "out"), [], None
    with open(os.path.join(folder, "log.txt"), "w+b") as log, \
            tqdm(total=iterations, desc="watching", unit="it") as bar:
        process = start(solver, output, log)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                reached = _iteration(output)
                if reached is not None and (not samples or reached > samples[-1].iteration):
                    # in training, before any snapshot
                    workers = workers or children(process.pid)
                    sample = take_sample(process.pid, workers, reached)
                    if sample is not None:
                        samples.append(sample)
                        bar.update(reached - bar.n)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0 or not samples or samples[-1].iteration < SETTLED:
            raise InputError(
                "the run ended with exit code %s at iteration %s; at least %d are "
                "needed" %
                (process.returncode, samples[-1].iteration if samples else "none", SETTLED))
    return samples


def take_sample(pid, workers, iteration):
    """A Sample of a process and its data workers' numbers, or None when one of them ended
    meanwhile."""
    try:
        return Sample(iteration, resident(pid), sum(map(resident, workers)),
                      len(os.listdir(f"/proc/{pid}/fd")), 1 + len(children(pid)))
    except (OSError, AttributeError):
        return None


def resident(pid):
    """MB of a process that are in memory, pages that it shares included."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1000


def children(pid):
    """Numbers of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(number) for number in file.read().split()]


def figures(samples):
    """What the samples say after SETTLED iterations, in words."""
    settled = [sample for sample in samples if sample.iteration >= SETTLED]
    first = settled[0]

    def growth(name):
        return max(getattr(sample, name) for sample in settled) / getattr(first, name) - 1

    return {
        "iterations": samples[-1].iteration, "samples": len(samples),
        f"training process at iteration {first.iteration}, MB": round(first.training, 1),
        "most after that, MB": round(max(sample.training for sample in settled), 1),
        "growth at most": f"{100 * growth('training'):.2f} %",
        f"data worker at iteration {first.iteration}, MB": round(first.workers, 1),
        "its growth at most": f"{100 * growth('workers'):.2f} %",
        "open files, fewest and most": "%d, %d" % _range(settled, "files"),
        "processes, fewest and most": "%d, %d" % _range(settled, "processes"),
    }


def draw_curve(samples, path):
    """Memory over iterations as a PNG."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 3.5))
    at = [sample.iteration for sample in samples]
    axis.plot(at, [sample.training for sample in samples], label="training process, resident")
    axis.plot(at, [sample.workers for sample in samples], label="its data worker, resident")
    axis.axvline(SETTLED, color="grey", linestyle=":", label="settled")
    axis.set(xlabel="iteration", ylabel="MB", ylim=(0, None), title="Memory of a toy GA + CA run")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    with write_aside(path) as aside:
        figure.savefig(aside, dpi=100)
    pyplot.close(figure)


def _iteration(output):
    train = [
        entry["iteration"] for entry in read_log(os.path.join(output, LOG))
        if entry["kind"] == "train"
    ]
    return train[-1] if train else None


def _range(samples, name):
    values = [getattr(sample, name) for sample in samples]
    return min(values), max(values)
