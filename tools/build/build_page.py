"""What a finished build is made of: read from its files, not from what was asked for."""
import collections
import os
import re
import subprocess
import sys

from tools.build import bundle, debian_parts, wheel_parts
from tools.lib.runtime import source_builds

MAIN_LIBRARY = "libcaffe.so.1.0.0"
#: Asks Caffe itself, so that it has been loaded and can answer.
PROBE = "import caffe; print(\"%s, %d kinds of layers\" % (caffe.__version__, len(list(caffe.layer_type_list()))))"


def report(folder, libraries, cuobjdump, jobs):
    """Lines of Markdown about the build in `folder`.

    libraries: unpacked Debian packages, for their patchelf.  cuobjdump: NVIDIA's lister, or None for a build without CUDA.
    jobs: compilers at once, as the command that writes this was told.
    """
    record = source_builds.read_record(folder)
    lib = os.path.join(folder, bundle.LIB, MAIN_LIBRARY)
    rows = [("variant", record["variant"] + "".join(f" sm_{arch}" for arch in record["arch"])),
            ("Python", record["python"]), ("Caffe", record["caffe"]),
            ("compiler's library", record["compiler"]),
            (f"seconds of each phase, {jobs} compilers at a time, beside other work",
             ", ".join("%s %.0f" % item for item in record["seconds"].items())),
            ("libraries in `lib/`", "%d, %.0f MB" % _size(os.path.join(folder, bundle.LIB))),
            ("whole folder", "%d files, %.0f MB" % _size(folder)),
            ("needed from the machine", ", ".join(outside(folder, libraries)) or "nothing"),
            ("`import caffe`, all symbols bound at once",
             _bound([sys.executable, "-c", PROBE], folder, {})),
            ("`bin/caffe --version`, all symbols bound at once", _stock_program(folder))]
    if cuobjdump:
        rows += [("machine code for GPUs in libcaffe", counted(_listed(
            cuobjdump, "--list-elf", lib))),
                 ("PTX in libcaffe, for later GPUs", counted(_listed(cuobjdump, "--list-ptx",
                                                                     lib))),
                 ("kernels in it", f"{kernels(_run([cuobjdump, '-symbols', lib]))}")]
    return ["| | |", "|---|---|"] + ["| %s | %s |" % row for row in rows]


def outside(folder, libraries):
    """Names that the build's files ask for and that its lib/ does not have, sorted; the C library's
    own stay out."""
    inside = os.listdir(os.path.join(folder, bundle.LIB))
    paths = [os.path.join(folder, bundle.LIB, name) for name in inside]
    paths += [
        os.path.join(folder, bundle.BIN, "caffe"),
        os.path.join(folder, bundle.SITE, "caffe/_caffe.so")
    ]
    asked = {name for path in paths for name in debian_parts.needed(libraries, path)}
    return sorted(name for name in asked - set(inside) if not bundle.MACHINE.match(name))


def counted(lines):
    """"sm_80: 63, sm_90: 63" from cuobjdump's list of code."""
    found = collections.Counter(
        match.group(1) for match in (re.search(r"\.(sm_\w+)\.(cubin|ptx)", line) for line in lines)
        if match)
    return ", ".join("%s: %d" % item for item in sorted(found.items())) or "none"


def kernels(text):
    """How many functions a processor can start, in cuobjdump's list of symbols; each counts once,
    whatever the card."""
    return len(set(re.findall(r"STO_ENTRY\s+(\S+)", text)))


def _listed(cuobjdump, option, path):
    return _run([cuobjdump, option, path]).splitlines()


def _run(argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          universal_newlines=True).stdout


def _stock_program(folder):
    program, needs = source_builds.stock_program(folder)
    return _bound([program, "--version"], folder, needs)


def _bound(argv, folder, needs):
    """The last line that a program prints when the loader resolves every symbol before it
    starts."""
    env = dict(os.environ, LD_BIND_NOW="1", PYTHONPATH=source_builds.site_packages(folder),
               GLOG_minloglevel="2", **needs)
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    return "%s%s" % ((done.stdout.strip().splitlines() or ["no output"])[-1],
                     "" if done.returncode == 0 else f" (exit code {done.returncode})")


def _size(folder):
    """(number of files, megabytes) below a folder."""
    sizes = [
        os.path.getsize(os.path.join(top, name)) for top, _, names in os.walk(folder)
        for name in names if not os.path.islink(os.path.join(top, name))
    ]
    return len(sizes), sum(sizes) / 1e6


def fetch_cuobjdump(shared):
    """Path of NVIDIA's lister of GPU code, fetched into the folder `shared` when it is not there
    yet."""
    folder = os.path.join(shared, "inspect")
    if not os.path.isdir(folder):
        wheel_parts.install("inspect", shared, folder)
    program = os.path.join(wheel_parts.toolkit(folder), "bin/cuobjdump")
    os.chmod(program, 0o755)
    return program
