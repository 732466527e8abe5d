"""What Caffe would abort at in the first step is refused by the dry run; the rest trains."""
import pytest

caffe = pytest.importorskip("caffe")

from data.child_process import run_in_child
from data.errors import InputError
from tools.lib.checking.caffemodel import open_net
from tools.lib.checking.dry_run import dry_run_net
from tools.lib.checking.net import load_net
from tools.lib.training.run import main

from tiny_nets import NET, write_net, write_solver

POOL = """layer { name: "pool" type: "Pooling" bottom: "final" top: "pool"
        pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
"""
SPP = """layer { name: "pool" type: "SPP" bottom: "final" top: "pool"
        spp_param { pool: STOCHASTIC pyramid_height: 2 } }
"""


def steps(path):
    """Whether Caffe itself survives a forward and a backward pass of the net."""
    def step():
        caffe.set_mode_cpu()
        net = caffe.Net(path, caffe.TRAIN)
        net.forward()
        net.backward()
        return True
    return run_in_child(step, 60).value is True


@pytest.mark.parametrize("layer", (POOL, SPP))
@pytest.mark.parametrize("phase", ("", "include { phase: TEST }"))
def test_stochastic_pooling_is_refused_on_the_cpu_before_anything_is_written(
        tmp_path, layer, phase):
    text = NET + layer.replace("type:", f"{phase} type:")
    solver = write_solver(tmp_path, "test_iter: 1 test_interval: 1", text)
    with pytest.raises(InputError, match='layer "pool": pool: STOCHASTIC is not computed on the '
                                         "CPU by Caffe\n.*MAX or AVE"):
        main(["--solver", solver, "--output", str(tmp_path / "out"), "--seed", "1",
              "--device", "cpu"])
    assert not (tmp_path / "out").exists()
    if not phase:
        assert not steps(write_net(tmp_path, text))


def test_stochastic_pooling_is_refused_in_a_deploy_net(tmp_path):
    path = write_net(tmp_path, NET + POOL)
    caffe.Net(write_net(tmp_path, NET, "plain.prototxt"), caffe.TRAIN).save(
        str(tmp_path / "m.caffemodel"))
    with pytest.raises(InputError, match="STOCHASTIC"):
        open_net(path, str(tmp_path / "m.caffemodel"))


def euclidean(more=""):
    return (f'layer {{ name: "loss2" type: "EuclideanLoss" bottom: "a" bottom: "label" {more} '
            'top: "loss2" }')


def softmax(more=""):
    return (f'layer {{ name: "loss2" type: "SoftmaxWithLoss" bottom: "final" bottom: "a" {more} '
            'top: "loss2" }')


def made_by(kind, more=""):
    """Layers that make the blob "a" of one channel, by a layer of type `kind`."""
    if kind == "ArgMax":
        return f'''layer {{ name: "made" type: "ArgMax" bottom: "final" top: "a" {more}
                            argmax_param {{ axis: 1 }} }}'''
    return f'''layer {{ name: "made" type: "{kind}" bottom: "conv" top: "t" }}
               layer {{ name: "one" type: "Convolution" bottom: "t" top: "a" {more}
                       convolution_param {{ num_output: 1 kernel_size: 1 }} }}'''


NONE, FIRST = "propagate_down: false", "propagate_down: true propagate_down: false"


@pytest.mark.parametrize("rest, words", [
    (made_by("ArgMax") + euclidean(), 'layer "made": a loss behind it needs a gradient'),
    (made_by("ArgMax", NONE) + euclidean(), 'layer "made": a loss behind it needs a gradient'),
    (made_by("ArgMax") + euclidean(f"{NONE} {NONE}"), None),
    (made_by("ArgMax") + euclidean("loss_weight: 0"), None),
    (made_by("ArgMax"), None),
    (made_by("ArgMax") + softmax(FIRST), None),
    (made_by("ArgMax") + softmax(), 'layer "made": a loss behind it needs a gradient'),
    (made_by("Threshold") + euclidean(), 'layer "made": a loss behind it needs a gradient'),
    (made_by("Threshold", NONE) + euclidean(), None),
    (made_by("TanH") + euclidean(), None),
    (made_by("TanH") + softmax(), 'layer "loss2": its labels "a" come from learned layers'),
    (made_by("TanH") + softmax(FIRST), None),
    ("layer { name: \"accuracy\" type: \"Accuracy\" bottom: \"final\" bottom: \"label\" "
     "top: \"accuracy\" }", None)])
def test_a_missing_gradient_is_found_exactly_where_caffe_aborts(tmp_path, rest, words):
    path = write_net(tmp_path, NET + rest)
    assert steps(path) == (words is None)
    if words is None:
        dry_run_net(load_net(path), caffe.TRAIN, path)
    else:
        with pytest.raises(InputError, match=words):
            dry_run_net(load_net(path), caffe.TRAIN, path)
