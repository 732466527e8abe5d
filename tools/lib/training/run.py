"""The command line of tools/train.py and its steps in order."""
import argparse
import functools
import os
import signal
import sys
import time

from caffe.proto import caffe_pb2

from data.errors import InputError
from data.files import ROOT
from tools.lib.checking.device import device_memory, use_precision
from tools.lib.checking.dry_run import dry_run_solver, enable_logging
from tools.lib.checking.gradients import refuse_gpu_only
from tools.lib.checking.memory import check_memory
from tools.lib.checking.net import running_layers
from tools.lib.checking.solver_file import load_nets, load_solver
from tools.lib.checking.whole_step import dry_run_step
from tools.lib.command import CommandParser, count, seed
from tools.lib.dataset_options import add_data_root_argument
from tools.lib.device_options import add_tf32_argument, device
from tools.lib.outputs import make_folder
from tools.lib.runtime import source_builds
from tools.lib.training import filmstrip, parallel, run_folder, weights
from tools.lib.training.crash_watch import crash_watch
from tools.lib.training.engine import Engine, choose_device, gpu_of
from tools.lib.training.guards import ClassifierMonitor, FeatureMonitor, FirstLossMonitor
from tools.lib.training.log import LOG, PLOT, Log, Progress, plot_in_child, read_log
from tools.lib.training.loop import Signals, train
from tools.lib.training.record import (
    add_resume,
    check_files,
    data_lists,
    describe_weights,
    new_record,
    read_record,
    write_record,
)
from tools.lib.training.run_folder import FolderLock
from tools.lib.training.snapshots import Snapshots, newest_complete
from tools.lib.training.solver import display_path, output_folder, resolve, use_data_root

DESCRIPTION = """Trains a net as a Caffe solver prototxt says, on the CPU or one GPU.

Everything goes to runs/<solver name>/ (or --output): the solver and the nets as Caffe
was given them, record.json, log.jsonl, plot.png and the snapshots. Ctrl-C finishes the
iteration and writes a snapshot; --resume continues from there, with the same bytes as a
run that was never stopped."""
#: Seconds between two drawings of the plot during a run.
PLOT_EVERY = 60


