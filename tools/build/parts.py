"""What a build is made from, fetched and unpacked without root.

From Debian, signatures checked: source packages (Caffe's, Boost's), libraries with their headers.
From the Python package index, pinned by hash: Python packages, cmake, NVIDIA's toolkit.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess

from data.cores import usable_cores
from data.errors import InputError
from data.files import folder_aside
from tools.build.toolchain import python_headers, run_logged
from tools.lib.runtime import RUNNING_PYTHON, debian, wheels
from tools.lib.runtime.mirrors import mirrors_to_ask
from tools.lib.runtime.setup import Counter

#: Version of Debian 11's source package of Caffe.
CAFFE_VERSION = "1.0.0+git20180821.99bd997-8"
CAFFE_SUITE = "bullseye"
LIBRARIES_SUITE = "bookworm"
#: Libraries with headers, and the programs that go with them.
LIBRARIES = ("libboost-system1.74-dev", "libboost-thread1.74-dev", "libboost-filesystem1.74-dev",
             "libboost-regex1.74-dev", "libboost-python1.74-dev", "libprotobuf-dev",
             "protobuf-compiler", "libgoogle-glog-dev", "libgflags-dev", "libhdf5-dev",
             "libopenblas-pthread-dev", "patchelf")
#: Dependencies that come with every machine (C library, compiler, dpkg) or belong to Debian's own
#: Python.
LEFT_OUT = (
    r"(gcc-|libgcc|libc6|libc-|libstdc\+\+|linux-libc|lib(a|l|t|ub)san|libitm|libatomic|libgomp|"
    r"python|libpython|dpkg|tar$|debconf|adduser|passwd|libpam|media-types|libjs|openssh|"
    r"readline-common|libsemanage|libaudit|libselinux|libsepol|libcrypt-dev|libnsl|libtirpc|rpcsvc|"
    r"libdb5|icu-devtools|libcap-ng|libsqlite|libncurses|libtinfo|libuuid|libpcre|libmd|libacl|"
    r"libexpat)")
TRIPLET = "x86_64-linux-gnu"
#: Debian 12's Boost.Python is for this Python; for another one it is compiled from the source.
BOOST_PYTHON = "3.11"
BOOST_VERSION = "1.74.0+ds1-21"
#: Folder of the lists NAME.in and their lock files.
LOCKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "locks")


def fetch_source(package, version, suite, work, tree, mirror):
    """Unpacks a Debian source package, Debian's patches applied, as the folder `tree`.

    apt checks the signatures. mirror: as in mirrors_to_ask().
    """
    apt = debian.open_apt(os.path.join(work, "apt-src-" + suite), mirrors_to_ask(mirror), suite,
                          ("deb-src",))
    folder = os.path.join(work, "source-" + package)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        apt.run(["source", f"{package}={version}"], cwd=folder)
    except debian.AptFailed as problem:
        raise InputError(f"{apt.mirror} could not deliver the source package {package} {version}: "
                         f"{problem.first_error()}",
                         fix="run this again, or name another mirror with --mirror URL") from None
    unpacked = [path for path in glob.glob(os.path.join(folder, "*")) if os.path.isdir(path)]
    if len(unpacked) != 1:
        raise InputError(
            f"the source package {package} has unpacked into {len(unpacked)} folders")
    shutil.rmtree(tree, ignore_errors=True)
    os.rename(unpacked[0], tree)


def fetch_libraries(work, folder, mirror):
    """Unpacks LIBRARIES and their dependencies into `folder`; its programs run from there."""
    apt = debian.open_apt(os.path.join(work, "apt-" + LIBRARIES_SUITE), mirrors_to_ask(mirror),
                          LIBRARIES_SUITE)
    debs = os.path.join(work, "debs")
    os.makedirs(debs, exist_ok=True)
    try:
        wanted = apt.closure(LIBRARIES, (), LEFT_OUT)
        apt.fetch(wanted, debs, Counter("package", len(wanted)).step)
    except debian.AptFailed as problem:
        raise InputError(f"{apt.mirror} could not deliver the libraries: {problem.first_error()}",
                         fix="run this again: it goes on where it stopped") from None
    with folder_aside(folder) as aside:
        debian.unpack([os.path.join(debs, package.file) for package in wanted], aside, lambda: None)
    # protoc looks for its library beside itself, wherever the folder lies
    patchelf(folder, "--set-rpath", f"$ORIGIN/../lib/{TRIPLET}",
             os.path.join(folder, "usr/bin/protoc"))
    for path in glob.glob(os.path.join(library_folder(folder), "libproto*.so.*.*")):
        patchelf(folder, "--set-rpath", "$ORIGIN", path)


def library_folder(libraries):
    """Folder of the unpacked libraries."""
    return os.path.join(libraries, "usr/lib", TRIPLET)


def patchelf(libraries, *arguments):
    """Runs the unpacked patchelf, which reads and writes what a program asks of the loader."""
    return subprocess.run([os.path.join(libraries, "usr/bin/patchelf"), *arguments], check=True,
                          stdout=subprocess.PIPE, text=True).stdout


def needed(libraries, path):
    """Names of the libraries that a program or library asks for."""
    return patchelf(libraries, "--print-needed", path).split()


def boost_python_name():
    """File name of Boost.Python for this Python."""
    return f"libboost_python{RUNNING_PYTHON.replace('.', '')}.so.1.74.0"


def build_boost_python(work, libraries, log, mirror):
    """Compiles libs/python of Debian 12's Boost for this Python; returns the library's path."""
    tree = os.path.join(work, "boost")
    out = os.path.join(work, "boost-python-" + RUNNING_PYTHON)
    if not os.path.isdir(tree):
        fetch_source("boost1.74", BOOST_VERSION, LIBRARIES_SUITE, work, tree, mirror)
    os.makedirs(out, exist_ok=True)
    sources = [path for path in glob.glob(os.path.join(tree, "libs/python/src/**/*.cpp"),
                                          recursive=True) if "/numpy/" not in path]
    flags = ["-O2", "-fPIC", "-DNDEBUG", "-DBOOST_PYTHON_SOURCE",
             "-I" + os.path.join(libraries, "usr/include"), "-I" + python_headers()]

    def compile_one(path):
        target = os.path.join(out, os.path.relpath(path, tree).replace("/", "_") + ".o")
        if not os.path.exists(target):
            run_logged(["g++"] + flags + ["-c", path, "-o", target + ".aside"], log, out)
            os.replace(target + ".aside", target)
        return target

    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as pool:
        objects = list(pool.map(compile_one, sources))
    path = os.path.join(out, boost_python_name())
    run_logged(["g++", "-shared", "-Wl,-soname," + boost_python_name(), "-o", path] + objects, log,
               out)
    return path


def requested(name):
    """Path of the list of packages that a lock file is made from."""
    return os.path.join(LOCKS, name + ".in")


def lock(name):
    """Path of a list's lock file; the list `python` has one for each version of Python."""
    return os.path.join(LOCKS,
                        (f"{name}-{RUNNING_PYTHON}" if name == "python" else name) + ".lock")


