"""The command line of cmake for each variant."""
import glob
import os
import sys

from tools.build.parts import TRIPLET, library_folder, toolkit
from tools.build.toolchain import compiler_library, python_headers
from tools.lib.runtime import RUNNING_PYTHON

TARGETS = ("caffe", "pycaffe", "caffe.bin")


def cmake_arguments(variant, arch, libraries, cuda, boost_python):
    """Options for Caffe's own cmake files.

    arch: GPU architectures such as (80, 90, 120).  libraries: unpacked Debian packages.
    cuda: folder of NVIDIA's unpacked wheels, or None.
    boost_python: a Boost.Python library built here, or None for Debian's.
    """
    folder = library_folder(libraries)
    usr = os.path.join(libraries, "usr")
    openblas = os.path.join(folder, "openblas-pthread")
    links = " ".join("-Wl,-rpath-link," + path
                     for path in [folder, openblas] + _folders(cuda, "lib"))
    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CPU_ONLY": _switch(variant == "cpu"),
        "USE_CUDNN": "OFF",
        # Python reads images and databases here; USE_HDF5=OFF does not compile
        "USE_NCCL": "OFF",
        "USE_OPENCV": "OFF",
        "USE_LEVELDB": "OFF",
        "USE_LMDB": "OFF",
        "BUILD_docs": "OFF",
        "BUILD_matlab": "OFF",
        "BLAS": "Open",
        "OpenBLAS_LIB": os.path.join(openblas, "libopenblas.so"),
        "OpenBLAS_INCLUDE_DIR": os.path.join(usr, "include", TRIPLET, "openblas-pthread"),
        "python_version": RUNNING_PYTHON,
        "PYTHON_EXECUTABLE": sys.executable,
        "PYTHON_INCLUDE_DIR": python_headers(),
        # any library will do: the module must take Python's symbols from the program that loads it
        "PYTHON_LIBRARY": compiler_library("libm.so.6"),
        "CMAKE_PREFIX_PATH": ";".join([usr, openblas, os.path.join(folder, "hdf5/serial")]),
        "Boost_NO_BOOST_CMAKE": "ON",
        "Boost_NO_SYSTEM_PATHS": "ON",
        "BOOST_ROOT": usr,
        # bundle.py adds libpython to the stock program when the folder is made
        "CMAKE_SHARED_LINKER_FLAGS": links,
        "CMAKE_EXE_LINKER_FLAGS": links + " -Wl,--unresolved-symbols=ignore-in-shared-libs",
    }
    if boost_python:
        number = RUNNING_PYTHON.replace(".", "")
        settings[f"Boost_PYTHON{number}_LIBRARY_RELEASE"] = boost_python
    if variant != "cpu":
        settings.update(_cuda_settings(arch, cuda))
    return [f"-D{name}={value}" for name, value in settings.items()]


def _cuda_settings(arch, cuda):
    includes = " ".join("-I" + path for path in _folders(cuda, "include"))
    settings = {
        "CUDA_TOOLKIT_ROOT_DIR": toolkit(cuda), "CUDA_ARCH_NAME": "Manual",
        "CUDA_ARCH_BIN": " ".join(str(number) for number in arch),
        # code for later cards than the newest one named
        "CUDA_ARCH_PTX": str(max(arch)),
        # FindCUDA forgets library paths given one by one
        "CMAKE_LIBRARY_PATH": ";".join(_folders(cuda, "lib")),
        "CMAKE_CXX_FLAGS": includes, "CUDA_NVCC_FLAGS": includes.replace(" ", ";"),
    }
    return settings


def _folders(cuda, name):
    """The folders <wheels>/nvidia/*/<name> that are there; none without wheels (None)."""
    return sorted(glob.glob(os.path.join(cuda, "nvidia/*", name))) if cuda else []


def _switch(on):
    return "ON" if on else "OFF"
