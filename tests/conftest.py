"""What all tests share: the import path, and the folders outside the tests."""
import os
import signal
import sys
import threading

import pytest
from tqdm import tqdm

# tools/_init_paths is imported under its script name, as the commands do, so that a test can import
# a command as tools.x; the module takes tools/ off the path again.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tools"))
import _init_paths  # noqa: E402,F401

from data.files import ROOT  # noqa: E402

# tqdm's own lock is a semaphore that the tests' forks share with pytest: a fork that is killed
# while it holds the lock would stop them all. tqdm's monitor is a thread, and the tests fork.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0
# A user's own settings would change the output of commands, or a pytest inside a test.
for variable in ("FCN_TRACEBACK", "PYTEST_ADDOPTS", "PYTHONWARNINGS"):
    os.environ.pop(variable, None)


#: Signals that commands handle.
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM)


@pytest.fixture(autouse=True)
def handlers_stay():
    """Fails a test that leaves another handler of a signal: children of later tests inherit it."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    after = {number: signal.getsignal(number) for number in HANDLED}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.fixture(scope="session")
def repo_root():
    """The repository's folder, as text."""
    return ROOT


@pytest.fixture(scope="session")
def shared_real():
    """Folder with real images of the data sets, beside the repository; skips without one."""
    folder = os.path.join(os.path.dirname(ROOT), "shared", "real")
    if not os.path.isdir(folder):
        pytest.skip(f"no real images at {folder}: these tests need them")
    return folder


@pytest.fixture(scope="session")
def outside_python():
    """Path of a Python that is not the private runtime's, to start commands as a user does."""
    from tools.lib.runtime import private_runtime
    inside = os.path.realpath(private_runtime.prefix_folder())
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, "python3")
        if os.access(path, os.X_OK) and not os.path.realpath(path).startswith(inside):
            return path
    pytest.skip("no python3 on the PATH beside the runtime's own")