def parse(arguments=None):
    """The options as a namespace; paths absolute, weights a list or None."""
    parser = CommandParser(prog="python3 tools/train.py", description=DESCRIPTION,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solver", required=True, metavar="FILE", help="solver prototxt")
    parser.add_argument("--weights", action="append", metavar="FILE[,FILE]",
                        help="initial weights (.caffemodel) instead of the solver's; a later "
                             "file wins where two have the same layer")
    parser.add_argument("--seed", type=seed, metavar="N",
                        help="seed of everything random; default: the solver's random_seed, or 1")
    parser.add_argument("--max-iter", type=count, metavar="N",
                        help="iterations in all, instead of the solver's max_iter")
    add_data_root_argument(parser)
    parser.add_argument("--device", type=device, metavar="cpu|gpu:N",
                        help="default: the solver's solver_mode, or cpu without one")
    add_tf32_argument(parser)
    parser.add_argument("--output", metavar="FOLDER",
                        help="output folder (default: runs/<solver name>)")
    parser.add_argument("--resume", action="store_true",
                        help="continue from the newest complete snapshot, or start at the "
                             "beginning when there is none yet")
    parser.add_argument("--keep-snapshots", type=count, metavar="N",
                        help="keep the newest N snapshots only (default: all)")
    parser.add_argument("--tensorboard", action="store_true", default=None,
                        help="write an event file for TensorBoard too; --resume continues it")
    parser.add_argument("--filmstrip", type=int, choices=range(filmstrip.MOST + 1), metavar="N",
                        help="draw the predictions of N target frames at every snapshot, 0 to "
                             f"{filmstrip.MOST} (default: {filmstrip.USUAL})")
    options = parser.parse_args(arguments)
    options.solver = os.path.abspath(options.solver)
    if options.weights is not None:
        options.weights = [os.path.abspath(name) for entry in options.weights
                           for name in entry.split(",") if name]
    if options.data_root is not None:
        options.data_root = os.path.abspath(options.data_root)
        if not os.path.isdir(options.data_root):
            raise InputError(f"--data-root {options.data_root} is not a folder")
    if options.output is not None:
        options.output = os.path.abspath(options.output)
    return options


def main(arguments=None):
    """Trains; returns the exit code: 0 at max_iter, 128 + number after a signal."""
    options = parse(arguments)
    group = parallel.join()
    if group.rank > 0:
        return parallel.train_as_worker(group)
    folder = output_folder(options)
    record = read_record(folder) if options.resume else None
    run_folder.recall_options(options, record)
    if options.filmstrip is None:
        options.filmstrip = filmstrip.USUAL
    use_data_root(options)

    # Every fault that can be found early is found before anything is written.
    resolved = resolve(options)
    solver = load_solver(options.solver)
    train_net, test_nets = load_nets(solver, options.solver)
    # Paths in prototxts and param_strs are relative to the repository, as for stock Caffe there.
    os.chdir(ROOT)
    name = display_path(options.solver)
    check_files([train_net] + test_nets, name)
    if resolved.param.solver_mode == caffe_pb2.SolverParameter.CPU:
        for net in [train_net] + test_nets:
            refuse_gpu_only(running_layers(net, net.state.phase, name), name)
    shapes = dry_run_solver(solver, train_net, test_nets, name)
    data = data_lists([train_net] + test_nets)
    entry = newest_complete(folder, report) if options.resume else None
    weight_reports = []
    if entry is None:
        commands = weights.making_commands(options.solver)
        weights.check_present(resolved.param.weights, commands)
        weight_reports = weights.compare_all(resolved.param.weights, shapes)

    run_folder.choose_precision(options, resolved, record)
    use_precision(options.tf32)
    choose_device(resolved.param, group)
    check_memory(running_layers(train_net, train_net.state.phase, name), shapes, name,
                 device_memory(), resolved.param.type,
                 source_builds.has_patch(source_builds.ONE_COLUMN_BUFFER))
    dry_run_step(solver, [train_net] + test_nets, name, report, gpu_of(resolved.param, group))
    make_folder(folder, "--output")
    with FolderLock(folder):
        if record is None:
            run_folder.refuse_overwriting(resolved, options.resume)
            record = new_record(options, resolved, data,
                                describe_weights(weight_reports, commands), group.size)
        else:
            run_folder.refuse_difference(resolved, data, record, group.size)
        # The record comes first: it marks the folder as that of a run, should a kill come now.
        write_record(folder, record)
        run_folder.write_prototxts(resolved)
        group.send_plan((options, entry))
        with crash_watch(resume_command(options, group)):
            return run(options, resolved, shapes, record, entry, weight_reports, group)


def run(options, resolved, shapes, record, entry, weight_reports, group):
    """Trains in the checked and locked output folder; returns the exit code.

    entry: the snapshot to go on from, or None; weight_reports: from weights.compare_all().
    """
    snapshots = Snapshots(resolved.output, options.keep_snapshots or 0)
    try:
        engine = Engine(resolved, snapshots.partial, group)
        if entry is not None:
            snapshots.restore(engine, entry)
            report(f"going on from iteration {engine.iteration}")
        else:
            if options.resume:
                report("no complete snapshot yet: starting at iteration 0")
            weights.load(engine.net, weight_reports, report)
        group.broadcast_weights(engine.net)
        if resolved.param.debug_info and not enable_logging():
            report("warning: debug_info prints nothing: Caffe's log is off and cannot be turned "
                   "on; start with GLOG_minloglevel=0 in the environment")
        if options.resume:
            add_resume(record, engine.iteration)
            write_record(resolved.output, record)
        unfilled = weights.unfilled_layers(weight_reports, shapes)
        strip = filmstrip.start(options, resolved, group, entry, weight_reports, unfilled, report)
        stopped = run_loop(engine, resolved, snapshots, make_monitors(shapes, unfilled),
                           strip, options.tensorboard)
    finally:
        snapshots.close()
    if stopped is not None:
        report(f"stopped by {signal.Signals(stopped).name} after {engine.iteration} iterations; "
               f"go on with:\n  {resume_command(options, group)}")
        return 128 + stopped
    report(f"done: {engine.iteration} iterations, in {display_path(resolved.output)}")
    return 0


def run_loop(engine, resolved, snapshots, monitors, strip=None, tensorboard=False):
    """The loop with its log, progress line, pictures and signals; returns what train() returns.

    strip: the Filmstrip or None; tensorboard: whether an event file is written.
    """
    log_path = os.path.join(resolved.output, LOG)
    log, events = Log(log_path, engine.iteration), None
    if tensorboard:
        # imported here: its package costs a tenth of a second and a few MB
        from tools.lib.training.event_file import EventFile
        events = EventFile(resolved.output, read_log(log_path),
                           strip.all_pictures() if strip else ())
        log.also(events.add)
    monitors = monitors + [FeatureMonitor(read_log(log_path))]
    progress = Progress(resolved.name, engine.iteration, resolved.param.max_iter)
    drawn = time.monotonic()

    def plot(at_once=False):
        nonlocal drawn
        if at_once or time.monotonic() - drawn > PLOT_EVERY:
            path = os.path.join(resolved.output, PLOT)
            plot_in_child(log_path, path, resolved.name,
                          functools.partial(filmstrip.write_strip_below, resolved.output, path))
            drawn = time.monotonic()

    def show_snapshot(entry):
        if strip is not None:
            failed = strip.draw(entry)
            if failed:
                progress.write(f"warning: no pictures of iteration {entry['iteration']}: {failed}")
            elif events is not None:
                events.add_pictures(entry["iteration"], strip.pictures(entry["iteration"]))
        plot()

    try:
        with Signals(progress.write) as signals:
            stopped = train(engine, snapshots, log, progress, engine.group.agreed(signals),
                            monitors, show_snapshot)
        plot(at_once=True)
    finally:
        progress.close()
    return stopped


def make_monitors(shapes, unfilled):
    """The monitors of a run; of the first loss only where layer `final` starts from its filler.

    unfilled: names of the layers that no caffemodel fills.
    """
    monitors = [ClassifierMonitor()]
    if "final" in unfilled:
        monitors.append(FirstLossMonitor(shapes.parameters["final"][0][0]))
    return monitors


def resume_command(options, group):
    """The command line that goes on with a stopped run."""
    launcher = f"tools/mpirun -n {group.size} " if group.size > 1 else ""
    output = f" --output {display_path(options.output)}" if options.output else ""
    return (f"{launcher}python3 tools/train.py --solver {display_path(options.solver)}{output} "
            "--resume")


def report(text):
    """Prints a line on standard error, where the progress line is too."""
    sys.stderr.write(text + "\n")
