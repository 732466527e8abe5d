"""Python packages of the private runtime: wheels from the user's own pip index, pinned by hash."""
import os
import shutil
import subprocess
import sys

from data.errors import InputError

HERE = os.path.dirname(os.path.abspath(__file__))
REQUESTED = os.path.join(HERE, "requirements.in")
LOCK = os.path.join(HERE, "requirements.lock")

#: The runtime's Python and C library (2.31), said to a pip that runs in another Python.
TARGET_PYTHON = ["--python-version", "3.9", "--implementation", "cp", "--abi", "cp39", "--abi", "abi3",
                 "--abi", "none", "--only-binary=:all:"]
for _version in ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
                 "manylinux_2_5", "manylinux1"):
    TARGET_PYTHON += ["--platform", _version + "_x86_64"]

NO_PIP = "pip is missing: the Python packages of the runtime are installed with it"


def pip_command(verb):
    """argv of pip's `verb`, from this Python or, where it has none, from the machine's."""
    for python in (sys.executable, shutil.which("python3")):
        if python and subprocess.run([python, "-m", "pip", "--version"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL).returncode == 0:
            return [python, "-m", "pip", verb, "--disable-pip-version-check", "--no-input"]
    raise InputError(NO_PIP, fix="apt install python3-pip (or python -m ensurepip), then run this again")


def locked(path=LOCK):
    """{project: (version, sha256)} of the lock file.

    Raises InputError for a line that is not `project==version --hash=sha256:<64 digits>`.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        words = line.split()
        project, equals, version = words[0].partition("==")
        digest = words[1][len("--hash=sha256:"):] if len(words) == 2 else ""
        if not (equals and version and words[1].startswith("--hash=sha256:") and len(digest) == 64
                and set(digest) <= set("0123456789abcdef")):
            raise InputError("%s: expected 'project==version --hash=sha256:<64 digits>', found '%s'" % (path, line),
                             fix="git checkout -- %s" % path)
        found[project] = (version, digest)
    return found


def download(folder):
    """Fetches the locked wheels into `folder`; those that are there already are checked and kept."""
    os.makedirs(folder, exist_ok=True)
    _pip(pip_command("download") + TARGET_PYTHON + ["--no-deps", "--require-hashes", "--progress-bar", "off", "-q",
                                                    "--dest", folder, "--requirement", LOCK])


def install(folder, target):
    """Unpacks the wheels of `folder` into `target`, checking the hashes once more."""
    _pip(pip_command("install") + TARGET_PYTHON
         + ["--no-deps", "--require-hashes", "--no-index", "--find-links", folder, "--no-compile", "-q",
            "--target", target, "--requirement", LOCK])


def _pip(argv):
    env = dict(os.environ)
    # the packages are for another Python: this one's own may not be looked at
    env.pop("PYTHONPATH", None)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, env=env)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise InputError("pip could not bring the runtime's Python packages: %s" % errors[-1][len("ERROR: "):],
                         fix="check `python -m pip config list` and the network, then run this again: "
                             "it goes on where it stopped")
