"""The steps of tools/train.py in order."""
import os
import signal
import sys
import time

from data.files import ROOT
from tools.lib.checking import glog
from tools.lib.checking.device import device_memory
from tools.lib.checking.dry_run import dry_run_solver
from tools.lib.checking.memory import check_memory
from tools.lib.checking.net import running_layers
from tools.lib.checking.solver import load_nets, load_solver
from tools.lib.outputs import make_folder
from tools.lib.training import manifest, parallel, run_folder, weights
from tools.lib.training import options as command_options
from tools.lib.training import record as records
from tools.lib.training.data_lists import check_files, data_lists
from tools.lib.training.engine import Engine, choose_device
from tools.lib.training.follower import follow
from tools.lib.training.lock import FolderLock
from tools.lib.training.log import Log
from tools.lib.training.loop import train
from tools.lib.training.plot import plot_apart
from tools.lib.training.progress import Progress
from tools.lib.training.signals import Signals
from tools.lib.training.snapshots import Snapshots
from tools.lib.training.solver import output_folder, resolve, shown
from tools.lib.training.watch import ClassifierWatch, FirstLossWatch

#: Seconds between two drawings of the plot while a run goes on.
PLOT_EVERY = 60


def main(arguments=None):
    """Trains; returns the exit code: 0 at max_iter, 128 + number after a signal."""
    options = command_options.parse(arguments)
    group = parallel.join()
    if not group.leads:
        return follow(group)
    folder = output_folder(options)
    record = records.read_record(folder) if options.resume else None
    run_folder.recall_options(options, record)
    command_options.use_data_root(options)

    # Everything that can be known to be wrong is found before anything is written.
    resolved = resolve(options)
    solver = load_solver(options.solver)
    train_net, test_nets = load_nets(solver, options.solver)
    # Paths in prototxts and param_strs are relative to the repository, as for stock Caffe there.
    os.chdir(ROOT)
    check_files([train_net] + test_nets, shown(options.solver))
    shapes = dry_run_solver(solver, train_net, test_nets, shown(options.solver))
    data = data_lists([train_net] + test_nets)
    entry = manifest.newest_complete(folder, say) if options.resume else None
    reports = []
    if entry is None:
        commands = weights.making_commands(options.solver)
        weights.check_present(resolved.param.weights, commands)
        reports = weights.compare_all(resolved.param.weights, shapes)

    choose_device(resolved.param, group)
    check_memory(running_layers(train_net, train_net.state.phase, shown(options.solver)), shapes,
                 shown(options.solver), device_memory())
    make_folder(folder, "--output")
    with FolderLock(folder):
        if record is None:
            run_folder.refuse_overwriting(resolved, options.resume)
            record = records.new_record(options, resolved, data,
                                        records.describe_weights(reports, commands), group.size)
        else:
            run_folder.refuse_difference(resolved, data, record, group.size)
        # The record first: it marks the folder as a run's, and a kill may come between the files.
        records.write_record(folder, record)
        run_folder.write_prototxts(resolved)
        group.announce((options, entry))
        return run(options, resolved, shapes, record, entry, reports, group)


def run(options, resolved, shapes, record, entry, reports, group):
    """One run in its locked, checked output folder; returns the exit code.

    entry: the snapshot to go on from, or None; reports: what the initial weights fill.
    """
    snapshots = Snapshots(resolved.output, options.keep_snapshots or 0)
    try:
        engine = Engine(resolved, snapshots.partial, group)
        if entry is not None:
            snapshots.restore(engine, entry)
            say(f"going on from iteration {engine.iteration}")
        else:
            if options.resume:
                say("no complete snapshot yet: starting at iteration 0")
            weights.load(engine.net, reports, say)
        group.equalize(engine.net)
        if resolved.param.debug_info and not glog.speak():
            say("warning: debug_info prints nothing: Caffe's log is off and cannot be turned on; "
                "start with "
                "GLOG_minloglevel=0 in the environment")
        if options.resume:
            records.add_resume(record, engine.iteration)
            records.write_record(resolved.output, record)
        stopped = watched_training(engine, resolved, snapshots, watches_for(shapes, reports))
    finally:
        snapshots.close()
    if stopped is not None:
        say("stopped by %s after %d iterations; go on with:\n  %spython3 tools/train.py --solver "
            "%s%s "
            "--resume" %
            (signal.Signals(stopped).name, engine.iteration,
             f"tools/mpirun -n {group.size} " if group.size > 1 else "", shown(
                 options.solver), f" --output {shown(options.output)}" if options.output else ""))
        return 128 + stopped
    say(f"done: {engine.iteration} iterations, in {shown(resolved.output)}")
    return 0


def watched_training(engine, resolved, snapshots, watches):
    """The loop with its log, progress, plot and signals; what train() returns."""
    log_path = os.path.join(resolved.output, run_folder.LOG)
    log = Log(log_path, engine.iteration)
    progress = Progress(resolved.name, engine.iteration, resolved.param.max_iter)
    drawn = time.monotonic()

    def plot(at_once=False):
        nonlocal drawn
        if at_once or time.monotonic() - drawn > PLOT_EVERY:
            plot_apart(log_path, os.path.join(resolved.output, run_folder.PLOT), resolved.name)
            drawn = time.monotonic()

    try:
        with Signals(progress.say) as signals:
            stopped = train(engine, snapshots, log, progress, engine.group.agreed(signals), watches,
                            plot)
        plot(at_once=True)
    finally:
        progress.close()
    return stopped


def watches_for(shapes, reports):
    """The watches of a run: the first loss only where layer `final` starts from its filler."""
    watches = [ClassifierWatch()]
    if "final" in weights.left_initial(reports, shapes):
        watches.append(FirstLossWatch(shapes.parameters["final"][0][0]))
    return watches


def say(text):
    """One line on standard error, where the progress goes too."""
    sys.stderr.write(text + "\n")
