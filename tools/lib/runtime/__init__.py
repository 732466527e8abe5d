"""Finds, sets up and enters the Caffe runtime.

Uses the standard library only, because it runs before Caffe is there.

In the order in which a command meets them:

enter.py            chooses the runtime, sets its environment, moves the process into it
machine.py          what the machine has: vector units, NVIDIA cards; the commit of the project
source_builds.py    runtime 1: a Caffe that tools/build/ compiled, chosen or not
private_runtime.py  runtime 2: the folder .caffe, and how programs start in it
setup.py            makes .caffe, in five phases that go on where they stopped
mirrors.py          phase 1: the Debian mirrors that the machine uses, and their archives
debian.py           phases 1 to 3: Debian 11's Caffe, by an apt of its own; unpacking
last_resort.py      where Debian 11's packages are gone: Caffe compiled from their source
pack.py             the finished runtime as one file, and the set-up from such a file
wheels.py           phase 4: Python packages, pinned by hash in requirements.lock
mpi.py              a private MPI in .mpi, for training in several processes
routes.py           which of these ways are open on this machine, and when they end
checkup.py          the doctor's findings
probe.py            what the doctor asks inside the runtime, in a process of its own
known_net.py        the net that the doctor and the GPU checks compute, with a Python layer
pytest_plugins.py   what tools/run_tests.py adds to pytest: the end of a hanging test, a report

The oldest Pythons: commands start with 3.8; then they run in the private runtime's 3.9, in a source
build's 3.11 or 3.12, or in conda's (3.9 in environment.yml). So every file keeps to 3.8's syntax.
"""
import sys

#: Version of the running Python, such as "3.9".
RUNNING_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
