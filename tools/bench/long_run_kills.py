"""Kills a run at random moments, writing a snapshot included, and compares its final bytes."""
import glob
import os
import random
import statistics
import time

from data.errors import InputError
from data.files import sha256
from data.progress import progress_bar
from tools.bench.toy_run import require_exit, start, write_solver
from tools.lib.training.log import LOG, iteration_seconds
from tools.lib.training.snapshots import PARTIAL, read_manifest

#: Iterations of the run for each kill. A kill costs the run two or three, and the run must not end
#: before the last kill.
ITERATIONS = 5
#: Longest time that a run trains, or starts, before a kill, in iterations, so that it gets equally
#: far on machines of any speed. Kills at any moment would mostly hit the start, which takes longer
#: than a step.
LONGEST_TRAINING, LONGEST_START = 2.0, 6.0


def survive_kills(stage, kills, seed, folder):
    """Trains a toy stage once undisturbed and once under `kills` SIGKILLs; {column: value} of both.

    Both runs have dropout, shuffling, a prefetching worker, iter_size 2, steps of the learning rate
    and a snapshot every iteration. seed: of the moments. folder: to be made, for both runs.
    InputError when the run ended before the last kill.
    """
    os.makedirs(folder)
    iterations = ITERATIONS * (kills + 1)
    solver = write_solver(stage, folder, iter_size=2, lr_policy="step", gamma=0.5, stepsize=15,
                          max_iter=iterations, snapshot=1, display=5)
    with open(os.path.join(folder, "log.txt"), "w+b") as log:
        undisturbed, killed = (os.path.join(folder, name) for name in ("undisturbed", "killed"))
        require_exit(start(solver, undisturbed, log, "--keep-snapshots", "1").wait(), log)
        counts = _kill(solver, killed, log, kills, random.Random(seed), stage,
                       statistics.median(iteration_seconds(os.path.join(undisturbed, LOG))))
    if sum(counts.values()) < kills:
        raise InputError(f"the run of {stage} ended after {sum(counts.values())} of {kills} kills",
                         "give it more iterations: ITERATIONS in tools/bench/long_run_kills.py")
    name = f"toy_{stage}_iter_{iterations}.caffemodel"
    same = sha256(os.path.join(undisturbed, name)) == sha256(os.path.join(killed, name))
    return {"kills": sum(counts.values()), "before the first step": counts["start"],
            "while training": counts["training"], "while writing a snapshot": counts["writing"],
            "final caffemodel": "same bytes" if same else "DIFFERS"}


def _kill(solver, output, log, kills, draw, stage, iteration):
    """Starts and kills the run until it ends by itself: {activity: kills}.

    iteration: seconds of one.
    """
    counts = dict(start=0, training=0, writing=0)
    bar = progress_bar(total=kills, desc=f"kills of {stage}", unit="kill")
    while True:
        process = start(solver, output, log, "--resume", "--keep-snapshots", "2")
        try:
            if sum(counts.values()) < kills:
                counts[_wait_for_moment(process, output, draw, iteration)] += 1
                process.kill()
                bar.update(1)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code != -9:
            require_exit(code, log)
            bar.close()
            return counts


def _wait_for_moment(process, output, draw, iteration):
    """Waits for a random moment: the activity of the run then, "start", "training" or "writing"."""
    before = _newest(output)
    kind = draw.choice(("start", "training", "training", "writing", "writing"))
    if kind == "start":
        time.sleep(draw.uniform(0, LONGEST_START * iteration))
    else:
        _wait(process, lambda: _newest(output) > before)
        if kind == "training":
            time.sleep(draw.uniform(0, LONGEST_TRAINING * iteration))
        else:
            _wait(process, lambda: _writing(output))
            time.sleep(draw.uniform(0, 0.03))
    if _writing(output):
        return "writing"
    return "training" if _newest(output) > before else "start"


def _newest(output):
    return max([entry["iteration"] for entry in read_manifest(output)], default=-1)


def _writing(output):
    return bool(glob.glob(os.path.join(output, PARTIAL, "*_iter_*")))


def _wait(process, condition):
    while process.poll() is None and not condition():
        time.sleep(0.002)
