"""Moves the running program into the Caffe runtime."""
import importlib.util
import os
import sys

from data.errors import InputError
from tools.lib.command import INPUT_ERROR, exit_code
from tools.lib.runtime import places, source_builds
from tools.lib.runtime.environment import runtime_environment

SETUP = "python3 tools/setup_caffe.py"
REBUILD = SETUP + " --rebuild"
BUILD = "python3 tools/build/build_caffe.py"
CONDA = "conda env update -f environment.yml"
#: Packages that joined the runtime after its first version: an older one lacks them.
JOINED = ("tabulate",)


def in_private_runtime():
    """True when this process already runs the private prefix's Python."""
    home = os.path.join(places.prefix(), "usr")
    return os.path.exists(home) and os.path.realpath(sys.prefix) == os.path.realpath(home)


def python_has_caffe():
    """True when this Python can import `caffe` (a bare folder of that name does not count)."""
    try:
        spec = importlib.util.find_spec("caffe")
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def enter_runtime(set_up=False):
    """Goes on in the runtime's Python: returns at once if this is it, otherwise replaces the
    process.

    The process keeps its number, so that signals and the exit code pass through.
    A build of tools/build/build_caffe.py that was chosen goes first; then a Python that can
    import `caffe` is the runtime as it is. Without any runtime this ends with exit code 2
    and names the set-up command; with `set_up` it runs it first. A runtime that is older than
    a package which the commands import ends it too, with the command that updates the runtime.
    """
    build = _source_build()
    if build:
        if not source_builds.is_running(build):
            exec_python(_own_arguments())
        _require_packages(BUILD)
        return
    if in_private_runtime():
        _require_packages(SETUP)
        return
    if python_has_caffe():
        _require_packages(CONDA)
        os.environ.update(runtime_environment(os.environ))
        return
    if set_up:
        # only here: the set-up is of no use to a process that is already inside
        from tools.lib.runtime.setup import set_up_runtime
        code = exit_code(lambda: set_up_runtime() and None)
        if code:
            sys.exit(code)
    exec_python(_own_arguments())


def python_command(arguments):
    """argv of the runtime's Python with `arguments` (as after `python`); ends the process without a
    runtime."""
    build = _source_build()
    if build:
        return [_or_end(source_builds.python, build)] + list(arguments)
    if in_private_runtime() or python_has_caffe():
        return [sys.executable] + list(arguments)
    _require(places.prefix())
    return places.command(places.prefix(), places.PYTHON, arguments)


def runtime_python():
    """Version of the runtime's Python, such as "3.9"; ends the process without a runtime."""
    build = _source_build()
    if build:
        return source_builds.read_record(build)["python"]
    if in_private_runtime() or python_has_caffe():
        return "%d.%d" % sys.version_info[:2]
    _require(places.prefix())
    return places.PYTHON.replace("python", "")


def exec_python(arguments):
    """Replaces this process by the runtime's Python with `arguments`."""
    _exec(python_command(arguments), runtime_environment(os.environ))


def exec_caffe(arguments):
    """Replaces this process by the stock `caffe` binary of the runtime."""
    # the stock program reports through glog alone: its lines are its output
    env = dict(os.environ, GLOG_minloglevel=os.environ.get("GLOG_minloglevel", "0"))
    build = _source_build()
    env = runtime_environment(env)
    if build is not None:
        program, needs = _or_end(source_builds.stock_program, build)
        _exec([program] + list(arguments), dict(env, **needs))
    folder = places.prefix()
    if python_has_caffe() and not in_private_runtime():
        binary = os.path.join(os.path.dirname(sys.executable), "caffe")
        _exec([binary if os.path.exists(binary) else "caffe"] + list(arguments), env)
    _require(folder)
    # the Python inside libcaffe does not know where its own library lies
    env["PYTHONHOME"] = os.path.join(folder, "usr")
    # libcaffe's protobuf is global in this process and clashes with the one inside the wheel
    env.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
    _exec(places.command(folder, "caffe", arguments), env)


def _source_build():
    return _or_end(source_builds.selected)


def _or_end(question, *arguments):
    """What question(*arguments) answers; an InputError ends the process as run_command would."""
    try:
        return question(*arguments)
    except InputError as problem:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(INPUT_ERROR)


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
        _give_up(f"this runtime is older than the commands: the Python package {missing[0]} is "
                 f"missing in {sys.prefix}", update)


def _require(folder):
    if not places.is_ready(folder):
        _give_up(f"Caffe is not set up: this Python ({sys.executable}) cannot import it and there "
                 f"is no finished runtime in {folder}", SETUP)
    if places.loader(folder) is None:
        _give_up(f"the runtime in {folder} is damaged: its dynamic loader is gone", REBUILD)


def _give_up(what, fix):
    """Ends the process as run_command would: these functions run before a command's main()."""
    sys.stderr.write(f"error: {InputError(what, fix=fix)}\n")
    sys.exit(INPUT_ERROR)


def _exec(argv, env):
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as problem:
        _give_up(f"cannot start {argv[0]}: {problem.strerror}", REBUILD)
