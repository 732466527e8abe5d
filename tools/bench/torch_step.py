"""Training steps in PyTorch's eager mode, one for each line read.

    python3 tools/bench/torch_step.py SPEC

SPEC is JSON, made by training_step.torch_spec(): the source-only net, or with "adaptation" the net
of torch_adapted.py. Prints {"version", "parameters": numbers in the net}, then for each line on
standard input {"seconds": of the step, "gradients": of its forward and backward pass, "memory":
bytes allocated so far, "losses"}. The source-only net imports nothing of this project.
"""
import json
import resource
import sys
import time

import torch


def trunk(spec):
    """Layers up to relu7 of models/frontend.py: data (N, 3, H, W) -> features (N, fc, h, w)."""
    layers, inputs, padded = [], 3, spec["padded"]
    for block, (channels, convs) in enumerate(zip(spec["channels"], spec["convs"]), start=1):
        dilation = 2 if block == 5 else 1
        for _ in range(convs):
            layers += [
                torch.nn.Conv2d(inputs, channels, 3, padding=dilation if padded else 0,
                                dilation=dilation),
                torch.nn.ReLU(inplace=True)
            ]
            inputs = channels
        if block <= 3:
            layers.append(torch.nn.MaxPool2d(2))
    fc = spec["fc"]
    return layers + [
        torch.nn.Conv2d(inputs, fc, 7, padding=12 if padded else 0, dilation=4),
        torch.nn.ReLU(inplace=True),
        torch.nn.Dropout(spec["dropout"]),
        torch.nn.Conv2d(fc, fc, 1),
        torch.nn.ReLU(inplace=True)
    ]


def scores(spec):
    """Features -> class scores (N, classes, h, w)."""
    return [torch.nn.Dropout(spec["dropout"]), torch.nn.Conv2d(spec["fc"], spec["classes"], 1)]


def upsampling(spec):
    """Class scores (N, classes, h, w) -> (N, classes, 8 h, 8 w); its weights are not learned."""
    classes, stride = spec["classes"], spec["stride"]
    layer = torch.nn.ConvTranspose2d(classes, classes, 2 * stride, stride, padding=stride // 2,
                                     groups=classes, bias=False)
    layer.weight.requires_grad_(False)
    return layer


class SourceOnly(torch.nn.Module):
    """The front-end with the segmentation loss."""

    def __init__(self, spec):
        super().__init__()
        self.net = torch.nn.Sequential(*trunk(spec), *scores(spec), upsampling(spec))

    def forward(self, images, labels):
        """[segmentation loss]; main() sums the list."""
        return [segmentation_loss(self.net(images), labels)]


def segmentation_loss(score, labels):
    """Mean softmax loss of scores (N, classes, H, W) over the labels (N, H, W) that are not 255."""
    return torch.nn.functional.cross_entropy(score, labels, ignore_index=255)


def solver(net, spec):
    """SGD as in the Caffe net: biases have twice the learning rate and no weight decay."""
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in learned if parameter.dim() > 1]
    biases = [parameter for parameter in learned if parameter.dim() == 1]
    return torch.optim.SGD([dict(params=weights, weight_decay=spec["weight_decay"]),
                            dict(params=biases, lr=2 * spec["rate"], weight_decay=0)],
                           lr=spec["rate"], momentum=spec["momentum"])


class Device:
    """Where PyTorch computes: number of a GPU, or None for the CPU."""

    def __init__(self, gpu, tf32):
        self.name = "cpu" if gpu is None else f"cuda:{gpu}"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        self._free = None
        if gpu is not None:
            torch.zeros(1, device=self.name)
            self._free = torch.cuda.mem_get_info(self.name)[0]

    def now(self):
        """The time in seconds, once the GPU has finished its work."""
        if self._free is not None:
            torch.cuda.synchronize(self.name)
        return time.perf_counter()

    def memory(self):
        """Bytes allocated: on a GPU since its context was made; on the CPU the process's peak."""
        if self._free is None:
            return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self._free - torch.cuda.mem_get_info(self.name)[0]


def build(spec):
    """The net that the spec describes."""
    if "adaptation" not in spec:
        return SourceOnly(spec)
    sys.path.extend(spec["adaptation"]["paths"])
    from torch_adapted import Adapted
    return Adapted(spec)


def main():
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    device = Device(spec["gpu"], spec["tf32"])
    net = build(spec).train().to(device.name)
    optimizer = solver(net, spec)
    images = torch.empty(spec["images"], 3, *spec["input"]).uniform_(-128, 128).to(device.name)
    labels = torch.randint(spec["classes"], (spec["labels"], *spec["size"])).to(device.name)
    answer(version=torch.__version__,
           parameters=sum(parameter.numel() for parameter in net.parameters()))
    for _ in sys.stdin:
        start = device.now()
        optimizer.zero_grad()
        losses = net(images, labels)
        sum(losses).backward()
        gradients = device.now() - start
        optimizer.step()
        answer(seconds=device.now() - start, gradients=gradients, memory=device.memory(),
               losses=[float(loss.detach()) for loss in losses])


def answer(**values):
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
