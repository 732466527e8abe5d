"""The GPU benchmark, on the CPU at a tiny size: every engine steps, PyTorch's losses are Caffe's,
the tables say what was found."""
import json
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data.errors import InputError  # noqa: E402
from models.build import nets  # noqa: E402
from models.experiments.gta import GTA  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from tools.bench import gpu_command, gpu_step, layer_times, torch_env  # noqa: E402
from tools.bench.gpu_step import Result, largest  # noqa: E402
from tools.bench.layer_traffic import LayerTraffic  # noqa: E402

SIZE = (16, 24)


def test_caffe_steps_in_a_process_of_its_own_and_the_layers_are_reported(
        tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_command, "GTA", replace(GTA, shape=SLIM))
    output = tmp_path / "speed.md"
    gpu_command.main([
        "--device", "cpu", "--size", "16", "24", "--padded", "--width", "8", "--repeats", "2",
        "--without-torch", "--output",
        str(output)
    ])
    said = output.read_text()
    row = next(line for line in said.split("\n")
               if line.startswith("| Caffe | 1 + 1 | ") and " ms | " in line)
    assert "MiB" in row and row.rstrip(" |").endswith("%")
    for layer in ("domain_features", "domain_loss", "mil_loss"):
        assert f"| Caffe | 1 + 1 | {layer} | " in said
    assert "no GPU was seen" in said and "No PyTorch: --without-torch was given." in said
    assert "mil_loss" in capsys.readouterr().out


def test_without_a_gpu_it_says_so_in_a_sentence(monkeypatch):
    monkeypatch.setattr(gpu_command.gpu, "cards", lambda: [])
    with pytest.raises(InputError, match="no NVIDIA GPU.*nothing was measured(.|\n)*--device cpu"):
        gpu_command.main(["--without-torch"])


def test_on_a_gpu_every_finished_build_for_cuda_takes_part_once(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_command.source_builds, "HOME", str(tmp_path))
    with pytest.raises(InputError, match="no finished build for CUDA(.|\n)*--variant cudnn"):
        gpu_command.found_builds(0)
    for name in ("cpu", "cuda", "cudnn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "build.json").write_text(
            json.dumps({"variant": name, "arch": [90], "python": "3.11"}))
    (tmp_path / "unfinished").mkdir()
    os.symlink("cuda", str(tmp_path / "active"))
    assert [os.path.basename(folder) for folder in gpu_command.found_builds(0)] == ["cuda", "cudnn"]
    assert gpu_command.found_builds(None) == [None]


@pytest.fixture
def slim():
    """A slim net without dropout with random images: (shape, net, Python layers)."""
    shape = SLIM._replace(dropout=0.0)
    caffe.set_mode_cpu()
    caffe.set_random_seed(1)
    net, python = layer_times.build("ga_ca", SIZE, 1, shape)
    return shape, net, {
        name: layer
        for name, layer in zip(net._layer_names, net.layers) if name in python
    }


def test_what_a_python_layer_takes_is_counted_once_and_the_layer_is_left_as_it_was(slim):
    _, net, python = slim
    with LayerTraffic(python) as traffic:
        net.forward()
        net.backward()
    units = 2 * 3 * 2
    # features in and out and the link; the classifier's gradient, the link's and the features'
    assert traffic.bytes["domain_features"] == (4 * (2 * 64 + 1) * units, 4 * (2 * 64 + 1) * units)
    # scores and four numbers; backwards the losses' four gradients, and those of scores and link
    assert traffic.bytes["domain_loss"] == (4 * (2 * units + 4), 4 * (3 * units + 4))
    assert all("forward" not in vars(layer) for layer in python.values())


def test_pytorchs_net_has_caffes_losses_and_gradients(slim, tmp_path):
    if not os.path.isdir(torch_env.FOLDERS[torch_env.CPU]):
        pytest.skip("no PyTorch in .torch-env: tools/bench/bench_gpu.py --device cpu makes it")
    shape, net, _ = slim
    # as after some training: no two classes have the same scores
    for blobs in net.params.values():
        blobs[0].data[...] *= 1.5
    net.blobs["data"].data[...] /= 8
    net.clear_param_diffs()
    net.forward()
    net.backward()
    spec = dict(gpu_step.torch_spec(shape, SIZE, 19, 1, "ga_ca"), images=2, labels=1,
                adaptation=gpu_step.adaptation(shape, SIZE))
    arrays = {"images": net.blobs["data"].data, "labels": net.blobs["label"].data}
    parameters = [blob for blobs in net.params.values() for blob in blobs]
    np.savez(str(tmp_path / "caffe.npz"), **arrays,
             **{f"p{number}": blob.data
                for number, blob in enumerate(parameters)})
    answer = in_torch(COMPARED, json.dumps(spec), str(tmp_path / "caffe.npz"),
                      str(tmp_path / "torch.npz"))
    weight = spec["adaptation"]["mil_weight"]
    expected = [
        float(net.blobs[name].data.sum()) for name in ("seg_loss", "domain_loss", "mil_loss")
    ]
    expected[2] *= weight
    assert min(expected) > 0
    assert json.loads(answer) == pytest.approx(expected, rel=1e-4)
    with np.load(str(tmp_path / "torch.npz")) as found:
        # the upsampling is fixed
        assert len(found.files) == len(parameters) - 1
        for number, blob in enumerate(parameters):
            if f"p{number}" in found.files:
                gradient = found[f"p{number}"].reshape(blob.diff.shape)
                assert np.linalg.norm(gradient -
                                      blob.diff) <= 1e-3 * np.linalg.norm(blob.diff), number


