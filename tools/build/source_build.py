"""The build from end to end: its phases, the finished folder, its record."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

from data.errors import InputError
from data.files import folder_aside, sha256, write_whole
from tools.build import bundle, parts, toolchain
from tools.build.configure import TARGETS, cmake_arguments
from tools.build.patches import add_header, apply_patch, headers_for, patches_for
from tools.lib.runtime import RUNNING_PYTHON, source_builds, wheels
from tools.lib.runtime.setup import one_at_a_time

#: Bytes that a build of each variant takes on the disk.
NEEDED_BYTES = {"cpu": 2e9, "cuda": 6e9}


class Build:
    """One variant for this Python.

    variant: "cpu" or "cuda".  arch: GPU architectures as numbers, () for cpu.
    home: folder of downloads and unfinished work.  output: folder of the finished build.
    jobs: compilers at once.  mirror: as in mirrors_to_ask().
    report: called with each line of progress.
    """

    def __init__(self, variant, arch, home, output, jobs, mirror, report=print):
        self.variant, self.arch, self.jobs = variant, arch, jobs
        self.mirror, self.report = mirror, report
        self.output = output
        self.shared = os.path.join(home, "shared")
        self.work = os.path.join(home, build_name(variant, arch))
        self.log = os.path.join(self.work, "log.txt")
        self.libraries = os.path.join(self.shared, "libraries")
        self.site = os.path.join(self.shared, "python-" + RUNNING_PYTHON)
        self.tools = os.path.join(self.shared, "tools")
        self.cuda = os.path.join(self.shared, "cuda") if variant == "cuda" else None
        self.tree, self.make = os.path.join(self.work, "caffe"), os.path.join(self.work, "make")

    def run(self):
        """Runs the unfinished phases; returns the finished folder."""
        toolchain.check_programs()
        for folder in (self.shared, self.work):
            os.makedirs(folder, exist_ok=True)
        _check_room(self.shared, self.variant)
        with one_at_a_time(self.shared):
            self._run_phases()
        return self.output

    def _run_phases(self):
        own_boost = RUNNING_PYTHON != parts.BOOST_PYTHON
        shared = Phases(os.path.join(self.shared, f"phases-{RUNNING_PYTHON}.json"),
                        3 + bool(self.cuda) + own_boost + 4, self.report)
        shared.run("libraries of Debian 12", (parts.LIBRARIES, parts.LEFT_OUT),
                   lambda: parts.fetch_libraries(self.shared, self.libraries, self.mirror),
                   self.libraries)
        self._install(shared, "python", self.site)
        self._install(shared, "tools", self.tools)
        if self.cuda:
            self._install(shared, "cuda", self.cuda)
            parts.finish_toolkit(self.cuda)
        boost = None
        if own_boost:
            boost = os.path.join(self.shared, "boost-python-" + RUNNING_PYTHON,
                                 parts.boost_python_name())
            shared.run("Boost.Python", parts.BOOST_VERSION,
                       lambda: parts.build_boost_python(self.shared, self.libraries, self.log,
                                                        self.mirror), boost)
        own = Phases(os.path.join(self.work, "phases.json"), shared.total, self.report)
        own.number = shared.number
        source = self._source_parts()
        own.run("source of Caffe, patched", source, self._prepare_source, self.tree)
        made_from = (source, self._cmake(boost))
        own.run("configuring", made_from, lambda: self._configure(boost), self.make)
        own.run("compiling", made_from, self._compile, os.path.join(self.make, "lib"))
        own.run("folder", (*made_from, self.output, wheels.locked(parts.lock("python"))),
                lambda: self._assemble([boost] if boost else []),
                os.path.join(self.output, source_builds.RECORD))
        _finish_record(self.output, dict(shared.seconds(), **own.seconds()))

    def _install(self, phases, name, folder):
        """Fetches and unpacks the Python packages of list `name` as a phase."""
        phases.run("packages: " + name, wheels.locked(parts.lock(name)),
                   lambda: parts.install(name, self.shared, folder), folder)

    def _source_parts(self):
        """What the source is made from: Debian's version, our patches and headers by hash."""
        paths = [patch.path for patch in patches_for(self.variant)] + headers_for(self.variant)
        return parts.CAFFE_VERSION, [(os.path.basename(path), sha256(path)) for path in paths]

    def _prepare_source(self):
        original = os.path.join(self.work, "original")
        parts.fetch_source("caffe", parts.CAFFE_VERSION, parts.CAFFE_SUITE, self.work, original,
                           self.mirror)
        for patch in patches_for(self.variant):
            apply_patch(original, patch)
            self.report(f"    {patch.name}: {patch.reason}")
        for path in headers_for(self.variant):
            add_header(original, path)
        shutil.rmtree(self.tree, ignore_errors=True)
        os.rename(original, self.tree)

    def _cmake(self, boost):
        return cmake_arguments(self.variant, self.arch, self.libraries, self.cuda, boost)

    def _environment(self):
        # numpy for cmake's question about its headers; the user's own packages stay out
        return dict(os.environ, PYTHONPATH=self.site, PYTHONNOUSERSITE="1", LC_ALL="C")

    def _configure(self, boost):
        shutil.rmtree(self.make, ignore_errors=True)
        os.makedirs(self.make)
        cmake = os.path.join(self.tools, "cmake/data/bin/cmake")
        toolchain.run_logged([cmake, "-Wno-dev", self.tree] + self._cmake(boost), self.log,
                             self.make, env=self._environment())

    def _compile(self):
        toolchain.run_logged(["make", f"-j{self.jobs}"] + list(TARGETS), self.log, self.make,
                             "percent", self._environment())

    def _assemble(self, extra):
        with folder_aside(self.output) as aside:
            shutil.copytree(self.site, os.path.join(aside, bundle.SITE), symlinks=True,
                            copy_function=parts.link_or_copy)
            bundle.assemble(self.tree, self.make, self.libraries, extra, aside)
            if self.cuda:
                parts.place_cuda_libraries(self.cuda, os.path.join(aside, source_builds.CUDA_LIB))
            record = {"variant": self.variant, "arch": list(self.arch), "python": RUNNING_PYTHON,
                      "executable": sys.executable, "caffe": parts.CAFFE_VERSION,
                      "patches": [patch.name for patch in patches_for(self.variant)],
                      "compiler": os.path.basename(toolchain.compiler_library("libstdc++.so.6"))}
            _write_record(aside, record)
            _probe(aside)


