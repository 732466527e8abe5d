"""--device and --tf32: what is taken, what is refused, and what reaches Caffe's environment."""
import argparse
import ctypes
import os

import pytest

from data.errors import InputError
from tools.lib import device_options


def test_a_device_is_the_cpu_or_one_gpu():
    for text, number in (("cpu", None), ("gpu", 0), ("gpu:0", 0), ("gpu:12", 12)):
        assert device_options.gpu_number(device_options.device(text)) == number
    assert device_options.gpu_number("gpu", 3) == 3
    for text in ("tpu", "gpu:", "gpu:x", "gpu:-1", "gpu:0,gpu:1", "", "cpu:0"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected cpu or gpu:N, found"):
            device_options.device(text)


def test_several_gpus_are_named_once_each():
    assert device_options.devices("cpu") == ["cpu"]
    assert device_options.devices("gpu") == ["gpu:0"]
    assert device_options.devices("gpu:1,gpu:0") == ["gpu:1", "gpu:0"]
    for text in ("gpu:0,gpu:0", "gpu:0,gpu:00", "gpu,gpu:0", "cpu,gpu:0", "cpu,cpu", "gpu:0,"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected cpu"):
            device_options.devices(text)


def test_tf32_is_asked_for_by_the_option_or_on_a_gpu_by_the_variable(monkeypatch):
    monkeypatch.delenv(device_options.TF32_VARIABLE, raising=False)
    assert not device_options.asks_for_tf32(False, on_gpu=True)
    assert device_options.asks_for_tf32(True, on_gpu=True)
    monkeypatch.setenv(device_options.TF32_VARIABLE, "1")
    assert device_options.asks_for_tf32(False, on_gpu=True)
    assert not device_options.asks_for_tf32(False, on_gpu=False)
    with pytest.raises(InputError, match="--tf32 is a way to compute on a GPU"):
        device_options.asks_for_tf32(True, on_gpu=False)


def test_the_setting_reaches_getenv_of_this_process_where_caffe_reads_it(monkeypatch, repo_root):
    monkeypatch.setenv(device_options.TF32_VARIABLE, "old")      # put back after the test
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    for on, value in ((True, b"1"), (False, b"0")):
        device_options.use_tf32(on)
        assert getenv(device_options.TF32_VARIABLE.encode()) == value
        assert device_options.tf32_in_use() == on
    with open(os.path.join(repo_root, "tools/build/patches/project_math_mode.hpp")) as file:
        assert f'getenv("{device_options.TF32_VARIABLE}")' in file.read()
