"""From a finished compilation to one folder that can be moved: programs, libraries, packages."""
import glob
import os
import re
import shutil
import subprocess
import tarfile

from data.errors import InputError
from data.files import write_aside
from tools.build import parts
from tools.build.toolchain import compiler_library
from tools.lib.runtime import RUNNING_PYTHON

#: The C library's own parts, and the driver's: every machine has them.
MACHINE = re.compile(r"(ld-linux-x86-64|lib(c|m|dl|pthread|rt|resolv|util|anl|nsl|crypt|cuda))\.so")
#: NVIDIA's libraries, which lie in cuda/lib: they are large and have a licence of their own.
CUDA = re.compile(r"lib(cudart|cublas|cublasLt|curand|nvrtc[\w-]*|nccl)\.so")
FROM_COMPILER = ("libstdc++.so.6", "libgcc_s.so.1")

LIB, SITE, BIN = "lib", "python", "bin"


def assemble(tree, make, libraries, extra, into):
    """Copies Caffe and every library it needs into `into`, and makes them find each other.

    tree, make: Caffe's source and build folders.  libraries: unpacked Debian packages.
    extra: further library files, such as a Boost.Python built here.
    """
    site = os.path.join(into, SITE, "caffe")
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(os.path.join(tree, "python/caffe"), site,
                    ignore=shutil.ignore_patterns("test", "imagenet", "*.cpp"))
    module = os.path.join(site, "_caffe.so")
    _copy(_one(os.path.join(make, "lib/_caffe*.so")), module)
    for name in (LIB, BIN):
        shutil.rmtree(os.path.join(into, name), ignore_errors=True)
        os.makedirs(os.path.join(into, name))
    program = os.path.join(into, BIN, "caffe")
    _copy(_one(os.path.join(make, "tools/caffe")), program)
    libcaffe = _one(os.path.join(make, "lib/libcaffe.so.1.0.0"))
    # by the name that others ask for
    where = {"libcaffe.so.1.0.0": libcaffe}
    where.update({os.path.basename(path): path for path in extra})
    copied = _closure([module, program], where, libraries, os.path.join(into, LIB))
    for path in copied:
        parts.patchelf(libraries, "--set-rpath", "$ORIGIN:$ORIGIN/../cuda/lib", path)
    parts.patchelf(libraries, "--set-rpath", "$ORIGIN/../lib:$ORIGIN/../cuda/lib", program)
    parts.patchelf(libraries, "--add-needed", f"libpython{RUNNING_PYTHON}.so.1.0", program)
    parts.patchelf(libraries, "--set-rpath", "$ORIGIN/../../lib:$ORIGIN/../../cuda/lib", module)
    return [module, program] + copied


def _closure(roots, where, libraries, into):
    """Copies the libraries that `roots` need, directly or not, into `into`; returns their paths."""
    copied, waiting = {}, list(roots)
    while waiting:
        for name in parts.needed(libraries, waiting.pop()):
            if name in copied or MACHINE.match(name) or CUDA.match(name):
                continue
            source = where.get(name) or _find(name, libraries)
            copied[name] = os.path.join(into, name)
            _copy(source, copied[name])
            waiting.append(copied[name])
    return list(copied.values())


def _find(name, libraries):
    if name in FROM_COMPILER:
        return compiler_library(name)
    folder = parts.library_folder(libraries)
    for place in (folder, os.path.join(folder, "openblas-pthread"),
                  os.path.join(libraries, "lib", parts.TRIPLET)):
        path = os.path.join(place, name)
        if os.path.exists(path):
            return os.path.realpath(path)
    raise InputError(f"no library {name} among the unpacked packages",
                     fix="add its package to LIBRARIES in tools/build/parts.py")


def _copy(source, target):
    """A stripped copy that can be changed without touching the original."""
    shutil.copyfile(source, target)
    os.chmod(target, 0o755)
    subprocess.run(["strip", "--strip-unneeded", target], check=True)


def _one(pattern):
    found = glob.glob(pattern)
    if not found:
        raise InputError(f"the compilation has made no {pattern}")
    return os.path.realpath(found[0])


def archive(folder, path):
    """Writes the build as a .tar.gz, without NVIDIA's libraries and compiled Python files."""
    def wanted(member):
        inside = member.name.split("/", 1)[-1]
        return None if inside.startswith("cuda/") or "__pycache__" in inside else member

    with write_aside(path) as aside, tarfile.open(aside, "w:gz", compresslevel=6) as file:
        file.add(folder, os.path.basename(os.path.normpath(folder)), filter=wanted)
