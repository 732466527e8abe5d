"""A missing GPU gives an error message and does not end the process."""
import pytest

pytest.importorskip("caffe")

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from data.machine_memory import machine_memory
from layers import gpu_arrays
from tools.lib.checking import device
from tools.lib.checking.device import use_device


def test_the_cpu_is_always_there():
    use_device(None, "--device cpu")


def test_a_gpu_of_an_impossible_number_is_refused_with_the_flag():
    with pytest.raises(InputError, match="--device gpu:77: Caffe refuses it: ") as refused:
        use_device(77, "--device gpu:77")
    assert "--device cpu" in refused.value.fix
    use_device(None, "--device cpu")


def test_the_known_net_is_computed_and_its_numbers_checked(tmp_path, monkeypatch):
    device.check_known_net(str(tmp_path))
    monkeypatch.setattr(device, "KNOWN_NET", device.KNOWN_NET.replace("value: 1", "value: 2"))
    with pytest.raises(InputError, match="36 forward and 36 backward; expected 18"):
        device.check_known_net(str(tmp_path))


def test_the_known_net_runs_a_kernel_of_caffes_own_in_every_build():
    net = text_format.Parse(device.KNOWN_NET, caffe_pb2.NetParameter())
    assert any(layer.relu_param.engine == caffe_pb2.ReLUParameter.CAFFE for layer in net.layer)


def test_a_second_gpu_that_is_not_there_is_refused_without_a_dry_run(monkeypatch):
    """CUDA allows no dry run in a fork once this process has a GPU."""
    monkeypatch.setattr(device, "_in_use", [0])
    monkeypatch.setattr(gpu_arrays, "count", lambda: 2)
    with pytest.raises(InputError, match="gpu:2: there are 2 GPUs"):
        use_device(2, "--device gpu:2")


def test_memory_is_the_machines_or_that_of_the_gpu_in_use(monkeypatch):
    assert device.device_memory() == machine_memory()

    class Library:
        def cublasCreate_v2(self, handle):
            return 0

        def cudaMemGetInfo(self, free, total):
            free._obj.value, total._obj.value = 5 << 30, 8 << 30
            return 0
    monkeypatch.setattr(gpu_arrays, "_current", gpu_arrays.GpuArrays(Library()))
    assert device.device_memory() == 5 << 30
