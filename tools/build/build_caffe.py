"""Builds Caffe for the Python that runs this, for CUDA or the CPU.

The source is Debian's package. All downloads are checked by signature or hash, no root is needed,
and an interrupted build goes on where it stopped. The result is one folder that can be moved;
commands use it when CAFFE_BUILD names it, or after --activate.
"""
import argparse
import os

import _init_paths  # noqa: F401

from data.cores import usable_cores
from data.errors import InputError
from data.files import write_whole
from tools.build import build_page, bundle, parts
from tools.build.patches import VARIANTS
from tools.build.source_build import Build, build_name
from tools.lib.command import CommandParser, count, run_command
from tools.lib.outputs import require_file, require_folder
from tools.lib.runtime import source_builds


def main():
    options = parse()
    if options.deactivate:
        source_builds.activate(None)
        print("commands use the other runtimes again")
        return
    if options.add_cuda_libraries:
        add_cuda_libraries(os.path.abspath(options.add_cuda_libraries),
                           os.path.abspath(options.work))
        return
    arch = () if options.variant == "cpu" else options.arch
    default = os.path.join(source_builds.HOME, build_name(options.variant, arch))
    output = os.path.abspath(options.output or default)
    require_folder(output, "--output")
    require_folder(options.work, "--work")
    require_file(options.archive, "--archive")
    require_file(options.report, "--report")
    Build(options.variant, arch, os.path.abspath(options.work), output, options.jobs,
          options.mirror).run()
    seconds = source_builds.read_record(output)["seconds"]
    print(f"Caffe is ready in {os.path.relpath(output)}: {sum(seconds.values()):.0f} s in all, "
          f"{seconds['compiling']:.0f} s of it compiling")
    if options.report:
        write_report(output, os.path.join(os.path.abspath(options.work), "shared"), options)
    if options.archive:
        bundle.archive(output, os.path.abspath(options.archive))
        print(f"archive: {options.archive}, {os.path.getsize(options.archive) / 1e6:.0f} MB")
    if options.activate:
        source_builds.activate(output)
        print("commands use it from now on")
    else:
        print(f"to use it: export CAFFE_BUILD={os.path.relpath(output)}, or run this again with "
              "--activate")


def parse():
    parser = CommandParser(description=__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="cuda",
                        help="default: cuda; cpu is for a machine without an NVIDIA card")
    parser.add_argument("--arch", type=architectures, default=(80, 90, 120), metavar="N,N",
                        help="GPU architectures of a CUDA build (default: 80,90,120)")
    parser.add_argument("--jobs", type=count, default=usable_cores(), metavar="N",
                        help="compilers at once")
    parser.add_argument("--mirror", metavar="URL",
                        help="Debian mirror (default: the one in this machine's apt sources)")
    parser.add_argument("--output", metavar="FOLDER",
                        help="default: .caffe-build/<variant>-py<version>")
    parser.add_argument("--work", metavar="FOLDER",
                        default=os.path.join(source_builds.HOME, "work"),
                        help="downloads and unfinished builds (default: .caffe-build/work)")
    parser.add_argument("--archive", metavar="FILE.tar.gz",
                        help="also pack the build, without NVIDIA's libraries")
    parser.add_argument("--report", metavar="FILE.md",
                        help="also write a page about the contents of the build")
    parser.add_argument("--activate", action="store_true", help="make the commands use this build")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--deactivate", action="store_true",
                       help="build nothing: make the commands use no build")
    other.add_argument("--add-cuda-libraries", metavar="FOLDER",
                       help="build nothing: fetch NVIDIA's libraries into an unpacked archive")
    return parser.parse_args()


def architectures(text):
    """(80, 90) from "80,90"."""
    words = text.split(",")
    if not all(word.isdigit() and len(word) in (2, 3) for word in words):
        raise argparse.ArgumentTypeError(f"expected numbers such as 80,90, found '{text}'")
    return tuple(sorted({int(word) for word in words}))


def write_report(folder, shared, options):
    """Writes the page about the contents of the build, and prints it."""
    cuobjdump = None if options.variant == "cpu" else build_page.fetch_cuobjdump(shared)
    lines = build_page.lines(folder, os.path.join(shared, "libraries"), cuobjdump, options.jobs)
    arch = "" if options.variant == "cpu" else " --arch " + ",".join(map(str, options.arch))
    command = f"python3 tools/build/build_caffe.py --variant {options.variant}{arch} --report FILE"
    text = "\n".join([f"Written by `{command}`.", ""] + lines) + "\n"
    print(text, end="")
    write_whole(options.report, text)


def add_cuda_libraries(folder, work):
    """Fetches the pinned NVIDIA wheels and puts their run-time libraries into the build."""
    if source_builds.read_record(folder)["variant"] == "cpu":
        raise InputError(f"{folder} is a build for the CPU: it needs no CUDA libraries")
    unpacked = os.path.join(work, "shared", "cuda")
    if not os.path.isdir(unpacked):
        os.makedirs(os.path.dirname(unpacked), exist_ok=True)
        parts.install("cuda", os.path.dirname(unpacked), unpacked)
    parts.place_cuda_libraries(unpacked, os.path.join(folder, source_builds.CUDA_LIB))
    print(f"CUDA libraries are in {os.path.join(folder, source_builds.CUDA_LIB)}")


if __name__ == "__main__":
    run_command(main)
