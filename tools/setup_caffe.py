# PYTHON_ARGCOMPLETE_OK
"""Sets up the Caffe runtime, once; running it again is quick and harmless.

A Python that can import `caffe` (a conda environment, say) is used as it is. Otherwise Debian 11's
Caffe and pinned Python packages are put into .caffe: no root is needed, and nothing is written
outside the repository. Where no mirror has them, Caffe is compiled from its source: docs/setup.md.
After an interrupt the same command continues.

--pack writes the finished runtime, with MPI, as one file; --unpack sets up from it without a
network, at any path, for any user.
"""
import argparse
import os
import sys

import _init_paths  # noqa: F401

from data.errors import InputError
from data.files import sha256
from tools.lib.command import CommandParser, run_command
from tools.lib.outputs import require_file
from tools.lib.runtime import debian, mpi, pack, private_runtime
from tools.lib.runtime.enter import python_has_caffe
from tools.lib.runtime.setup import is_current, set_up_runtime


def main():
    parser = CommandParser(description=__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    route = parser.add_mutually_exclusive_group()
    route.add_argument("--mirror", metavar="URL",
                       help="Debian mirror (default: the one in this machine's apt sources)")
    route.add_argument("--debs", metavar="FOLDER",
                       help="folder with the Debian packages, instead of a mirror. pip fetches the "
                            "wheels as it is configured: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER "
                            "takes them from a folder too")
    route.add_argument("--unpack", metavar="FILE",
                       help="set up from a file that --pack has written: nothing is downloaded")
    parser.add_argument("--sha256", metavar="HASH",
                        help="SHA-256 that the file of --unpack must have; --pack prints it")
    parser.add_argument("--pack", metavar="FILE",
                        help="write the finished runtime and MPI as one file")
    parser.add_argument("--rebuild", action="store_true",
                        help="set the runtime up again from the beginning")
    parser.add_argument("--list-debs", action="store_true",
                        help="print SHA-256 and name of the files that --debs needs")
    options = parser.parse_args()
    if options.list_debs:
        for digest, name in debian.locked_packages():
            print(digest, name)
        return
    if options.sha256 and not options.unpack:
        raise InputError("--sha256 belongs to --unpack FILE")
    if options.pack:
        require_file(options.pack, "--pack")
        write_pack(os.path.abspath(options.pack), options)
        return
    if python_has_caffe():
        print(f"Caffe is there: {sys.executable} imports it; nothing to set up")
        return
    if is_current(private_runtime.prefix_folder()) and not options.rebuild:
        print(f"Caffe is there: {private_runtime.prefix_folder()}")
        return
    if options.unpack:
        folder = pack.unpack(os.path.abspath(options.unpack), options.sha256)
    else:
        folder = set_up_runtime(mirror=options.mirror, debs=options.debs, rebuild=options.rebuild)
    print(f"Caffe is ready in {os.path.relpath(folder)}")


def write_pack(path, options):
    """Packs the runtime and MPI into `path`, setting them up first where they are missing."""
    set_up_runtime(mirror=options.mirror, debs=options.debs, rebuild=options.rebuild)
    mpi.set_up(pack.PYTHON)
    manifest = pack.write_pack(path)
    print(f"{path}: {os.path.getsize(path) / 1e6:.0f} MB, {len(manifest['packages'])} packages, "
          f"{manifest['unpacked_bytes'] / 1e6:.0f} MB unpacked")
    print(f"SHA-256 {sha256(path)}")
    print(f"its packages, versions and licences: tar -xOf FILE {pack.MANIFEST}")


if __name__ == "__main__":
    run_command(main)
