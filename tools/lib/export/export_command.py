"""The command line of tools/export_onnx.py."""
import os

import caffe
import onnx

from data.errors import InputError
from data.files import require_utf8, write_aside
from tools.lib.checking.caffemodel import open_net
from tools.lib.checking.device import use_device
from tools.lib.checking.net import load_test_net, running_layers
from tools.lib.command import CommandParser
from tools.lib.dataset_options import find_label_space
from tools.lib.export.onnx_graph import convert
from tools.lib.outputs import require_file


def parse(arguments=None):
    """The options of tools/export_onnx.py."""
    parser = CommandParser(
        prog="python3 tools/export_onnx.py",
        description="Writes a deploy net with its weights as an ONNX file, for machines without "
                    "Caffe.")
    parser.add_argument("--model", required=True, help="deploy prototxt")
    parser.add_argument("--weights", required=True, help="caffemodel")
    parser.add_argument("--output", required=True, metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--label-space", metavar="NAME|PATH",
                        help="write the class names of this label space into the file")
    parser.add_argument("--subtract-mean", action="store_true",
                        help="put the prototxt's mean and scale into the graph: it then takes BGR "
                             "images, 0 to 255")
    parser.add_argument("--argmax", action="store_true",
                        help="put the arg max into the graph: it then gives label maps, uint8")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Reads, converts, checks and writes the model."""
    args = parse(arguments)
    require_file(args.output, "--output")
    require_utf8(args.output, "onnx")
    parameter = load_test_net(args.model)
    space = find_label_space(args.label_space) if args.label_space else None
    use_device(None, "the CPU")
    net, _ = open_net(args.model, args.weights, parameter)
    layers = running_layers(parameter, caffe.TEST, args.model)
    model = convert(layers, net, args.model, args.subtract_mean, args.argmax,
                    space.classes if space else ())
    if space and not args.argmax:
        _require_channels(model, len(space.classes), args)
    # Half of the memory, before the file is written and read again by the checker.
    del net
    with write_aside(args.output) as aside:
        onnx.save(model, aside)
        described = _described(model)
        del model
        onnx.checker.check_model(aside)
        size = os.path.getsize(aside)
    print(f"wrote {args.output} ({size / 1e6:.1f} MB): {described}")


def _require_channels(model, classes, args):
    channels = [output.type.tensor_type.shape.dim[1].dim_value for output in model.graph.output]
    if classes not in channels:
        raise InputError(f"{args.model} gives {' and '.join(map(str, channels))} channels, but "
                         f"label space {args.label_space} has {classes} classes",
                         "choose another --label-space")


def _described(model):
    """data (batch x 3 x height x width) -> score (...), for the last line of the command."""
    def shown(value):
        sides = [dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
        return f"{value.name} ({' x '.join(sides)})"

    inputs, outputs = (", ".join(map(shown, values))
                       for values in (model.graph.input, model.graph.output))
    return f"{inputs} -> {outputs}"
