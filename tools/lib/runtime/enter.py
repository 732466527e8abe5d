"""Moves the running program into the Caffe runtime: which Python, with which environment."""
import importlib.util
import os
import sys

from data.cores import usable_cores
from data.errors import InputError
from data.files import ROOT
from tools.lib.command import INPUT_ERROR, exit_code
from tools.lib.runtime import RUNNING_PYTHON, machine, mpi, private_runtime, source_builds

SETUP = "python3 tools/setup_caffe.py"
REBUILD = f"{SETUP} --rebuild"
CONDA = "conda env update -f environment.yml"
#: Packages that joined the runtime after its first version: an older one lacks them.
JOINED = ("tabulate", "threadpoolctl", "onnx", "jinja2", "tensorboardX")


def enter_runtime(set_up=False):
    """Replaces this process by the same command in the runtime's Python; returns if this is that.

    The process keeps its number, so that signals and the exit code pass through.
    The runtime is the first of these:
      a build of tools/build/build_caffe.py that CAFFE_BUILD names or --activate has chosen;
      the running Python, if it can import `caffe`;
      the private runtime of tools/setup_caffe.py.
    Without a runtime, the process ends with exit code 2 and names the set-up command; with `set_up`
    it runs the set-up first. It also ends in a runtime that is too old, naming the command that
    updates the runtime.
    """
    build = _source_build()
    if build:
        if not source_builds.is_running(build):
            exec_python(_own_arguments())
        _require_packages(source_builds.build_command(build))
        return
    if in_private_runtime():
        _require_packages(SETUP)
        return
    if python_has_caffe():
        _require_packages(CONDA)
        os.environ.update(runtime_environment(os.environ))
        return
    # The shell that completes a command line must not start minutes of work.
    if set_up and "_ARGCOMPLETE" not in os.environ:
        # imported here: a process that is already inside needs no set-up
        from tools.lib.runtime.setup import set_up_runtime
        code = exit_code(lambda: set_up_runtime() and None)
        if code:
            sys.exit(code)
    exec_python(_own_arguments())


def in_private_runtime():
    """True when this process already runs the private runtime's Python."""
    home = os.path.join(private_runtime.prefix_folder(), "usr")
    return os.path.exists(home) and os.path.realpath(sys.prefix) == os.path.realpath(home)


def python_has_caffe():
    """True when this Python can import `caffe` (a bare folder of that name does not count)."""
    try:
        spec = importlib.util.find_spec("caffe")
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def python_command(arguments):
    """argv of the runtime's Python with `arguments`, which follow the word `python3`.

    Ends the process when there is no runtime.
    """
    build = _source_build()
    if build:
        return [_or_end(source_builds.python, build)] + list(arguments)
    if in_private_runtime() or python_has_caffe():
        return [sys.executable] + list(arguments)
    folder = _require_private_runtime()
    return private_runtime.command(folder, private_runtime.PYTHON, arguments)


def runtime_python():
    """Version of the runtime's Python, such as "3.9"; ends the process without a runtime."""
    build = _source_build()
    if build:
        return source_builds.read_record(build)["python"]
    if in_private_runtime() or python_has_caffe():
        return RUNNING_PYTHON
    _require_private_runtime()
    return private_runtime.PYTHON.replace("python", "")


def exec_python(arguments):
    """Replaces this process by the runtime's Python with `arguments`."""
    _exec(python_command(arguments), runtime_environment(os.environ))


def exec_caffe(arguments):
    """Replaces this process by the stock `caffe` program of the runtime."""
    # the stock program reports through glog alone: its lines are its output
    env = dict(os.environ, GLOG_minloglevel=os.environ.get("GLOG_minloglevel", "0"))
    build = _source_build()
    env = runtime_environment(env)
    if build is not None:
        program, needs = _or_end(source_builds.stock_program, build)
        _exec([program] + list(arguments), dict(env, **needs))
    if python_has_caffe() and not in_private_runtime():
        binary = os.path.join(os.path.dirname(sys.executable), "caffe")
        _exec([binary if os.path.exists(binary) else "caffe"] + list(arguments), env)
    folder = _require_private_runtime()
    # the Python inside libcaffe does not know where its own library lies
    env["PYTHONHOME"] = os.path.join(folder, "usr")
    # libcaffe's protobuf is global in this process and clashes with the one inside the wheel
    env.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
    _exec(private_runtime.command(folder, "caffe", arguments), env)


def runtime_environment(environ):
    """A copy of `environ` with the variables that Caffe needs; the user's own values stay.

    CAFFE_BUILD           as an absolute path, where it is set
    PYTHONPATH            the repository first, so that `layers.x` imports; then the source build in use, if any
    OPENBLAS_CORETYPE     kernels that fit the processor's flags
    OPENBLAS_NUM_THREADS  the cores this process may use, unless OMP_NUM_THREADS is set
    GLOG_minloglevel      2: Caffe reports errors only
    """  # noqa: E501
    env = dict(environ)
    # PYTHONHOME and user site folders belong to another Python
    env.pop("PYTHONHOME", None)
    env.setdefault("PYTHONNOUSERSITE", "1")
    env.setdefault("PYTHONUTF8", "1")
    build = source_builds.selected(env)
    if build and "CAFFE_BUILD" in env:
        env["CAFFE_BUILD"] = build      # for children that start in another folder
    first = [ROOT] + ([source_builds.site_packages(build)] if build else [])
    paths = [p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p and p not in first]
    env["PYTHONPATH"] = os.pathsep.join(first + paths)
    env.setdefault("GLOG_minloglevel", "2")
    coretype = machine.openblas_coretype(machine.cpu_flags())
    if coretype:
        env.setdefault("OPENBLAS_CORETYPE", coretype)
    if "OMP_NUM_THREADS" not in env:
        # processes that an MPI launcher started on this machine share its cores
        threads = max(1, usable_cores() // mpi.local_ranks(env)[1])
        env.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    return env


def _source_build():
    return _or_end(source_builds.selected)


def _or_end(question, *arguments):
    """Returns question(*arguments); an InputError ends the process as run_command does."""
    try:
        return question(*arguments)
    except InputError as problem:
        _end(problem)


def _own_arguments():
    """The running program's own arguments: script or module first."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        name = spec.name[:-len(".__main__")] if spec.name.endswith(".__main__") else spec.name
        return ["-m", name] + sys.argv[1:]
    return list(sys.argv)


def _require_packages(update):
    """Ends the process when this runtime lacks a package, naming the command `update`."""
    missing = [name for name in JOINED if importlib.util.find_spec(name) is None]
    if missing:
        _end(InputError(f"this runtime is older than the commands: the Python package {missing[0]} "
                        f"is missing in {sys.prefix}", fix=update))


def _require_private_runtime():
    """Folder of the finished private runtime; ends the process without one."""
    folder = private_runtime.prefix_folder()
    if not private_runtime.is_ready(folder):
        _end(InputError(f"Caffe is not set up: this Python ({sys.executable}) cannot import it and "
                        f"there is no finished runtime in {folder}", fix=SETUP))
    if private_runtime.loader(folder) is None:
        _end(InputError(f"the runtime in {folder} is damaged: its dynamic loader is gone",
                        fix=REBUILD))
    return folder


def _end(problem):
    """Ends the process as run_command does: these functions run before a command's main()."""
    sys.stderr.write(f"error: {problem}\n")
    sys.exit(INPUT_ERROR)


def _exec(argv, env):
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as problem:
        _end(InputError(f"cannot start {argv[0]}: {problem.strerror}", fix=REBUILD))