def install(name, work, folder):
    """Downloads the locked packages of list `name` and unpacks them as `folder`, hashes checked."""
    store = os.path.join(work, "wheels")
    counter = Counter(name + " package", len(wheels.locked(lock(name))))
    wheels.download(store, counter.step, lock(name), wheels.THIS_PYTHON)
    with folder_aside(folder) as aside:
        wheels.install(store, aside, lock(name), wheels.THIS_PYTHON)


def toolkit(folder):
    """Folder of the CUDA toolkit inside the unpacked wheels."""
    return os.path.join(folder, "nvidia/cu13")


def finish_toolkit(folder):
    """Adds what cmake looks for and wheels cannot hold: lib64 and links without a version."""
    for home in glob.glob(os.path.join(folder, "nvidia/*")):
        for path in glob.glob(os.path.join(home, "lib/lib*.so.*")):
            plain = re.sub(r"\.so\..*", ".so", path)
            if not os.path.lexists(plain):
                os.symlink(os.path.basename(path), plain)
        if not os.path.lexists(os.path.join(home, "lib64")):
            os.symlink("lib", os.path.join(home, "lib64"))


def place_cuda_libraries(folder, into):
    """Puts the run-time libraries of the unpacked wheels into the folder `into`."""
    os.makedirs(into, exist_ok=True)
    for path in glob.glob(os.path.join(folder, "nvidia/*/lib/lib*.so.*")):
        target = os.path.join(into, os.path.basename(path))
        if not os.path.exists(target):
            link_or_copy(path, target)


def link_or_copy(source, target):
    """Hard-links a file that nobody will change, or copies it where hard links are impossible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
