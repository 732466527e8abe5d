"""The GPU benchmark on the CPU at a tiny size: its engines' steps, losses, gradients and tables."""
import json
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime")

from data.errors import InputError
from models.build import nets
from models.experiments.gta import GTA
from models.shapes import SLIM
from tools.bench import (
    bench_gpu,
    gpu_engines,
    gpu_tables,
    random_nets,
    step_process,
    torch_env,
)
from tools.bench.gpu_engines import Result, largest
from tools.bench.layer_costs import LayerTraffic

SIZE = (16, 24)


def test_caffe_steps_in_a_process_of_its_own_and_the_layers_are_reported(
        tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_gpu, "GTA", replace(GTA, shape=SLIM))
    output = tmp_path / "speed.md"
    bench_gpu.main(["--device", "cpu", "--size", "16", "24", "--padded", "--width", "8",
                    "--repeats", "2", "--without-torch", "--output", str(output)])
    text = output.read_text()
    row = next(line for line in text.split("\n")
               if line.startswith("| Caffe | 1 + 1 | ") and " ms | " in line)
    assert "MiB" in row and row.rstrip(" |").endswith("%")
    for layer in ("domain_features", "domain_loss", "mil_loss"):
        assert f"| Caffe | 1 + 1 | {layer} | " in text
    shared = bench_gpu.source_builds.has_patch(bench_gpu.source_builds.ONE_COLUMN_BUFFER)
    assert f"Column buffers: Caffe, {'one' if shared else 'one a convolution'}." in text
    assert "no GPU was seen" in text and "No PyTorch: --without-torch was given." in text
    assert "mil_loss" in capsys.readouterr().out


