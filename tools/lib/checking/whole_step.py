"""A dry run of one whole step: forward, backward, update and test phase, in a child process.

Caffe builds some nets that it cannot train, and aborts in their first step.  The step is tried in a
child for every net that holds a layer or a field outside of TRAINS: Caffe is known to train those,
and this project's own nets consist of them, so that their start takes no longer.
"""
import functools
import os

from caffe.proto import caffe_pb2

from tools.lib.checking.device import set_gpu
from tools.lib.checking.dry_run import NotFinished, build_solver, dry_run
from tools.lib.checking.net import running_layers

#: Seconds after which the step is left to the training itself.
SECONDS = 300
_CONVOLUTION = ("convolution_param", ("num_output", "bias_term", "pad", "kernel_size", "stride",
                                      "dilation", "group", "weight_filler", "bias_filler"))
#: {type: (name of its message, fields of it)} that Caffe trains on the CPU and on a GPU.
TRAINS = {
    "Convolution": _CONVOLUTION, "Deconvolution": _CONVOLUTION,
    "ReLU": ("relu_param", ()),
    "Pooling": ("pooling_param", ("pool", "kernel_size", "stride", "pad")),
    "Dropout": ("dropout_param", ("dropout_ratio",)),
    "Slice": ("slice_param", ("axis", "slice_point")),
    "Concat": ("concat_param", ("axis",)),
    "Eltwise": ("eltwise_param", ("coeff",)),
    "Crop": ("crop_param", ("axis", "offset")),
    "Softmax": ("softmax_param", ()),
    "SoftmaxWithLoss": ("loss_param", ("ignore_label", "normalization", "normalize")),
    "Silence": (None, ()), "Input": ("input_param", ("shape",)),
    "Data": ("data_param", ("source", "batch_size", "backend")),
    "ImageData": ("image_data_param", ("source", "batch_size", "root_folder", "shuffle",
                                       "new_height", "new_width")),
    # net.check_net imports none but this project's; a fault in one is an exception, not an abort
    "Python": ("python_param", ("module", "layer", "param_str")),
}
#: Messages of layers that do not choose what a layer computes.
_HARMLESS = ("transform_param", "loss_param")


def is_known_to_train(layer):
    """Whether the LayerParameter has a type and fields of TRAINS alone."""
    if layer.type not in TRAINS:
        return False
    own, fields = TRAINS[layer.type]
    if layer.pooling_param.pool == caffe_pb2.PoolingParameter.STOCHASTIC:
        return False
    for field, value in layer.ListFields():
        if not field.name.endswith("_param") or field.name in _HARMLESS and field.name != own:
            continue
        if field.name != own or any(inner.name not in fields for inner, _ in value.ListFields()):
            return False
    return True


def dry_run_step(solver, nets, name, report, gpu=None, seconds=SECONDS):
    """Takes one step in a child process, where a net has layers that are not known to train.

    solver: SolverParameter; nets: its NetParameters in Caffe's order, the train net first, checked
    and built before; name: the solver's file; report(text): gets a line if the step is not over
    within `seconds`; gpu: number of the GPU that computes, None for the CPU.
    Raises InputError with the layer and the pass in which the process ended, or the error in it.
    """
    if all(is_known_to_train(layer) for net in nets
           for layer in running_layers(net, net.state.phase, name)):
        return
    try:
        dry_run(functools.partial(_step, solver, nets, gpu), name, seconds, "computing a step")
    except NotFinished as problem:
        report(f"{problem.what}; whether Caffe can compute this net shows in training")


def _step(solver, nets, gpu, folder):
    if gpu is not None:
        set_gpu(gpu)
    built = build_solver(one_step(solver), nets, folder)
    for net in [built.net] + list(built.test_nets):
        names = list(net._layer_names)
        net.before_forward(functools.partial(_mark, "Forward pass of", names))
        net.before_backward(functools.partial(_mark, "Backward pass of", names))
    # whatever ends the process from here on is the fault of no layer
    built.add_callback(lambda: None, lambda: _mark("Setting up", [""], 0))
    built.step(1)
    for net in built.test_nets:
        net.share_with(built.net)
        net.forward()
    return True


def one_step(solver):
    """A copy of the SolverParameter whose step computes one pass and writes nothing."""
    copy = caffe_pb2.SolverParameter()
    copy.CopyFrom(solver)
    copy.iter_size = 1
    copy.snapshot = copy.display = 0
    if copy.test_iter:
        copy.test_initialization = False
    return copy


def _mark(text, names, index):
    """Writes where the process is to its log, which the parent reads if the process ends there."""
    os.write(2, f"{text} {names[index]}\n".encode())
