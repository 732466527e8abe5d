"""Memory, open files and processes of a toy GA + CA run over many iterations."""
import os
import re
import time
from collections import namedtuple

from data.errors import InputError
from data.files import write_aside
from data.progress import progress_bar
from tools.bench.toy_run import last_iteration, start, write_solver

#: iteration: the last one in the log.  training, workers: resident MB of the training process and
#: of its data workers.  files: open files of the training process.  processes: the training process
#: and its children, those that write a snapshot or draw the curve included.
Sample = namedtuple("Sample", "iteration training workers files processes")

DISPLAY = 20
#: Iterations after which buffers, caches and the allocator have settled.
SETTLED = 200


def watch_run(iterations, folder):
    """Trains the toy with GA + CA; a Sample for each `display` of its log.

    InputError when the run fails or ends before iteration SETTLED.
    """
    solver = write_solver("ga_ca", folder, max_iter=iterations, display=DISPLAY,
                          snapshot=max(iterations // 4, 1))
    output, samples, workers = os.path.join(folder, "out"), [], None
    with open(os.path.join(folder, "log.txt"), "w+b") as log, \
            progress_bar(total=iterations, desc="watching", unit="it") as bar:
        process = start(solver, output, log)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                reached = last_iteration(output)
                if reached is not None and (not samples or reached > samples[-1].iteration):
                    # the children of the first sample: no snapshot is being written yet
                    workers = workers or children(process.pid)
                    sample = take_sample(process.pid, workers, reached)
                    if sample is not None:
                        samples.append(sample)
                        bar.update(reached - bar.n)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0 or not samples or samples[-1].iteration < SETTLED:
            last = samples[-1].iteration if samples else "none"
            raise InputError(f"the run ended with exit code {process.returncode} at iteration "
                             f"{last}; at least {SETTLED} are needed")
    return samples


def take_sample(pid, workers, iteration):
    """A Sample of the process `pid` and its data workers; None when one of them has just ended."""
    try:
        return Sample(iteration, resident(pid), sum(map(resident, workers)),
                      len(os.listdir(f"/proc/{pid}/fd")), 1 + len(children(pid)))
    except (OSError, AttributeError):
        return None


def resident(pid):
    """Resident MB of a process, shared pages included. OSError when it has ended."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1000


def children(pid):
    """Process numbers of the children of `pid`."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(number) for number in file.read().split()]


def figures(samples):
    """{row: value} of the samples from iteration SETTLED on."""
    settled = [sample for sample in samples if sample.iteration >= SETTLED]
    first = settled[0]

    def growth(name):
        part = max(getattr(sample, name) for sample in settled) / getattr(first, name) - 1
        return f"{100 * part:.2f} %"

    def extremes(name):
        values = [getattr(sample, name) for sample in settled]
        return f"{min(values)}, {max(values)}"

    return {
        "iterations": samples[-1].iteration, "samples": len(samples),
        f"training process at iteration {first.iteration}, MB": round(first.training, 1),
        "most after that, MB": round(max(sample.training for sample in settled), 1),
        "growth at most": growth("training"),
        f"data worker at iteration {first.iteration}, MB": round(first.workers, 1),
        "its growth at most": growth("workers"),
        "open files, fewest and most": extremes("files"),
        "processes, fewest and most": extremes("processes"),
    }


def draw_curve(samples, path):
    """Draws memory over iterations as the PNG file `path`."""
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