def test_the_runtime_in_use_and_builds_are_compared_and_the_page_names_no_folder(
        tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(gpu_engines, "caffe_engine", lambda *given: asked.append(given[3]))
    options = bench_gpu.parse(["--device", "cpu", "--without-torch", "--builds", "none",
                               str(tmp_path / "cpu-py3.12")])
    assert bench_gpu.find_engines(options, None) == ([None, None], "--without-torch was given.")
    assert asked == [None, str(tmp_path / "cpu-py3.12")]
    assert " --builds none .caffe-build/cpu-py3.12 --width" in bench_gpu.title(options)


def test_without_a_gpu_nothing_is_measured_and_the_error_says_so(monkeypatch):
    monkeypatch.setattr(bench_gpu, "cards", lambda: [])
    with pytest.raises(InputError, match="no NVIDIA GPU.*nothing was measured(.|\n)*--device cpu"):
        bench_gpu.main(["--without-torch"])


def test_on_a_gpu_every_finished_build_for_cuda_takes_part_once(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_gpu.source_builds, "HOME", str(tmp_path))
    with pytest.raises(InputError, match="no finished build for CUDA(.|\n)*--variant cuda"):
        bench_gpu.found_builds(0)
    for name in ("cpu", "cuda", "cuda-sm80"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "build.json").write_text(
            json.dumps({"variant": name.partition("-")[0], "arch": [90], "python": "3.11"}))
    (tmp_path / "unfinished").mkdir()
    os.symlink("cuda", str(tmp_path / "active"))
    assert [os.path.basename(folder)
            for folder in bench_gpu.found_builds(0)] == ["cuda-sm80", "cuda"]
    assert bench_gpu.found_builds(None) == [None]


@pytest.fixture
def slim():
    """A slim net without dropout with random images: (shape, net, Python layers)."""
    shape = SLIM._replace(dropout=0.0)
    caffe.set_mode_cpu()
    caffe.set_random_seed(1)
    net, python = random_nets.build("ga_ca", SIZE, 1, shape)
    layers = zip(net._layer_names, net.layers)
    return shape, net, {name: layer for name, layer in layers if name in python}


def test_the_bytes_a_python_layer_touches_are_counted_once_and_its_methods_come_back(slim):
    _, net, python = slim
    with LayerTraffic(python) as traffic:
        net.forward()
        net.backward()
    units = 2 * 3 * 2
    # forwards: features in and out, and the gradient ratio of the second top
    # backwards: gradient of the classifier, of the second top and of the features
    assert traffic.bytes["domain_features"] == (4 * (2 * 64 + 1) * units, 4 * (2 * 64 + 1) * units)
    # forwards: scores and four numbers
    # backwards: gradients of the four tops, of the scores and of the second bottom
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
    spec = dict(gpu_engines.torch_spec(shape, SIZE, 19, 1, "ga_ca"), images=2, labels=1,
                adaptation=gpu_engines.adaptation(shape, SIZE))
    arrays = {"images": net.blobs["data"].data, "labels": net.blobs["label"].data}
    parameters = [blob for blobs in net.params.values() for blob in blobs]
    arrays.update({f"p{number}": blob.data for number, blob in enumerate(parameters)})
    np.savez(str(tmp_path / "caffe.npz"), **arrays)
    answer = in_torch(COMPARED, os.path.dirname(step_process.TORCH_STEP), json.dumps(spec),
                      str(tmp_path / "caffe.npz"), str(tmp_path / "torch.npz"))
    weight = spec["adaptation"]["mil_weight"]
    expected = [float(net.blobs[name].data.sum())
                for name in ("seg_loss", "domain_loss", "mil_loss")]
    expected[2] *= weight
    assert min(expected) > 0
    assert json.loads(answer) == pytest.approx(expected, rel=1e-4)
    with np.load(str(tmp_path / "torch.npz")) as found:
        assert len(found.files) == len(parameters) - 1      # the upsampling is fixed
        for number, blob in enumerate(parameters):
            if f"p{number}" in found.files:
                gap = found[f"p{number}"].reshape(blob.diff.shape) - blob.diff
                assert np.linalg.norm(gap) <= 1e-3 * np.linalg.norm(blob.diff), number


#: Puts Caffe's images, labels and parameters into PyTorch's net; prints its losses and writes its
#: gradients to a file.  Arguments: folder of torch_step.py, spec, file to read, file to write.
COMPARED = """
import json, sys
sys.path.insert(0, sys.argv.pop(1))
import numpy as np, torch
import torch_step
spec = json.loads(sys.argv[1])
net = torch_step.build(spec).train()
values = np.load(sys.argv[2])
parameters = list(net.parameters())
assert sum(name[0] == "p" for name in values.files) == len(parameters)
with torch.no_grad():
    for number, parameter in enumerate(parameters):
        parameter.copy_(torch.from_numpy(values[f"p{number}"]).reshape(parameter.shape))
losses = net(torch.from_numpy(values["images"]), torch.from_numpy(values["labels"]).long()[:, 0])
sum(losses).backward()
np.savez(sys.argv[3], **{f"p{number}": parameter.grad.numpy()
                         for number, parameter in enumerate(parameters) if parameter.requires_grad})
print(json.dumps([float(loss.detach()) for loss in losses]))
"""


def in_torch(program, *arguments):
    done = subprocess.run([torch_env.torch_python(), "-c", program, *arguments],
                          env=torch_env.clean_environment(), capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("guess", [1, 2, 5, 6, 7, 40])
def test_the_largest_batch_is_found_from_any_guess(guess):
    tried = []
    assert largest(lambda n: tried.append(n) or (n if n <= 6 else None), guess) == 6
    assert len(tried) == len(set(tried)) <= 8


def test_no_batch_fits():
    assert largest(lambda n: None, 3) is None


def test_the_error_that_stopped_a_larger_batch_is_returned(monkeypatch):
    def turns(engines, images, repeats):
        if images > 3:
            raise InputError("Caffe ended: out of memory")
        return [Result("Caffe", False, images, [1.0], 100 * images, None, None)]
    monkeypatch.setattr(gpu_engines, "take_turns", turns)
    result, refusal = gpu_engines.largest_batch(None, 1, 1000)
    assert result.images == 3 and refusal == "4 + 4 images: Caffe ended: out of memory"


def test_ratios_are_those_of_the_same_batch_and_precision():
    layers = {"gate": [0.25, 1, 2 ** 20], "loss": [0.25, 0, 0], "conv": [1.5, None, None]}
    results = [
        Result("Caffe", False, 1, [1.0, 3.0], 2**20, None, layers),
        Result("PyTorch", False, 1, [2.0, 2.0], 2**21, None, None),
        Result("PyTorch, TF32", True, 1, [0.5, 0.5], 2**21, None, None),
        Result("Caffe", False, 4, [8.0], 2**22, 9, layers)
    ]
    rows = gpu_tables.step_rows(results)
    assert rows[0][2:] == [
        "2000.0 ms", "1.00", "1.000 (0.500 to 1.500)", "1.000", "1 MiB", "25.00 %"
    ]
    assert rows[1][4:6] == ["", ""] and rows[3][1:6] == ["4 + 4", "8000.0 ms", "1.00", "", ""]
    largest_of_each = gpu_tables.step_rows(results +
                                           [Result("PyTorch", False, 8, [4.0], 0, None, None)])
    assert largest_of_each[3][4:6] == ["", "0.250"]     # 8 images in 8 s against 16 in 4 s
    assert len(gpu_tables.layer_rows(results)) == 4     # conv is no Python layer
    assert gpu_tables.layer_rows(results)[0] == [
        "Caffe", "1 + 1", "gate", "250.0 ms", "12.500 %", "0.00 MiB", "1.00 MiB"
    ]


def test_an_engine_with_another_net_is_noticed():
    class Running:
        def __init__(self, parameters):
            self.first = {"parameters": parameters}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def step(self):
            return {"memory": 0, "seconds": 1.0}

    engines = [gpu_engines.Engine(str(n), lambda images, n=n: Running(n), False) for n in (5, 6)]
    with pytest.raises(AssertionError, match="the nets differ"):
        gpu_engines.take_turns(engines, 1, 1)


def test_the_adapted_net_in_pytorch_gets_the_settings_of_caffes_net():
    found = json.loads(json.dumps(gpu_engines.adaptation(SLIM, SIZE)))
    assert found["objective"] == "confusion" and found["weight"] == GTA.domain_loss.weight
    assert found["mil_weight"] == pytest.approx(GTA.category_loss.mil_weight)
    assert found["rule"] == {
        "slack": 2.0, "presence_factor": 0.1, "down_weight_threshold": 0.1,
        "down_weight_factor": 0.1, "bounds": "both"
    }
    assert os.path.isfile(found["statistics"]) and nets(random_nets.experiment(SLIM, SIZE, 1))
