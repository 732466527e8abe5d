"""Initial weights: which caffemodels a run loads, and which layers they fill.

The field `weights` of a solver names them, for stock `caffe train` too. A comment directly above
it names the command that makes them:

    # initial weights, made by: python3 tools/train.py --solver solvers/toy_source.prototxt
    weights: "runs/toy_source/toy_source_iter_1500.caffemodel"

--weights replaces the field. When weights are missing, the error names the command.
"""
import os
import re

from data.errors import InputError
from tools.lib.checking.caffemodel import (
    compare,
    read_caffemodel,
    report_lines,
    require_finite,
    require_match,
)
from tools.lib.training.solver import display_path, from_display_path

MADE_BY = re.compile(r"#\s*initial weights, made by:\s*(.+?)\s*\n\s*weights:\s*[\"']([^\"']+)[\"']")


def making_commands(solver_path):
    """{weights path as written: command that makes it}, from the solver's comments."""
    with open(solver_path, encoding="utf-8") as file:
        return {path: command for command, path in MADE_BY.findall(file.read())}


def check_present(paths, commands):
    """InputError for the first caffemodel that is missing or in a format that is not supported.

    paths: as in the resolved solver; commands: from making_commands().
    """
    for path in paths:
        if path.endswith((".h5", ".hdf5")):
            raise InputError(f"{path}: weights in HDF5 are not supported",
                             "Save them as a .caffemodel (snapshot_format: BINARYPROTO).")
        if not os.path.isfile(from_display_path(path)):
            raise InputError(f"the initial weights {path} do not exist{_others(path)}",
                             f"Make them with: {commands[path]}" if path in commands
                             else "Name others with --weights.")


def compare_all(paths, shapes):
    """The WeightsReport of every caffemodel for the train net (shapes: its NetShapes).

    InputError when a layer has another shape in a caffemodel, or no layer is in it.
    """
    reports = [compare(shapes, read_caffemodel(from_display_path(path))) for path in paths]
    for report in reports:
        require_match(report)
    return reports


def unfilled_layers(reports, shapes):
    """Names of the layers with weights that no caffemodel fills, in the order of the net."""
    loaded = {name for report in reports for name in report.loaded}
    return [name for name, own in shapes.parameters.items()
            if own and name not in loaded and name not in shapes.fixed]


def load(net, reports, write):
    """Loads the caffemodels into a caffe.Net by layer names; write(line) gets the report."""
    for report in reports:
        net.copy_from(report.path)
        require_finite(net, report.path)
        for line in report_lines(report):
            write(line)


def _others(path):
    """" (FILE does: --weights FILE)" for the newest caffemodel of the same folder, or ""."""
    folder = os.path.dirname(from_display_path(path))
    if not os.path.isdir(folder):
        return ""
    models = [os.path.join(folder, name) for name in os.listdir(folder)
              if name.endswith(".caffemodel")]
    if not models:
        return ""
    newest = max(models, key=os.path.getmtime)
    return f" ({display_path(newest)} does: --weights {display_path(newest)})"
