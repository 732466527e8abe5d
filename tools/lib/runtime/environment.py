"""Environment variables of a process that runs Caffe."""
import os

from data.cores import usable_cores
from data.files import ROOT
from tools.lib.runtime import cpu, mpi, source_builds


def runtime_environment(environ):
    """A copy of `environ` with what Caffe needs; whatever the user has set already stays.

    PYTHONPATH            the repository root first, so that `layers.x` imports; then the source build in use, if any
    OPENBLAS_CORETYPE     kernels that fit the processor's flags
    OPENBLAS_NUM_THREADS  the cores this process may use (OMP_NUM_THREADS counts as set)
    GLOG_minloglevel      2: Caffe reports errors only
    """
    env = dict(environ)
    # PYTHONHOME and user site folders belong to another Python
    env.pop("PYTHONHOME", None)
    env.setdefault("PYTHONNOUSERSITE", "1")
    env.setdefault("PYTHONUTF8", "1")
    build = source_builds.selected(env)
    first = [ROOT] + ([source_builds.site_packages(build)] if build else [])
    paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p and p not in first]
    env["PYTHONPATH"] = os.pathsep.join(first + paths)
    env.setdefault("GLOG_minloglevel", "2")
    coretype = cpu.openblas_coretype(cpu.cpu_flags())
    if coretype:
        env.setdefault("OPENBLAS_CORETYPE", coretype)
    if "OMP_NUM_THREADS" not in env:
        # processes that an MPI launcher started on this machine share its cores
        env.setdefault("OPENBLAS_NUM_THREADS", str(max(1,
                                                       usable_cores() // mpi.local_ranks(env)[1])))
    return env
