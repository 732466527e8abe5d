"""ONNX Runtime in a folder of its own, to compare exported nets with Caffe's."""
import json
import os
import subprocess
import sys

import numpy as np

from data.files import ROOT
from tools.bench.official import environment_with, pinned_package

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnxruntime.lock")
FOLDER = os.path.join(ROOT, ".onnxruntime")
#: Runs a model over .npy files and leaves its outputs beside them; prints their names,
#: the file's metadata and the seconds of each run.
SCRIPT = """
import json, sys, time
import numpy as np
import onnxruntime
model, inputs, threads, repeats = json.loads(sys.argv[1])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
names, seconds = [output.name for output in session.get_outputs()], []
for number, paths in enumerate(inputs):
    arrays = {name: np.load(path) for name, path in paths.items()}
    for _ in range(repeats):
        started = time.perf_counter()
        values = session.run(None, arrays)
        seconds.append(time.perf_counter() - started)
    for name, value in zip(names, values):
        np.save(f"{model}.{number}.{names.index(name)}.npy", value)
print(json.dumps([names, session.get_modelmeta().custom_metadata_map, seconds]))
"""


def onnx_runtime():
    """The folder that holds the pinned ONNX Runtime, fetched when it is not there.

    Raises InputError when pip cannot fetch it.
    """
    return pinned_package(FOLDER, LOCK, 120, one_python=True)


def run_session(model, inputs, threads=1, repeats=1):
    """Runs an ONNX file over a list of {input: array} in a process of its own.

    Returns ([{output: array}], {key: text} of the file's metadata, [seconds of each run]); what the
    process reads and writes lies beside the model.  Raises CalledProcessError.
    """
    paths = []
    for number, values in enumerate(inputs):
        paths.append({name: f"{model}.in{number}.{name}.npy" for name in values})
        for name, value in values.items():
            np.save(paths[-1][name], value)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([str(model), paths, threads, repeats])],
        env=environment_with(onnx_runtime()), stdout=subprocess.PIPE, check=True, text=True)
    names, metadata, seconds = json.loads(done.stdout.strip().splitlines()[-1])
    outputs = [{name: np.load(f"{model}.{number}.{index}.npy") for index, name in enumerate(names)}
               for number in range(len(inputs))]
    return outputs, metadata, seconds
