"""Starts tools/train.py on a stage of the toy, with a given schedule, and watches it."""
import os
import subprocess
import sys

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from data.files import ROOT, write_whole
from tools.lib.checking.solver_file import load_solver
from tools.lib.training.log import LOG, read_log


def write_solver(stage, folder, **fields):
    """Writes the toy stage's solver, starting from random weights, with other fields; its path.

    stage: "source", "ga" or "ga_ca"; fields: of SolverParameter.
    """
    solver = load_solver(os.path.join(ROOT, "solvers", f"toy_{stage}.prototxt"))
    solver.ClearField("weights")
    solver.net = os.path.join(ROOT, solver.net)
    solver.MergeFrom(caffe_pb2.SolverParameter(**fields))
    path = os.path.join(folder, f"toy_{stage}.prototxt")
    write_whole(path, text_format.MessageToString(solver))
    return path


def start(solver, output, log, *options):
    """A running tools/train.py as a subprocess.Popen.

    solver, output: paths; log: file to write its output to; options: further ones of the command.
    """
    train = os.path.join(ROOT, "tools", "train.py")
    return subprocess.Popen(
        [sys.executable, train, "--solver", solver, "--output", output, *options],
        stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)


def last_iteration(output):
    """The last iteration in the log of a run's folder; None where there is none yet."""
    train = [entry["iteration"] for entry in read_log(os.path.join(output, LOG))
             if entry["kind"] == "train"]
    return train[-1] if train else None


def require_exit(code, log, expected=0):
    """InputError, with the end of the open file `log`, when a run's exit code is another one."""
    if code != expected:
        log.seek(max(0, log.seek(0, 2) - 2000))
        raise InputError(f"a run ended with exit code {code}, expected {expected}:\n"
                         f"{log.read().decode('utf-8', 'replace')}")
