"""The options of tools/check_gpu.py, and its way into the runtime. Standard library only."""
import os
import sys

from data.files import ROOT
from tools.lib.command import CommandParser, exit_code, positive
from tools.lib.device_options import device
from tools.lib.outputs import require_file
from tools.lib.runtime.build_archive import use_build
from tools.lib.runtime.enter import enter_runtime

#: Variable with the Python that the user called: it may have PyTorch, the runtime's own has not.
OUTER_PYTHON = "FCN_OUTER_PYTHON"


def parse(arguments=None):
    """The options of the command line; torch_python is never None."""
    parser = CommandParser(
        prog="python3 tools/check_gpu.py",
        description="Checks a GPU in minutes and without a network: its results, its speed, a "
                    "resumed run.")
    parser.add_argument("--minutes", type=positive, default=5.0,
                        help="time for all parts together (default: 5)")
    parser.add_argument("--device", type=device, default="gpu:0", metavar="cpu|gpu:N",
                        help="default: gpu:0")
    parser.add_argument("--build", metavar="FOLDER|FILE.tar.gz",
                        help="a build of tools/build/build_caffe.py, or an archive of one, which "
                             "is unpacked into .caffe-build (default: the runtime in use)")
    parser.add_argument("--torch-python", metavar="PATH",
                        default=os.environ.get(OUTER_PYTHON, sys.executable),
                        help="a Python with PyTorch to compare with (default: the one that runs "
                             "this command)")
    parser.add_argument("--output", default=os.path.join(ROOT, "runs", "check_gpu.md"),
                        metavar="FILE.md", help="the page (default: runs/check_gpu.md)")
    options = parser.parse_args(arguments)
    require_file(options.output, "--output")
    return options


def enter():
    """Chooses the build of --build, notes this Python and goes on in the runtime's."""
    code = exit_code(_prepare)
    if code:
        sys.exit(code)
    enter_runtime()


def _prepare():
    options = parse()
    os.environ.setdefault(OUTER_PYTHON, sys.executable)
    if options.build:
        use_build(options.build)
