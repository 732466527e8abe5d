"""A net and a solver of a few numbers, as text, for tests of reading, checking and training."""

NET = """name: "tiny"
layer { name: "input" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 }
                      shape { dim: 2 dim: 1 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 4 kernel_size: 3 pad: 1
                            weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "final" type: "Convolution" bottom: "conv" top: "final"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "final" bottom: "label" top: "loss"
        loss_param { ignore_label: 255 } include { phase: TRAIN } }
"""

SOLVER = """net: "NET"
base_lr: 0.01
lr_policy: "fixed"
momentum: 0.9
max_iter: 10
type: "SGD"
snapshot_prefix: "tiny"
"""


def write_net(folder, text=NET, name="net.prototxt"):
    """Writes a net into `folder` (a pathlib.Path); returns its path as text."""
    path = folder / name
    path.write_text(text)
    return str(path)


def write_solver(folder, changes="", net_text=NET, without=()):
    """Writes the tiny net and solver; returns the solver's path as text.

    changes: lines added; without: fields whose line is left out.
    """
    net = write_net(folder, net_text)
    lines = [line for line in SOLVER.replace("NET", net).splitlines()
             if line.split(":")[0] not in without]
    path = folder / "solver.prototxt"
    path.write_text("\n".join(lines + [changes]) + "\n")
    return str(path)
