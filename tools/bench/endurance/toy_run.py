"""Starting tools/train.py on a stage of the toy with a schedule of one's own."""
import os
import subprocess
import sys

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.files import ROOT
from tools.lib.checking.solver import load_solver


def write_solver(stage, folder, **fields):
    """Writes the toy stage's solver with other fields, from random weights; returns its path.

    stage: "source", "ga" or "ga_ca"; fields: of SolverParameter.
    """
    solver = load_solver(os.path.join(ROOT, "solvers", f"toy_{stage}.prototxt"))
    solver.ClearField("weights")
    solver.net = os.path.join(ROOT, solver.net)
    solver.MergeFrom(caffe_pb2.SolverParameter(**fields))
    path = os.path.join(folder, f"toy_{stage}.prototxt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text_format.MessageToString(solver))
    return path


def start(solver, output, log, *options):
    """A running tools/train.py as a subprocess.Popen; log: a file for what it prints."""
    return subprocess.Popen([
        sys.executable,
        os.path.join(ROOT, "tools", "train.py"), "--solver", solver, "--output", output
    ] + list(options), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
