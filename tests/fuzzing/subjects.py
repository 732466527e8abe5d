"""The kinds of input files: valid ones, how they are changed, and the command that gets them."""
import hashlib
import json
import os
import shutil

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.files import ROOT
from tools.lib.scoring import score_command
from tools.lib.training import record, run, snapshots

from data_files import write_folder_set
from fuzzing import mutations

CLASSES = 8                # of the toy data set
DATA = dict(source=dict(dataset="toy", split="source_val[:3]"),
            target=dict(dataset="toy", split="target_val[:3]"), source_images=1, target_images=1,
            crop=[16, 24], mean=[103.0, 116.0, 123.0], mirror=True, seed=1, workers=0)
# A case is a function of the seed and of these texts to the byte: hence the joined lines.
# The front-end's kinds of layers, each once:
TRUNK = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" \
param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 } convolution_param { num_output: 4 pad: 1 kernel_size: 3 \
weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" \
pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc6" type: "Convolution" bottom: "pool" top: "fc6" \
convolution_param { num_output: 4 pad: 2 kernel_size: 3
  dilation: 2 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "drop" type: "Dropout" bottom: "fc6" top: "fc6" \
dropout_param { dropout_ratio: 0.5 } }
layer { name: "final" type: "Convolution" bottom: "fc6" top: "final" \
convolution_param { num_output: CLASSES kernel_size: 1
  weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0 } } }
"""
UP = """layer { name: "score" type: "Deconvolution" bottom: "SCORES" top: "score" \
param { lr_mult: 0 } convolution_param {
  num_output: CLASSES bias_term: false pad: 1 kernel_size: 4 stride: 2 group: CLASSES \
weight_filler { type: "bilinear" } } }
"""
SEGMENT = UP + """layer { name: "seg_loss" type: "SoftmaxWithLoss" bottom: "score" \
bottom: "label" top: "seg_loss"
  loss_weight: 1 loss_param { ignore_label: 255 normalization: VALID } }
"""
ADAPT = """layer { name: "slice" type: "Slice" bottom: "final" top: "source" top: "target" \
slice_param { axis: 0 slice_point: 1 } }
layer { name: "mil_loss" type: "Python" bottom: "target" top: "mil_loss" top: "present" \
top: "active" top: "relaxed"
  loss_weight: 0.1 loss_weight: 0 loss_weight: 0 loss_weight: 0
  python_param { module: "layers.constrained_mil_loss" layer: "ConstrainedMILLoss"
    param_str: '{"statistics": "STATISTICS", "slack": 2.0, "down_weight_threshold": 0.1, \
"bounds": "both"}' } }
layer { name: "gate" type: "Python" bottom: "fc6" top: "features" top: "link"
  python_param { module: "layers.domain_gate" layer: "DomainGate" } }
layer { name: "domain_score" type: "Convolution" bottom: "features" top: "domain_score" \
convolution_param { num_output: 2
  kernel_size: 1 } }
layer { name: "domain_loss" type: "Python" bottom: "domain_score" bottom: "link" \
top: "domain_loss" top: "inverse"
  top: "accuracy_source" top: "accuracy_target" loss_weight: 1 loss_weight: 0 \
loss_weight: 0 loss_weight: 0
  python_param { module: "layers.domain_adversarial_loss" layer: "DomainAdversarialLoss"
    param_str: '{"objective": "confusion", "weight": 0.1, "source_images": 1}' } }
"""
DEPLOY = """name: "tiny" layer { name: "data" type: "Input" top: "data" \
input_param { shape { dim: 1 dim: 3 dim: 16 dim: 24 } }
  transform_param { mean_value: 103 mean_value: 116 mean_value: 123 } }
"""
SOLVER = """net: "PLACE/net.prototxt"
# initial weights, made by: python3 tools/train.py --solver solvers/other.prototxt
base_lr: 0.001
lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 4
momentum: 0.9 weight_decay: 0.0005
max_iter: 3 iter_size: 2 display: 1 average_loss: 2
type: "Adam" momentum2: 0.99 delta: 1e-8
snapshot: 1 snapshot_prefix: "tiny" snapshot_format: BINARYPROTO
solver_mode: CPU random_seed: 3
test_iter: 1 test_interval: 2 test_initialization: false
"""
PLAIN = SOLVER.replace("iter_size: 2 ", "").replace(
    "test_iter: 1 test_interval: 2 test_initialization: false\n", "")


class Subject:
    """One kind of input.

    name; make(place) writes valid files; targets: endings of the files that are changed;
    mutate(draw, bytes) -> bytes; use(place): the command, in this process.
    """

    def __init__(self, name, make, targets, mutate, use):
        self.name, self.make, self.targets, self.mutate, self.use = name, make, targets, mutate, use

    def change(self, draw, files):
        """The files {name: bytes} with one of the targets changed."""
        name = draw.choice(sorted(name for name in files if name.endswith(self.targets)))
        files[name] = self.mutate(draw, files[name])
        return files


class ListedSnapshots(Subject):
    """Snapshots changed, in half of the cases with the manifest saying that they are so."""

    def change(self, draw, files):
        files = super().change(draw, files)
        if draw.random() < 0.5:
            listed = json.loads(files["out/" + snapshots.MANIFEST])
            for entry in listed["snapshots"]:
                for part in ("model", "state"):
                    content = files["out/" + entry[part]["name"]]
                    entry[part].update(bytes=len(content), sha256=_sha256(content))
            files["out/" + snapshots.MANIFEST] = json.dumps(listed).encode()
        return files


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def write(place, name, content):
    with open(os.path.join(place, name), "w") as file:
        file.write(content)


def data_layer(**keys):
    """The data layer, with these keys of param_str changed; None leaves one out."""
    keys = {key: value for key, value in dict(DATA, **keys).items() if value is not None}
    return """name: "tiny" layer { name: "data" type: "Python" top: "data" top: "label" \
python_param {
  module: "layers.source_target_data" layer: "SourceTargetData" param_str: 'KEYS' } }
