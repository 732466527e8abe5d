"""Folders of runs as tools/train.py leaves them, for tests of the report: nothing is trained."""
import json
import os

import numpy as np

from data.files import ROOT, sha256
from data.label_spaces import TOY
from tools.lib.scoring.pictures import write_image
from tools.lib.training.filmstrip import FOLDER, FRAMES
from tools.lib.training.log import LOG
from tools.lib.training.snapshots import write_manifest

from made_results import record as result

SOLVER = """net: "models/toy/ga.prototxt"
type: "Adam"
base_lr: 0.001
lr_policy: "fixed"
momentum: 0.9
max_iter: %d
display: 20
snapshot: 100
snapshot_prefix: "x/toy"
random_seed: %d
solver_mode: CPU
"""


def make_run(folder, stage="ga_ca", seed=1, iterations=200, max_iter=200, tested=True, space=TOY,
             solver=None, weights=(), **record):
    """Writes a run of the toy; returns its folder as text.

    iterations: of the log.  tested: whether there are results.  solver: the solver's file, instead
    of the stage's.  weights: those it started from.  record: further fields of record.json.
    """
    os.makedirs(str(folder))
    record = {
        "command": ["python3", "tools/train.py", "--solver", f"solvers/toy_{stage}.prototxt"],
        "started": "2026-11-27T08:43:57+00:00",
        "solver": {"file": solver or f"solvers/toy_{stage}.prototxt", "text": SOLVER % (200, 1)},
        "seed": seed, "processes": 1,
        "options": {"weights": list(map(str, weights)), "seed": seed, "data_root": None},
        "initial_weights": [{"file": str(path), "sha256": sha256(path), "loaded": ["conv1_1"]}
                            for path in weights],
        "data": {"data.source": {"dataset": "toy", "split": "source_train", "frames": 400}},
        "versions": {"caffe": "1.0.0", "python": "3.9.2"},
        "git": {"commit": "0fd8f5880faf5f7d495289943b23884e186862db", "dirty": False},
        "resumed": [], **record}
    write(folder, "record.json", json.dumps(record))
    write(folder, "solver.prototxt", SOLVER % (max_iter, seed))
    random = np.random.RandomState(seed)
    lines = []
    for iteration in range(0, iterations + 1, 20):
        lines.append(dict(kind="train", iteration=iteration, learning_rate=0.001,
                          iterations_per_second=20.0 if iteration else None, values={
                              "loss": 1 + random.rand(), "seg_loss": random.rand(),
                              "domain_loss": 0.6, "domain_loss_inverse": 0.8 + random.rand(),
                              "domain_accuracy_source": random.rand(),
                              "domain_accuracy_target": random.rand(), "my_loss": 3.0}))
    write(folder, LOG, "".join(json.dumps(line) + "\n" for line in lines))
    if tested:
        write_result(folder, seed, space)
    return str(folder)


def smallest_record(**fields):
    """The text of a record.json with no more than read_record asks for, and the fields."""
    return json.dumps({"seed": 1, "options": {}, "data": {}, "resumed": [], **fields})


def write_result(folder, seed=1, space=TOY, name="test_toy_target_val.json", **changes):
    """Adds a result of random predictions to a run's folder; returns it."""
    origin = dict(weights=f"{folder}/toy_iter_200.caffemodel", model="models/toy/deploy.prototxt",
                  resize=1.0)
    found = dict(result("toy", space, seed, **origin), **changes)
    write(folder, name, json.dumps(dict(results=[found])))
    return found


def add_snapshot(folder, iteration, seed=0):
    """Adds a snapshot of random weights of the toy's deploy net; returns its path."""
    import caffe
    net = caffe.Net(os.path.join(ROOT, "models", "toy", "deploy.prototxt"), caffe.TEST)
    random = np.random.RandomState(seed)
    for layer in net.layers:
        for blob in layer.blobs if layer.type == "Convolution" else ():
            blob.data[...] = random.randn(*blob.shape) / np.sqrt(np.prod(blob.shape[1:]) or 1)
    name = f"toy_iter_{iteration}.caffemodel"
    path = os.path.join(str(folder), name)
    net.save(path)
    part = {"name": name, "bytes": os.path.getsize(path), "sha256": sha256(path)}
    write_manifest(str(folder), [{"iteration": iteration, "model": part, "state": part}])
    return path


def add_filmstrip(folder, iterations, names=("a", "b"), classes=("road", "sky")):
    """Adds the filmstrip of a run: grey pictures of 16 x 9 pixels."""
    inside = os.path.join(str(folder), FOLDER)
    os.makedirs(inside)
    write(inside, FRAMES, json.dumps({
        "dataset": "toy", "frames": names, "classes": classes,
        "palette": [[10 * number, 20, 30] for number in range(len(classes))]}))
    for number in range(len(names)):
        for name in [f"frame_{number}"] + [f"{each:06d}_{number}" for each in iterations]:
            write_image(os.path.join(inside, name + ".png"), np.full((9, 16, 3), 90, np.uint8))


def write(folder, name, text):
    with open(os.path.join(str(folder), name), "w", encoding="utf-8") as file:
        file.write(text)
