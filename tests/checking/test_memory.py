"""What a step allocates, against what it is found to allocate."""
import resource

import pytest

caffe = pytest.importorskip("caffe")

from data.child_process import run_in_child
from data.errors import InputError
from tools.lib.checking.dry_run import dry_run_solver, shapes_of
from tools.lib.checking.memory import check_memory, machine_memory, training_bytes
from tools.lib.checking.net import check_net, load_net, running_layers
from tools.lib.checking.solver import load_nets, load_solver

from tiny_nets import NET, write_net, write_solver

LARGE = NET.replace("dim: 6 dim: 5", "dim: 700 dim: 900")


def test_bytes_by_hand(tmp_path):
    path = write_net(tmp_path)
    layers = check_net(load_net(path), caffe.TRAIN, path)
    pixels = 2 * 6 * 5
    parameters = 4 * 3 * 9 + 4 + 3 * 4 + 3
    # data, label; conv, final, loss with gradients
    blobs = pixels * (3 + 1) + 2 * (pixels * (4 + 3) + 1)
    columns = 3 * 9 * 6 * 5                                   # conv; `final` is 1x1
    assert training_bytes(layers, shapes_of(caffe.Net(
        path, caffe.TRAIN))) == 4 * (3 * parameters + blobs + columns)


def test_frozen_layers_have_no_gradients(tmp_path):
    text = NET.replace("lr_mult: 1", "lr_mult: 0").replace("lr_mult: 2", "lr_mult: 0")
    sizes = []
    for net in (NET, text):
        path = write_net(tmp_path, net)
        layers = check_net(load_net(path), caffe.TRAIN, path)
        sizes.append(training_bytes(layers, shapes_of(caffe.Net(path, caffe.TRAIN))))
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
    estimate = training_bytes(layers, shapes_of(caffe.Net(net, caffe.TRAIN)))
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
        check_memory(running_layers(train_net, caffe.TRAIN, path), shapes, path, machine_memory())

    error = run_in_child(with_one_gigabyte, 60).error
    assert isinstance(error, InputError) and words in error.what