""".replace("KEYS", json.dumps(keys))


def trunk_and(parts, scores, classes=CLASSES):
    """The front-end and these parts behind it, for scores in the blob of that name."""
    return (TRUNK + parts).replace("CLASSES", str(classes)).replace("SCORES", scores)


def make_training(place, solver=PLAIN):
    """solver.prototxt and net.prototxt: a tiny front-end with the losses that the project has."""
    shutil.copy(os.path.join(ROOT, "data", "statistics", "toy.json"),
                os.path.join(place, "statistics.json"))
    adapt = ADAPT.replace("STATISTICS", os.path.join(place, "statistics.json"))
    write(place, "net.prototxt", data_layer() + trunk_and(adapt + SEGMENT, "source"))
    write(place, "solver.prototxt", solver.replace("PLACE", place))


def one_step(engine, *_):
    """In place of the loop: a mutated max_iter or iter_size may well ask for a year."""
    if engine.param.iter_size <= 100:
        engine.step()
    else:
        engine.forward()


def train(place, *options):
    """tools/train.py up to and including one step."""
    run.run_loop = one_step
    record.git_state = lambda: None
    run.main(["--solver", os.path.join(place, "solver.prototxt"),
              "--output", os.path.join(place, "out"), *options])


def make_snapshots(place):
    """A finished run of three iterations; its record is the same whenever it is made."""
    make_training(place)
    run.plot_in_child = lambda *_: None    # drawing takes longer than training here
    record.now = lambda: "2016-12-08T00:00:00+00:00"
    record.command = lambda: ["train.py"]
    record.git_state = lambda: None
    run.main(["--solver", os.path.join(place, "solver.prototxt"),
              "--output", os.path.join(place, "out")])


def make_weights(place):
    """A training job, a deploy net and a caffemodel that fits both."""
    make_snapshots(place)
    os.rename(os.path.join(place, "out", "tiny_iter_3.caffemodel"),
              os.path.join(place, "m.caffemodel"))
    for name in os.listdir(os.path.join(place, "out")):
        os.unlink(os.path.join(place, "out", name))
    write(place, "deploy.prototxt", DEPLOY + trunk_and(UP, "final"))


def train_with_weights(place):
    train(place, "--weights", os.path.join(place, "m.caffemodel"))


def test(place):
    """tools/test.py on one image."""
    score_command.main(["--model", os.path.join(place, "deploy.prototxt"),
                        "--weights", os.path.join(place, "m.caffemodel"),
                        "--dataset", "toy", "--split", "target_val[:1]", "--resize", "0.3"])


def make_folder(place):
    """A `folder` data set and a job that trains on it."""
    write_folder_set(os.path.join(place, "set"), count=2, height=20, width=30)
    write(place, "set/mean.txt", "100 110 120\n")
    source = dict(dataset="folder", split="train", options=dict(path=os.path.join(place, "set")))
    data = data_layer(source=source, source_images=2, target=None, target_images=0)
    write(place, "net.prototxt", data + trunk_and(SEGMENT, "final", classes=3))
    write(place, "solver.prototxt", PLAIN.replace("PLACE", place))


def param_str(draw, content):
    """One param_str of a net changed, the prototxt around it left valid."""
    net = text_format.Parse(content.decode(), caffe_pb2.NetParameter())
    layer = draw.choice([layer for layer in net.layer if layer.python_param.param_str])
    changed = mutations.json_text(draw, layer.python_param.param_str.encode())
    layer.python_param.param_str = changed.decode("utf-8", "replace")
    return text_format.MessageToString(net).encode()


SOLVER_TEXT = mutations.prototxt(caffe_pb2.SolverParameter)
NET_TEXT = mutations.prototxt(caffe_pb2.NetParameter)
NET = mutations.protobuf(caffe_pb2.NetParameter)
STATE = mutations.protobuf(caffe_pb2.SolverState)


def snapshot_file(draw, content):
    """A solverstate or a caffemodel, whichever the bytes are."""
    try:
        state = caffe_pb2.SolverState.FromString(content)
        return (STATE if state.history else NET)(draw, content)
    except Exception:
        return NET(draw, content)


SUBJECTS = [
    Subject("solver prototxt", lambda place: make_training(place, SOLVER), ("solver.prototxt",),
            SOLVER_TEXT, train),
    Subject("net prototxt", make_training, ("net.prototxt",), NET_TEXT, train),
    Subject("param_str", make_training, ("net.prototxt",), param_str, train),
    Subject("statistics file", make_training, ("statistics.json",), mutations.json_text, train),
    Subject("deploy prototxt", make_weights, ("deploy.prototxt",), NET_TEXT, test),
    Subject("list file", make_folder, (".txt",), mutations.text, train),
    Subject("PNG", make_folder, (".png",), mutations.png, train),
    Subject("caffemodel in training", make_weights, (".caffemodel",), NET, train_with_weights),
    Subject("caffemodel in testing", make_weights, (".caffemodel",), NET, test),
    ListedSnapshots("snapshot", make_snapshots, (".solverstate", ".caffemodel"), snapshot_file,
                    lambda place: train(place, "--resume")),
    Subject("run folder", make_snapshots, ("record.json", "snapshots.json"), mutations.json_text,
            lambda place: train(place, "--resume")),
]
