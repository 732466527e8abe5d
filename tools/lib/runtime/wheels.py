"""Python packages of a runtime: wheels from the user's own pip index, pinned by hash."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from data.errors import InputError

HERE = os.path.dirname(os.path.abspath(__file__))
REQUESTED = os.path.join(HERE, "requirements.in")
LOCK = os.path.join(HERE, "requirements.lock")

PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
             "manylinux_2_5", "manylinux1")


def target_python(version):
    """pip's options for CPython `version` ("3.9") and a C library of 2.28 or later."""
    options = ["--python-version", version, "--implementation", "cp",
               "--abi", "cp" + version.replace(".", ""), "--abi", "abi3", "--abi", "none",
               "--only-binary=:all:"]
    for platform in PLATFORMS:
        options += ["--platform", platform + "_x86_64"]
    return options


#: pip's options for the private runtime's Python: another one may run pip.
TARGET_PYTHON = target_python("3.9")
#: pip's options for the Python that runs pip.
THIS_PYTHON = ["--only-binary=:all:"]


def pip_command(verb):
    """argv of pip's `verb`, from this Python or, where it has no pip, from the machine's."""
    for python in (sys.executable, shutil.which("python3")):
        if python and subprocess.run([python, "-m", "pip", "--version"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL).returncode == 0:
            return [python, "-m", "pip", verb, "--disable-pip-version-check", "--no-input"]
    raise InputError("pip is missing: it installs the Python packages of the runtime",
                     fix="apt install python3-pip (or python3 -m ensurepip), then run this again")


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
        match = re.fullmatch(r"([\w.-]+)==(\S+)\s+--hash=sha256:([0-9a-f]{64})", line)
        if not match:
            raise InputError(f"{path}: expected 'project==version --hash=sha256:<64 digits>', "
                             f"found '{line}'",
                             fix=f"git checkout -- {path}")
        found[match.group(1)] = match.group(2, 3)
    return found


def download(folder, progress, lock=LOCK, target=TARGET_PYTHON):
    """Downloads the wheels of `lock` into `folder`; a wheel that is there is checked and kept.

    progress: called once a package.  target: pip's options that name the Python.
    """
    os.makedirs(folder, exist_ok=True)
    _pip(pip_command("download") + target
         + ["--no-deps", "--require-hashes", "--progress-bar", "off", "--dest", folder,
            "--requirement", lock], progress)


def install(folder, into, lock=LOCK, target=TARGET_PYTHON):
    """Unpacks the wheels of `folder` into the folder `into`, checking the hashes once more.

    Nothing is compiled: the bytecode would be that of the Python which runs pip.
    """
    _pip(pip_command("install") + target
         + ["--no-deps", "--require-hashes", "--no-index", "--find-links", folder, "--no-compile",
            "--target", into, "--requirement", lock], lambda: None)


def _pip(argv, progress):
    """Runs pip, calling `progress` for every package that pip begins with."""
    env = dict(os.environ, PIP_REQUIRE_VIRTUALENV="0", PIP_USER="0", PIP_CONSTRAINT=os.devnull)
    # the packages may be for another Python, to which this one's packages mean nothing
    env.pop("PYTHONPATH", None)
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=output, universal_newlines=True,
                              env=env) as pip:
            for line in pip.stdout:
                if line.startswith(("Collecting ", "Processing ")):
                    progress()
        if pip.returncode == 0:
            return
        output.seek(0)
        errors = [line[len("ERROR: "):].strip() for line in output if line.startswith("ERROR: ")]
    why = errors[-1] if errors else f"exit code {pip.returncode}"
    raise InputError(f"pip could not install the runtime's Python packages: {why}",
                     fix="check `python3 -m pip config list`, the network and the free disk space, "
                         "then run this again: it goes on where it stopped")
