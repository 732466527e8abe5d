"""The steps of tools/train.py in order."""
import os
import signal
import sys

from tools.checking.rehearsal import rehearse_solver
from tools.checking.solver import load_nets, load_solver
from tools.runtime.places import ROOT
from tools.training import manifest, options as command_options, record as records, run_folder
from tools.training.data_lists import data_lists
from tools.training.engine import Engine
from tools.training.lock import FolderLock
from tools.training.log import Log, read_log
from tools.training.loop import train
from tools.training.plot import plot_log
from tools.training.progress import Progress
from tools.training.signals import Signals
from tools.training.snapshots import Snapshots
from tools.training.solver import output_folder, resolve, shown
from tools.training.weights import check_present, making_commands


def main(arguments=None):
    """Trains; returns the exit code: 0 at max_iter, 128 + number after a signal."""
    options = command_options.parse(arguments)
    if options.data_root is not None:
        os.environ["DATA_ROOT"] = options.data_root
    folder = output_folder(options)
    record = records.read_record(folder) if options.resume else None
    run_folder.recall_options(options, record)
    resolved = resolve(options)
    solver = load_solver(options.solver)
    train_net, test_nets = load_nets(solver, options.solver)
    # Paths in prototxts and param_strs are relative to the repository, as for stock Caffe there.
    os.chdir(ROOT)
    commands = making_commands(options.solver)
    if not manifest.read_manifest(folder):
        check_present(resolved.param.weights, commands)
    data = data_lists([train_net] + test_nets)
    rehearse_solver(solver, train_net, test_nets, shown(options.solver))
    os.makedirs(folder, exist_ok=True)
    with FolderLock(folder):
        if record is None:
            run_folder.refuse_overwriting(folder)
            record = records.new_record(options, resolved, data, records.describe_weights(
                resolved.param.weights, commands))
        else:
            run_folder.refuse_difference(resolved, data, record)
        run_folder.write_prototxts(resolved)
        return run(options, resolved, record)


def run(options, resolved, record):
    """One run in its locked, checked output folder; returns the exit code."""
    folder = resolved.output
    snapshots = Snapshots(folder, options.keep_snapshots)
    engine = Engine(resolved, snapshots.partial)
    entry = manifest.newest_complete(folder, say) if options.resume else None
    if entry is not None:
        snapshots.restore(engine, entry)
        say("going on from iteration %d" % engine.iteration)
    else:
        if options.resume:
            say("no complete snapshot yet: starting at iteration 0")
        for path in resolved.param.weights:
            engine.net.copy_from(path)
        engine.seek()
    if options.resume:
        record["resumed"].append({"command": records.command(), "started": records.now(),
                                  "iteration": engine.iteration, "versions": records.versions(),
                                  "git": records.git_state()})
    records.write_record(folder, record)

    log_path = os.path.join(folder, "log.jsonl")
    log = Log(log_path, engine.iteration)
    progress = Progress(resolved.name, engine.iteration, resolved.param.max_iter)

    def plot():
        plot_log(read_log(log_path), os.path.join(folder, "plot.png"), resolved.name)

    try:
        with Signals(progress.say) as signals:
            stopped = train(engine, snapshots, log, progress, signals, plot)
    finally:
        progress.close()
        log.close()
        snapshots.close()
    plot()
    if stopped is not None:
        say("stopped by %s after %d iterations; go on with: python tools/train.py --solver %s%s "
            "--resume" % (signal.Signals(stopped).name, engine.iteration, shown(options.solver),
                          " --output %s" % shown(options.output) if options.output else ""))
        return 128 + stopped
    say("done: %d iterations, in %s" % (engine.iteration, shown(folder)))
    return 0


def say(text):
    """One line on standard error, where the progress goes too."""
    sys.stderr.write(text + "\n")
