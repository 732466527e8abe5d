"""Training steps of the front-end in PyTorch's eager mode on the CPU, one for each line read.

    python tools/benchmarks/torch_step.py SPEC

SPEC is JSON, made by training_step.torch_spec. Prints {"version", "parameters"}, then for each line on standard input
{"seconds": of the whole step, "gradients": of its forward and backward pass}. Imports nothing of this project.
"""
import json
import sys
import time

import torch


def front_end(spec):
    """The padded net of models/frontend.py: data (N, 3, H, W) -> score (N, classes, H, W)."""
    layers, inputs = [], 3
    for block, (channels, convs) in enumerate(zip(spec["channels"], spec["convs"]), start=1):
        dilation = 2 if block == 5 else 1
        for _ in range(convs):
            layers += [torch.nn.Conv2d(inputs, channels, 3, padding=dilation, dilation=dilation),
                       torch.nn.ReLU(inplace=True)]
            inputs = channels
        if block <= 3:
            layers.append(torch.nn.MaxPool2d(2))
    fc, classes, stride = spec["fc"], spec["classes"], spec["stride"]
    upsampling = torch.nn.ConvTranspose2d(classes, classes, 2 * stride, stride, padding=stride // 2,
                                          groups=classes, bias=False)
    upsampling.weight.requires_grad_(False)
    return torch.nn.Sequential(
        *layers, torch.nn.Conv2d(inputs, fc, 7, padding=12, dilation=4), torch.nn.ReLU(inplace=True),
        torch.nn.Dropout(spec["dropout"]), torch.nn.Conv2d(fc, fc, 1), torch.nn.ReLU(inplace=True),
        torch.nn.Dropout(spec["dropout"]), torch.nn.Conv2d(fc, classes, 1), upsampling)


def solver(net, spec):
    """SGD with Caffe's rates: biases learn twice as fast and do not decay."""
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in learned if parameter.dim() > 1]
    biases = [parameter for parameter in learned if parameter.dim() == 1]
    return torch.optim.SGD([dict(params=weights, weight_decay=spec["weight_decay"]),
                            dict(params=biases, lr=2 * spec["rate"], weight_decay=0)],
                           lr=spec["rate"], momentum=spec["momentum"])


def main():
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    net = front_end(spec).train()
    optimizer = solver(net, spec)
    images = torch.empty(1, 3, *spec["size"]).uniform_(-128, 128)
    labels = torch.randint(spec["classes"], (1, *spec["size"]))
    answer(version=torch.__version__, parameters=sum(parameter.numel() for parameter in net.parameters()))
    for _ in sys.stdin:
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels, ignore_index=255).backward()
        gradients = time.perf_counter() - start
        optimizer.step()
        answer(seconds=time.perf_counter() - start, gradients=gradients)


def answer(**values):
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
