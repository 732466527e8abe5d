"""OpenCV 5 in a folder of its own (.opencv5), to compare exported nets with Caffe's."""
import json
import os
import subprocess
import sys

import numpy as np

from data.files import ROOT
from tools.bench.official import environment_with, pinned_package

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "opencv5.lock")
FOLDER = os.path.join(ROOT, ".opencv5")
#: Runs an ONNX file over .npy files and leaves the output beside them; prints OpenCV's version.
SCRIPT = """
import json, sys
import cv2
import numpy as np
model, name, output, paths = json.loads(sys.argv[1])
net = cv2.dnn.readNetFromONNX(model)
for path in paths:
    net.setInput(np.load(path), name)
    np.save(path + ".out.npy", net.forward(output))
print(json.dumps([cv2.__version__, hasattr(cv2.dnn, "readNetFromCaffe")]))
"""


def opencv5():
    """The folder that holds the pinned OpenCV 5, fetched when it is not there.

    numpy is the runtime's. Raises InputError when pip cannot fetch it.
    """
    # One wheel serves every Python 3, so pip may be that of another Python.
    return pinned_package(FOLDER, LOCK, 300)


def run_opencv5(model, inputs, output):
    """Runs an ONNX file over a list of {input: array}, one input each, in a process of its own.

    output: name of the output. Returns ([array], version, whether it reads Caffe's files). Raises
    CalledProcessError, with OpenCV's message on standard error.
    """
    paths = []
    for number, values in enumerate(inputs):
        (name, value), = values.items()
        paths.append(f"{model}.cv{number}.npy")
        np.save(paths[-1], value)
    done = subprocess.run([sys.executable, "-c", SCRIPT,
                           json.dumps([str(model), name, output, paths])],
                          env=environment_with(opencv5()), stdout=subprocess.PIPE, check=True,
                          text=True)
    version, reads_caffe = json.loads(done.stdout.strip().splitlines()[-1])
    return [np.load(path + ".out.npy") for path in paths], version, reads_caffe
