"""TensorBoard in a folder of its own (.tensorboard), to read the event files of train.py."""
import contextlib
import json
import os
import subprocess
import sys

from data.files import ROOT
from tools.bench.official import environment_with, pinned_package

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorboard.lock")
FOLDER = os.path.join(ROOT, ".tensorboard")
#: Reads a folder's events again at every line of its input; prints what TensorBoard then holds.
SCRIPT = """
import json, sys
from tensorboard.backend.event_processing import event_accumulator as reader
everything = {kind: 0 for kind in (reader.SCALARS, reader.IMAGES, reader.TENSORS)}
events = reader.EventAccumulator(sys.argv[1], everything)
for _ in sys.stdin:
    events.Reload()
    tags = events.Tags()
    print(json.dumps({
        "scalars": {tag: [(e.step, e.wall_time, e.value) for e in events.Scalars(tag)]
                    for tag in tags["scalars"]},
        "images": {tag: [(e.step, e.width, e.height, e.encoded_image_string.hex())
                         for e in events.Images(tag)] for tag in tags["images"]},
        "texts": {tag: [(e.step, e.tensor_proto.string_val[0].decode())
                        for e in events.Tensors(tag)] for tag in tags["tensors"]}}), flush=True)
"""


def tensorboard():
    """The folder that holds the pinned TensorBoard, fetched when it is not there.

    Only its reader's dependencies are in the lock file, and numpy is the runtime's. Raises
    InputError when pip cannot fetch them.
    """
    return pinned_package(FOLDER, LOCK, 120, one_python=True)


@contextlib.contextmanager
def reading(folder):
    """Gives a function that lets one TensorBoard, which stays open, read a run's folder again.

    It returns {"scalars": {tag: [[step, time, value]]}, "images": {tag: [[step, width, height, PNG
    in hexadecimal]]}, "texts": {tag: [[step, text]]}}.
    """
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True,
                          env=environment_with(tensorboard())) as process:
        def read():
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield read
        process.stdin.close()
