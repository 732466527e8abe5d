"""What a build takes from Debian: Caffe's source package, and libraries with their headers,
unpacked without root."""
import glob
import os
import shutil
import subprocess

from data.errors import InputError
from tools.lib.runtime import debian
from tools.lib.runtime.mirrors import mirrors_to_ask
from tools.lib.runtime.setup import Counter

SOURCE_VERSION = "1.0.0+git20180821.99bd997-8"
LIBRARIES_SUITE = "bookworm"
#: Libraries with headers, and the programs that go with them.
LIBRARIES = ("libboost-system1.74-dev", "libboost-thread1.74-dev", "libboost-filesystem1.74-dev",
             "libboost-regex1.74-dev", "libboost-python1.74-dev", "libprotobuf-dev",
             "protobuf-compiler", "libgoogle-glog-dev", "libgflags-dev", "libhdf5-dev",
             "libopenblas-pthread-dev", "patchelf")
#: Dependencies that come with every machine (C library, compiler, dpkg) or belong to Debian's own
#: Python.
LEFT_OUT = (
    r"(gcc-|libgcc|libc6|libc-|libstdc\+\+|linux-libc|lib(a|l|t|ub)san|libitm|libatomic|libgomp|python|"
    r"libpython|dpkg|tar$|debconf|adduser|passwd|libpam|media-types|libjs|openssh|readline-common|libsemanage|"
    r"libaudit|libselinux|libsepol|libcrypt-dev|libnsl|libtirpc|rpcsvc|libdb5|icu-devtools|libcap-ng|"
    r"libsqlite|libncurses|libtinfo|libuuid|libpcre|libmd|libacl|libexpat)")
TRIPLET = "x86_64-linux-gnu"


def fetch_source(package, version, suite, work, tree, mirror):
    """Unpacks a Debian source package, its patches applied, as the folder `tree`; apt checks the
    signatures."""
    apt = debian.open_apt(os.path.join(work, "apt-src-" + suite), mirrors_to_ask(mirror), suite,
                          ("deb-src", ))
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
    """Unpacks LIBRARIES and what they depend on into `folder`; its programs run from there."""
    apt = debian.open_apt(os.path.join(work, "apt-" + LIBRARIES_SUITE), mirrors_to_ask(mirror),
                          LIBRARIES_SUITE)
    debs, aside = os.path.join(work, "debs"), folder + ".aside"
    os.makedirs(debs, exist_ok=True)
    try:
        wanted = apt.closure(LIBRARIES, (), LEFT_OUT)
        apt.fetch(wanted, debs, Counter("package", len(wanted)).step)
    except debian.AptFailed as problem:
        raise InputError(f"{apt.mirror} could not deliver the libraries: {problem.first_error()}",
                         fix="run this again: it goes on where it stopped") from None
    shutil.rmtree(aside, ignore_errors=True)
    debian.unpack([os.path.join(debs, package.file) for package in wanted], aside, lambda: None)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(aside, folder)
    # protoc looks for its library beside itself, wherever the folder lies
    set_rpath(folder, os.path.join(folder, "usr/bin/protoc"), "$ORIGIN/../lib/" + TRIPLET)
    for path in glob.glob(os.path.join(library_folder(folder), "libproto*.so.*.*")):
        set_rpath(folder, path, "$ORIGIN")


def library_folder(libraries):
    """Where the unpacked libraries lie."""
    return os.path.join(libraries, "usr/lib", TRIPLET)


def set_rpath(libraries, path, rpath):
    """Writes the run-time search path of a program or library."""
    subprocess.run([os.path.join(libraries, "usr/bin/patchelf"), "--set-rpath", rpath, path],
                   check=True)


def add_needed(libraries, path, name):
    """Makes a program ask for one more library, by name."""
    subprocess.run([os.path.join(libraries, "usr/bin/patchelf"), "--add-needed", name, path],
                   check=True)


def needed(libraries, path):
    """Names of the libraries that a program or library asks for."""
    return subprocess.run([os.path.join(libraries, "usr/bin/patchelf"), "--print-needed", path],
                          check=True, stdout=subprocess.PIPE,
                          universal_newlines=True).stdout.split()
