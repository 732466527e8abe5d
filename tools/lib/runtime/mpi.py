"""A private MPI: MPICH and mpi4py from pinned wheels, in .mpi inside the repository.

.mpi/bin, lib, include   MPICH
.mpi/python-X.Y          mpi4py for the runtime's Python

The MPI of a machine works too.
"""
import os
import shutil
import sys
import zipfile

from data.errors import InputError
from data.files import ROOT, folder_aside
from tools.lib.runtime import RUNNING_PYTHON, wheels

FOLDER = os.path.join(ROOT, ".mpi")
LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mpi.lock")
SETUP = "python3 tools/setup_mpi.py"
#: Variables in which launchers give each process its rank and their number: MPICH and Intel (PMI),
#: Open MPI.
RANKS = (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"))
#: The same among the processes of one machine.
LOCAL_RANKS = (("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
               ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"))


def launched(environ=None, names=RANKS):
    """(rank, size) that an MPI launcher gave this process; (0, 1) without a launcher."""
    environ = os.environ if environ is None else environ
    for rank, size in names:
        try:
            return int(environ[rank]), int(environ[size])
        except (KeyError, ValueError):
            continue
    return 0, 1


def local_ranks(environ=None):
    """(rank, size) among the processes on this machine."""
    return launched(environ, LOCAL_RANKS)


def program(name):
    """Path of MPICH's `name`; InputError when the private MPI is not there."""
    path = os.path.join(FOLDER, "bin", name)
    if not os.access(path, os.X_OK):
        raise InputError(f"no private MPI in {FOLDER}", fix=SETUP)
    return path


def packages(version):
    """Folder of mpi4py for Python `version`, such as "3.9"."""
    return os.path.join(FOLDER, "python-" + version)


def make_importable():
    """Puts the private mpi4py at the end of the import path, after any mpi4py of the runtime.

    When MPICH's launcher started this process, mpi4py loads MPICH's library of the private MPI.
    """
    folder = packages(RUNNING_PYTHON)
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.append(folder)
    if "PMI_RANK" in os.environ and os.path.isdir(folder):
        os.environ.setdefault("MPI4PY_LIBMPI", os.path.join(FOLDER, "lib", "libmpi.so.12"))


def set_up(version, report=print):
    """Fetches and unpacks MPICH, and mpi4py for Python `version`, unless both are there.

    report: called with one line about the outcome.
    """
    done = packages(version)
    if os.path.isdir(done) and os.access(os.path.join(FOLDER, "bin", "mpiexec"), os.X_OK):
        report(f"MPI is there: {FOLDER}")
        return
    store = os.path.join(FOLDER, "wheels")
    tag = "cp" + version.replace(".", "")
    wheels.download(store, lambda: None, LOCK, wheels.target_python(version))
    for name in sorted(os.listdir(store)):
        if name.startswith("mpich-"):
            _unpack(os.path.join(store, name), FOLDER, ".data/data/")
        elif tag in name.split("-"):
            with folder_aside(done) as aside:
                _unpack(os.path.join(store, name), aside, "")
    report(f"MPI is ready in {FOLDER}, for Python {version}")


def _unpack(wheel, into, part):
    """Unpacks the files of a wheel whose path contains `part`, from there on."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            inside = member.filename.split(part, 1)[-1] if part else member.filename
            if member.is_dir() or (part and part not in member.filename):
                continue
            path = os.path.normpath(os.path.join(into, inside))
            if not path.startswith(os.path.normpath(into) + os.sep):
                raise InputError(f"{wheel}: {member.filename} would leave its folder")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            mode = member.external_attr >> 16
            with archive.open(member) as source, open(path + ".aside", "wb") as target:
                shutil.copyfileobj(source, target)
            os.chmod(path + ".aside", 0o755 if mode & 0o111 else 0o644)
            os.replace(path + ".aside", path)
