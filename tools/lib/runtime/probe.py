"""What the doctor asks of a runtime, each question in a process of its own.

`python3 -m tools.lib.runtime.probe QUESTION` prints one JSON object. A question that fails, or that
ends the process, leaves the others alone.
"""
import ctypes
import importlib
import json
import os
import sys
import tempfile

#: Modules that the commands import, beside caffe itself.
MODULES = ("numpy", "scipy", "cv2", "lmdb", "google.protobuf", "skimage", "matplotlib", "tqdm",
           "tabulate", "jinja2", "tensorboardX", "threadpoolctl", "pytest")


def versions():
    """{module: version or None where it cannot be imported, with the reason under "why"}."""
    found, why = {}, {}
    for name in MODULES:
        try:
            found[name] = getattr(importlib.import_module(name), "__version__", "?")
        except Exception as problem:  # a broken package may raise anything
            found[name], why[name] = None, f"{type(problem).__name__}: {problem}"
    return {"versions": found, "why": why}


def engine():
    """Caffe's version and folder, its library for matrix products, and its CUDA parts."""
    import caffe
    libraries = _mapped_libraries()
    answer = {
        "version": caffe.__version__, "place": os.path.dirname(caffe.__file__), "blas": None,
        "kernel": None, "threads": None, "cuda": any("libcudart" in path for path in libraries),
        "devices": _cuda_devices(libraries), "cuda_versions": cuda_versions(libraries)}
    for path in libraries:
        name = os.path.basename(path)
        if name.startswith("libmkl_rt"):
            answer["blas"] = "MKL"
        # the wheels of numpy and scipy carry an OpenBLAS of their own, which Caffe does not use
        elif name.startswith("libopenblas") and not os.path.dirname(path).endswith(".libs"):
            answer.update(_openblas(path))
    return answer


def python_layer():
    """{"right": whether a dilated convolution and a Python layer compute right, both ways}."""
    from tools.lib.runtime.known_net import python_layers_work
    with tempfile.TemporaryDirectory() as folder:
        return {"right": python_layers_work(folder)}


def _openblas(path):
    """Name, kernel and threads of an OpenBLAS library that is loaded."""
    library = ctypes.CDLL(path)
    answer = {"blas": "OpenBLAS"}
    for key, function, kind in (("blas", "openblas_get_config", ctypes.c_char_p),
                                ("kernel", "openblas_get_corename", ctypes.c_char_p),
                                ("threads", "openblas_get_num_threads", ctypes.c_int)):
        call = getattr(library, function, None)
        if call is not None:
            call.restype = kind
            value = call()
            answer[key] = value.decode() if isinstance(value, bytes) else value
    # "OpenBLAS 0.3.13 NO_LAPACKE DYNAMIC_ARCH ...": the first two words are enough
    answer["blas"] = " ".join(answer["blas"].split()[:2])
    return answer


def _cuda_devices(libraries):
    """Number of CUDA devices for this process: 0 without a driver, None in a build for the CPU."""
    for path in libraries:
        if os.path.basename(path).startswith("libcudart.so"):
            count = ctypes.c_int(0)
            error = ctypes.CDLL(path).cudaGetDeviceCount(ctypes.byref(count))
            return 0 if error else count.value
    return None


def cuda_versions(paths, load=ctypes.CDLL):
    """{"CUDA": "13.0", "cuBLAS": "13.1.0"} of NVIDIA's libraries among `paths`.

    load: gives the library at a path.
    """
    found = {}
    for path in paths:
        name = os.path.basename(path)
        if name.startswith("libcudart.so"):
            number = ctypes.c_int(0)
            if load(path).cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
                found["CUDA"] = f"{number.value // 1000}.{number.value % 1000 // 10}"
        elif name.startswith("libcublas.so"):
            library, parts = load(path), []
            for property_ in range(3):          # libraryPropertyType: major, minor, patch
                number = ctypes.c_int(0)
                if library.cublasGetProperty(property_, ctypes.byref(number)) == 0:
                    parts.append(str(number.value))
            found["cuBLAS"] = ".".join(parts)
    return found


def _mapped_libraries():
    """Paths of the shared libraries in this process."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        paths = {line.split(None, 5)[5].strip() for line in lines if line.count("/")}
    return sorted(path for path in paths if ".so" in os.path.basename(path))


if __name__ == "__main__":
    questions = {"versions": versions, "engine": engine, "python_layer": python_layer}
    print(json.dumps(questions[sys.argv[1]]()))
