"""A page about the contents of a finished build, read from its files and not from its options."""
import collections
import os
import re
import subprocess
import sys

from tools.build import bundle, parts
from tools.lib.runtime import source_builds

MAIN_LIBRARY = "libcaffe.so.1.0.0"
#: Caffe itself answers, which shows that it loads.
PROBE = """
import caffe
print(f"{caffe.__version__}, {len(list(caffe.layer_type_list()))} kinds of layers")
"""


def lines(folder, libraries, cuobjdump, jobs):
    """Lines of Markdown about the build in `folder`.

    libraries: unpacked Debian packages, for their patchelf.
    cuobjdump: NVIDIA's lister of GPU code, or None for a build without CUDA.
    jobs: compilers at once.
    """
    record = source_builds.read_record(folder)
    lib = os.path.join(folder, bundle.LIB, MAIN_LIBRARY)
    in_lib, lib_size = _size(os.path.join(folder, bundle.LIB))
    files, size = _size(folder)
    rows = [("variant", record["variant"] + "".join(f" sm_{arch}" for arch in record["arch"])),
            ("Python", record["python"]), ("Caffe", record["caffe"]),
            ("compiler's library", record["compiler"]),
            (f"seconds of each phase, {jobs} compilers at a time, beside other work",
             ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in record["seconds"].items())),
            ("libraries in `lib/`", f"{in_lib}, {lib_size:.0f} MB"),
            ("whole folder", f"{files} files, {size:.0f} MB"),
            ("needed from the machine", ", ".join(outside(folder, libraries)) or "nothing"),
            ("`import caffe`, all symbols bound at once",
             _bound([sys.executable, "-c", PROBE], folder, {})),
            ("`bin/caffe --version`, all symbols bound at once", _stock_program(folder))]
    if cuobjdump:
        rows += [("machine code for GPUs in libcaffe",
                  counted(_run([cuobjdump, "--list-elf", lib]).splitlines())),
                 ("PTX in libcaffe, for later GPUs",
                  counted(_run([cuobjdump, "--list-ptx", lib]).splitlines())),
                 ("kernels in it", f"{kernels(_run([cuobjdump, '-symbols', lib]))}")]
    return ["| | |", "|---|---|"] + [f"| {name} | {text} |" for name, text in rows]


def outside(folder, libraries):
    """Names of libraries that the build's files ask for and its lib/ lacks, sorted.

    The C library's own are left out.
    """
    inside = os.listdir(os.path.join(folder, bundle.LIB))
    paths = [os.path.join(folder, bundle.LIB, name) for name in inside]
    paths += [os.path.join(folder, bundle.BIN, "caffe"),
              os.path.join(folder, bundle.SITE, "caffe/_caffe.so")]
    asked = {name for path in paths for name in parts.needed(libraries, path)}
    return sorted(name for name in asked - set(inside) if not bundle.MACHINE.match(name))


def counted(listing):
    """"sm_80: 63, sm_90: 63" from the lines of cuobjdump's list of code."""
    matches = (re.search(r"\.(sm_\w+)\.(cubin|ptx)", line) for line in listing)
    found = collections.Counter(match.group(1) for match in matches if match)
    return ", ".join(f"{arch}: {count}" for arch, count in sorted(found.items())) or "none"


def kernels(text):
    """Number of kernels in cuobjdump's list of symbols, each counted once for all architectures."""
    return len(set(re.findall(r"STO_ENTRY\s+(\S+)", text)))


def _run(argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout


def _stock_program(folder):
    program, needs = source_builds.stock_program(folder)
    return _bound([program, "--version"], folder, needs)


def _bound(argv, folder, needs):
    """The last line that a program prints; the loader resolves all symbols before it starts."""
    env = dict(os.environ, LD_BIND_NOW="1", PYTHONPATH=source_builds.site_packages(folder),
               GLOG_minloglevel="2", **needs)
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    last = (done.stdout.strip().splitlines() or ["no output"])[-1]
    return last if done.returncode == 0 else f"{last} (exit code {done.returncode})"


def _size(folder):
    """(number of files, megabytes) below a folder."""
    paths = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]
    sizes = [os.path.getsize(path) for path in paths if not os.path.islink(path)]
    return len(sizes), sum(sizes) / 1e6


def fetch_cuobjdump(shared):
    """Path of NVIDIA's lister of GPU code, fetched into the folder `shared` unless it is there."""
    folder = os.path.join(shared, "inspect")
    if not os.path.isdir(folder):
        parts.install("inspect", shared, folder)
    program = os.path.join(parts.toolkit(folder), "bin/cuobjdump")
    os.chmod(program, 0o755)
    return program