class Phases:
    """Phases of a long job: each runs once, and again only when its inputs change.

    path: JSON file {phase: {"made_from": digest, "seconds": float}} of the finished phases.
    total: how many phases there are.  report: called with one line for each phase.
    """

    def __init__(self, path, total, report=print):
        self.path, self.total, self.report, self.number = path, total, report, 0
        self.names = []  # of run() so far; the file may also hold phases of other builds
        try:
            with open(path, encoding="utf-8") as file:
                self.finished = json.load(file)
        except (OSError, ValueError):
            self.finished = {}

    def run(self, name, made_from, work, result):
        """Calls work() unless it has finished from the same inputs and the path `result` exists.

        made_from: anything with a repr that changes when the phase must be done again.
        An interrupted or failed work() leaves the phase unfinished.
        """
        self.number += 1
        self.names.append(name)
        digest = hashlib.sha256(repr(made_from).encode()).hexdigest()
        before = self.finished.get(name)
        head = f"[{self.number}/{self.total}] {name}"
        if before and before["made_from"] == digest and os.path.exists(result):
            self.report(f"{head}: done already, in {before['seconds']:.0f} s")
            return
        self.report(head)
        self.finished.pop(name, None)
        started = time.monotonic()
        work()
        self.finished[name] = {"made_from": digest, "seconds": round(time.monotonic() - started, 1)}
        write_whole(self.path, json.dumps(self.finished, indent=1) + "\n")

    def seconds(self):
        """{phase: seconds} of the phases that run() was called with."""
        return {name: self.finished[name]["seconds"] for name in self.names}


def build_name(variant, arch):
    """Folder name of a build, such as cpu-py3.11 or cuda-py3.12-sm80-90."""
    return f"{variant}-py{RUNNING_PYTHON}" + ("-sm" + "-".join(map(str, arch)) if arch else "")


def _finish_record(folder, seconds):
    _write_record(folder, dict(source_builds.read_record(folder), seconds=seconds))


def _write_record(folder, record):
    write_whole(os.path.join(folder, source_builds.RECORD), json.dumps(record, indent=1) + "\n")


def _probe(folder):
    """Imports the new Caffe in a process of its own; raises InputError when that fails."""
    env = dict(os.environ, PYTHONPATH=os.path.join(folder, bundle.SITE), PYTHONNOUSERSITE="1",
               GLOG_minloglevel="3")
    done = subprocess.run([sys.executable, "-c", "import caffe; caffe.Net"], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"the new Caffe cannot be imported: {last}",
                         fix="delete the folder of unfinished builds (--work) and run this again")


def _check_room(folder, variant):
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES[variant]:
        raise InputError(f"{folder} has {free / 1e9:.1f} GB free, the build needs "
                         f"{NEEDED_BYTES[variant] / 1e9:.0f} GB",
                         fix="make room, or name a folder on another disk: --work FOLDER --output "
                             "FOLDER")
