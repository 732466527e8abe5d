"""Starts tools/train.py on a stage of the toy, with a schedule given by the caller."""
import os
import subprocess
import sys

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.files import ROOT, write_whole
from tools.lib.checking.solver_file import load_solver


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
