"""The estimate of a step's memory against the memory that Caffe takes for it."""
import os
import resource

import pytest

caffe = pytest.importorskip("caffe")

from caffe.proto import caffe_pb2

from data.child_process import run_in_child
from data.errors import InputError
from data.machine_memory import machine_memory
from models.build import nets
from models.cost import FLOAT, LayerCost, forward_bytes, train_layers, training_bytes
from models.experiments import EXPERIMENTS
from models.shapes import FULL
from tools.lib.checking.dry_run import dry_run_net, dry_run_solver, shapes_of
from tools.lib.checking.memory import check_memory, layer_costs
from tools.lib.checking.net import check_net, load_net, running_layers
from tools.lib.checking.solver_file import load_nets, load_solver

from tiny_nets import NET, write_net, write_solver

LARGE = NET.replace("dim: 6 dim: 5", "dim: 700 dim: 900")


def needed(layers, path, solver_type="SGD"):
    """Bytes of a training step of the net in the file `path`, which has these layers."""
    return training_bytes(layer_costs(layers, shapes_of(caffe.Net(path, caffe.TRAIN))), solver_type)


def test_bytes_by_hand(tmp_path):
    path = write_net(tmp_path)
    layers = check_net(load_net(path), caffe.TRAIN, path)
    pixels = 2 * 6 * 5
    parameters = 4 * 3 * 9 + 4 + 3 * 4 + 3
    # data, label; conv, final, loss with gradients
    blobs = pixels * (3 + 1) + 2 * (pixels * (4 + 3) + 1)
    columns = 3 * 9 * 6 * 5                                   # conv; `final` is 1x1
    assert needed(layers, path) == 4 * (3 * parameters + blobs + columns)
    assert needed(layers, path, "Adam") == 4 * (4 * parameters + blobs + columns)


def test_convolutions_that_share_their_columns_need_the_largest_alone():
    layers = [LayerCost(10, columns=7), LayerCost(20, buffer=3, columns=9), LayerCost(5)]
    assert forward_bytes(layers) == 4 * (10 + 20 + 5 + 3 + 7 + 9)
    assert forward_bytes(layers, one_column_buffer=True) == 4 * (10 + 20 + 5 + 3 + 9)
    assert training_bytes(layers, "SGD") - training_bytes(layers, "SGD", True) == 4 * 7
    assert forward_bytes([], True) == 0


def test_the_page_on_source_builds_gives_what_the_paper_s_net_needs(repo_root):
    layers = train_layers(FULL, classes=19, window=(256, 256), batch=1, normalised=True)
    columns = [FLOAT * layer.columns for layer in layers]
    steps = [training_bytes(layers, "SGD", one_buffer) for one_buffer in (False, True)]
    rows = {"columns": (sum(columns), max(columns)), "everything a step needs": steps}
    with open(os.path.join(repo_root, "docs", "source_build.md"), encoding="utf-8") as file:
        page = file.read()
    for name, (before, after) in rows.items():
        assert f"| {name} | {before / 2 ** 20:.0f} MiB | {after / 2 ** 20:.0f} MiB |" in page


def test_frozen_layers_have_no_gradients(tmp_path):
    text = NET.replace("lr_mult: 1", "lr_mult: 0").replace("lr_mult: 2", "lr_mult: 0")
    sizes = []
    for net in (NET, text):
        path = write_net(tmp_path, net)
        layers = check_net(load_net(path), caffe.TRAIN, path)
        sizes.append(needed(layers, path))
    assert sizes[0] - sizes[1] == 4 * 2 * 6 * 5 * 4


def test_the_estimate_is_near_what_a_step_takes(tmp_path):
    path = write_solver(tmp_path, net_text=LARGE)

    def step():
        solver = caffe.get_solver(path)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        solver.step(1)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024

    taken = run_in_child(step, 60).value
    net = write_net(tmp_path, LARGE)
    layers = check_net(load_net(net), caffe.TRAIN, net)
    estimate = needed(layers, net)
    assert 0.8 * estimate < taken < 1.4 * estimate


@pytest.mark.parametrize("sides, words", [
    ("dim: 4000 dim: 5000", "needs at least 5.0 GB of memory; this process may have 1.1 GB"),
    # too large for what the loss layer allocates at once
    ("dim: 6000 dim: 7000", 'layer "loss": not enough memory')])
def test_a_net_that_cannot_fit_is_refused_before_it_starts(tmp_path, sides, words):
    path = write_solver(tmp_path, net_text=NET.replace("dim: 6 dim: 5", sides))
    solver = load_solver(path)

    def with_one_gigabyte():
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, hard))
        assert machine_memory() == 1 << 30
        train_net, test_nets = load_nets(solver, path)
        shapes = dry_run_solver(solver, train_net, test_nets, name=path)
        check_memory(running_layers(train_net, caffe.TRAIN, path), shapes, path, machine_memory(),
                     solver.type)

    error = run_in_child(with_one_gigabyte, 60).error
    assert isinstance(error, InputError) and words in error.what


def test_a_maximum_pooling_remembers_where_each_maximum_was(tmp_path):
    sizes = []
    for method in ("MAX", "AVE"):
        path = write_net(tmp_path, NET.replace(
            'type: "ReLU" bottom: "conv" top: "conv"',
            'type: "Pooling" bottom: "conv" top: "pool" '
            f"pooling_param {{ pool: {method} kernel_size: 2 stride: 2 }}"))
        layers = check_net(load_net(path), caffe.TRAIN, path)
        sizes.append(needed(layers, path))
    assert sizes[0] - sizes[1] == 4 * 2 * 4 * 3 * 3


@pytest.mark.parametrize("name", ["toy", "gta_camvid", "gta"])
def test_the_plan_of_an_experiment_estimates_what_its_largest_net_is_found_to_need(
        tmp_path, name):
    experiment = EXPERIMENTS[name]
    net = nets(experiment)["ga_ca.prototxt"]
    sides = [side + 2 * experiment.shape.margin for side in experiment.crop]
    # Inputs of the sizes of the batch in place of a data set; no label statistics either
    net.layer[0].CopyFrom(caffe_pb2.LayerParameter(
        name="data", type="Input", top=["data", "label"]))
    for shape in ([2 * experiment.batch, 3] + sides, [experiment.batch, 1] + list(experiment.crop)):
        net.layer[0].input_param.shape.add(dim=shape)
    net.layer.remove(next(layer for layer in net.layer if layer.name == "mil_loss"))
    shapes = dry_run_net(net, caffe.TRAIN, name)
    built = training_bytes(layer_costs(running_layers(net, caffe.TRAIN, name), shapes), "SGD")
    planned = training_bytes(train_layers(experiment.shape, experiment.classes, experiment.crop,
                                          experiment.batch, experiment.domain_loss.normalised),
                             "SGD")
    losses = 5                              # and their gradients: what the plan leaves out
    assert built - planned == 4 * 2 * losses