#: Puts Caffe's images, labels and parameters into PyTorch's net; prints its losses, and leaves its
#: gradients in a file.
COMPARED = """
import json, sys
sys.path.insert(0, %r)
import numpy as np, torch
import torch_step
spec = json.loads(sys.argv[1])
net = torch_step.build(spec).train()
values = np.load(sys.argv[2])
parameters = list(net.parameters())
assert sum(name[0] == "p" for name in values.files) == len(parameters)
with torch.no_grad():
    for number, parameter in enumerate(parameters):
        parameter.copy_(torch.from_numpy(values["p%%d" %% number]).reshape(parameter.shape))
losses = net(torch.from_numpy(values["images"]), torch.from_numpy(values["labels"]).long()[:, 0])
sum(losses).backward()
np.savez(sys.argv[3], **{"p%%d" %% number: p.grad.numpy() for number, p in enumerate(parameters) if p.requires_grad})
print(json.dumps([float(loss.detach()) for loss in losses]))
""" % os.path.dirname(torch_env.STEP)


def in_torch(program, *arguments):
    done = subprocess.run([torch_env.torch_python(), "-c", program, *arguments],
                          env=torch_env.clean_environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("guess", [1, 2, 5, 6, 7, 40])
def test_the_largest_batch_is_found_from_any_guess(guess):
    tried = []
    assert largest(lambda n: tried.append(n) or (n if n <= 6 else None), guess) == 6
    assert len(tried) == len(set(tried)) <= 8


def test_no_batch_fits():
    assert largest(lambda n: None, 3) is None


def test_the_reader_is_told_what_stopped_a_larger_batch(monkeypatch):
    def turns(contenders, images, repeats):
        if images > 3:
            raise InputError("Caffe ended: out of memory")
        return [Result("Caffe", False, images, [1.0], 100 * images, None, None)]
    monkeypatch.setattr(gpu_step, "take_turns", turns)
    result, refusal = gpu_step.largest_batch(None, 1, 1000)
    assert result.images == 3 and refusal == "4 + 4 images: Caffe ended: out of memory"


def test_ratios_are_those_of_the_same_batch_and_precision():
    layers = {"gate": [0.25, 1, 2 ** 20], "loss": [0.25, 0, 0], "all": 2.0}
    results = [
        Result("Caffe", False, 1, [1.0, 3.0], 2**20, None, layers),
        Result("PyTorch", False, 1, [2.0, 2.0], 2**21, None, None),
        Result("PyTorch, TF32", True, 1, [0.5, 0.5], 2**21, None, None),
        Result("Caffe", False, 4, [8.0], 2**22, 9, layers)
    ]
    rows = gpu_command.step_rows(results)
    assert rows[0][2:] == [
        "2000.0 ms", "1.00", "1.000 (0.500 to 1.500)", "1.000", "1 MiB", "25.00 %"
    ]
    assert rows[1][4:6] == ["", ""] and rows[3][1:6] == ["4 + 4", "8000.0 ms", "1.00", "", ""]
    largest_of_each = gpu_command.step_rows(results +
                                            [Result("PyTorch", False, 8, [4.0], 0, None, None)])
    assert largest_of_each[3][4:6] == ["", "0.250"]     # 8 images in 8 s against 16 in 4 s
    assert gpu_command.layer_rows(results)[0] == [
        "Caffe", "1 + 1", "gate", "250.0 ms", "12.500 %", "0.00 MiB", "1.00 MiB"
    ]


def test_a_contender_with_another_net_is_noticed():
    class Running:
        def __init__(self, parameters):
            self.first = {"parameters": parameters}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def step(self):
            return {"memory": 0, "seconds": 1.0}

    contenders = [gpu_step.Contender(str(n), lambda images, n=n: Running(n), False) for n in (5, 6)]
    with pytest.raises(AssertionError, match="the nets differ"):
        gpu_step.take_turns(contenders, 1, 1)


def test_the_adapted_net_in_pytorch_is_told_what_the_net_of_caffe_says():
    found = json.loads(json.dumps(gpu_step.adaptation(SLIM, SIZE)))
    assert found["objective"] == "confusion" and found["weight"] == GTA.domain_loss.weight
    assert found["mil_weight"] == pytest.approx(GTA.category_loss.mil_weight)
    assert found["rule"] == {
        "slack": 2.0, "presence_factor": 0.1, "down_weight_threshold": 0.1,
        "down_weight_factor": 0.1, "bounds": "both"
    }
    assert os.path.isfile(found["statistics"]) and nets(layer_times.experiment(SLIM, SIZE, 1))
