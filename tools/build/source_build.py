"""The build from end to end: phases, the finished folder, its record."""
import json
import os
import shutil
import subprocess
import sys

from data.errors import InputError
from data.files import sha256, write_whole
from tools.build import boost_python, bundle, debian_parts, programs, wheel_parts
from tools.build.configure import TARGETS, c_library, cmake_arguments
from tools.build.patches import add_header, apply_patch, headers_for, patches_for
from tools.build.phases import Phases
from tools.lib.runtime import source_builds, wheels
from tools.lib.runtime.setup import one_at_a_time

NEEDED_BYTES = {"cpu": 2e9, "cuda": 6e9}


class Build:
    """One variant for this Python.

    variant: "cpu" or "cuda".  arch: GPU architectures as numbers, () for cpu.
    home: folder of downloads and unfinished work.  output: folder of the finished build.
    """

    def __init__(self, variant, arch, home, output, jobs, mirror, say=print):
        self.variant, self.arch, self.jobs, self.mirror, self.say = variant, arch, jobs, mirror, say
        self.output = output
        self.shared = os.path.join(home, "shared")
        self.work = os.path.join(home, name(variant, arch))
        self.log = os.path.join(self.work, "log.txt")
        self.libraries = os.path.join(self.shared, "libraries")
        self.site = os.path.join(self.shared, "python-" + wheel_parts.PYTHON)
        self.tools = os.path.join(self.shared, "tools")
        self.cuda = os.path.join(self.shared, "cuda") if variant == "cuda" else None
        self.tree, self.make = os.path.join(self.work, "caffe"), os.path.join(self.work, "make")

    def run(self):
        """Does what is not done yet; returns the finished folder."""
        programs.check_programs()
        for folder in (self.shared, self.work):
            os.makedirs(folder, exist_ok=True)
        _check_room(self.shared, self.variant)
        with one_at_a_time(self.shared):
            self._run_phases()
        return self.output

    def _run_phases(self):
        own_boost = wheel_parts.PYTHON != boost_python.DEBIANS
        shared = Phases(os.path.join(self.shared, f"phases-{wheel_parts.PYTHON}.json"),
                        3 + bool(self.cuda) + own_boost + 4, self.say)
        parts = [("python", self.site), ("tools", self.tools)]
        parts += [("cuda", self.cuda)] if self.cuda else []
        shared.run("libraries of Debian 12", (debian_parts.LIBRARIES, debian_parts.LEFT_OUT),
                   lambda: debian_parts.fetch_libraries(self.shared, self.libraries, self.mirror),
                   self.libraries)
        for part, folder in parts:
            shared.run("packages: " + part, wheels.locked(wheel_parts.lock(part)),
                       lambda: wheel_parts.install(part, self.shared, folder), folder)
        if self.cuda:
            wheel_parts.finish_toolkit(self.cuda)
        boost = None
        if own_boost:
            boost = os.path.join(self.shared, "boost-python-" + wheel_parts.PYTHON,
                                 boost_python.library_name())
            shared.run(
                "Boost.Python", boost_python.SOURCE_VERSION,
                lambda: boost_python.build(self.shared, self.libraries, self.log, self.mirror),
                boost)
        own = Phases(os.path.join(self.work, "phases.json"), shared.total, self.say)
        own.number = shared.number
        own.run("source of Caffe, patched", self._source_parts(), self._prepare_source, self.tree)
        own.run("configuring", (self._source_parts(), self._cmake(boost)), lambda: self._configure(boost),
                self.make)
        own.run("compiling", (self._source_parts(), self._cmake(boost)), self._compile,
                os.path.join(self.make, "lib"))
        own.run("folder", (self._source_parts(), self._cmake(boost), self.output,
                           wheels.locked(wheel_parts.lock("python"))),
                lambda: self._assemble([boost] if boost else []),
                os.path.join(self.output, source_builds.RECORD))
        _finish_record(self.output, dict(shared.seconds(), **own.seconds()))

    def _source_parts(self):
        """What the source is made from: Debian's version, our patches and headers by hash."""
        paths = [patch.path for patch in patches_for(self.variant)] + headers_for(self.variant)
        return (debian_parts.SOURCE_VERSION, [(os.path.basename(path), sha256(path))
                                              for path in paths])

    def _prepare_source(self):
        original = os.path.join(self.work, "original")
        debian_parts.fetch_source("caffe", debian_parts.SOURCE_VERSION, "bullseye", self.work,
                                  original, self.mirror)
        for patch in patches_for(self.variant):
            apply_patch(original, patch)
            self.say(f"    {patch.name}: {patch.reason}")
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
        programs.run_logged([cmake, "-Wno-dev", self.tree] + self._cmake(boost), self.log,
                            self.make, env=self._environment())

    def _compile(self):
        programs.run_logged(["make", f"-j{self.jobs}"] + list(TARGETS), self.log, self.make,
                            "percent", self._environment())

    def _assemble(self, extra):
        aside = self.output + ".aside"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(self.site, os.path.join(aside, bundle.SITE), symlinks=True,
                        copy_function=wheel_parts.link_or_copy)
        bundle.assemble(self.tree, self.make, self.libraries, extra, aside)
        if self.cuda:
            wheel_parts.place_cuda_libraries(self.cuda, os.path.join(aside, bundle.CUDA_LIB))
        record = {"variant": self.variant, "arch": list(self.arch), "python": wheel_parts.PYTHON,
                  "executable": sys.executable, "caffe": debian_parts.SOURCE_VERSION,
                  "compiler": os.path.basename(c_library("libstdc++.so.6"))}
        write_whole(os.path.join(aside, source_builds.RECORD), json.dumps(record, indent=1) + "\n")
        _probe(aside)
        shutil.rmtree(self.output, ignore_errors=True)
        os.rename(aside, self.output)


def name(variant, arch):
    """Folder name of a build, such as cpu-py3.11 or cuda-py3.12-sm80-90."""
    return "%s-py%s%s" % (variant, wheel_parts.PYTHON,
                          "-sm" + "-".join(map(str, arch)) if arch else "")


def _finish_record(folder, seconds):
    path = os.path.join(folder, source_builds.RECORD)
    record = source_builds.read_record(folder)
    record["seconds"] = seconds
    write_whole(path, json.dumps(record, indent=1) + "\n")


def _probe(folder):
    """Imports the new Caffe in a process of its own."""
    env = dict(os.environ, PYTHONPATH=os.path.join(folder, bundle.SITE), PYTHONNOUSERSITE="1",
               GLOG_minloglevel="3")
    done = subprocess.run([sys.executable, "-c", "import caffe; caffe.Net"], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode:
        raise InputError("the new Caffe cannot be imported: "
                         f"{(done.stdout.strip().splitlines() or ['no message'])[-1]}",
                         fix=f"delete {folder} and run this again")


def _check_room(folder, variant):
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES[variant]:
        raise InputError(f"{folder} has {free / 1e9:.1f} GB free, the build needs "
                         f"{NEEDED_BYTES[variant] / 1e9:.0f} GB",
                         fix="make room, or name a folder on another disk: --work FOLDER --output "
                             "FOLDER")
