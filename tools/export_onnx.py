# PYTHON_ARGCOMPLETE_OK
"""Writes a trained net as an ONNX file, for machines without Caffe.

    python3 tools/export_onnx.py --model DEPLOY --weights X --output X.onnx
    python3 tools/export_onnx.py --model DEPLOY --weights X --output X.onnx --subtract-mean --argmax
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.export.export_command import main

if __name__ == "__main__":
    run_command(main)
