r"""Sets the project up on fresh machines, as new users would, and writes a page about it.

    sudo python3 tools/bench/bench_fresh_machines.py --output docs/results/fresh_machines.md

Needs root, debootstrap and a Debian mirror; no part of CI. Each machine is a minimal Debian in a
folder below --work, with two ordinary users. One has no network and sets up from a packed runtime
(tools/setup_caffe.py --pack); the other has a network. Both clone the present commit and run the
two commands of README.md. A machine's result is kept in runs/fresh_machines, and the page shows all
that are there; --again measures a machine anew.
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime(set_up=True)

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from data.errors import InputError
from data.files import ROOT, write_whole
from tools.bench.minimal_tree import INTERRUPTS, MinimalTree, check_machine, working_folder
from tools.lib.command import CommandParser, run_command
from tools.lib.outputs import make_folder, require_file
from tools.lib.runtime import machine
from tools.lib.runtime.mirrors import archives_of, mirrors_to_ask
from tools.lib.signals import handled
from tools.lib.tables import Table, render

#: Suite: the machine's name on the page.
MACHINES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13"}
#: What a user without a network has beside the minimal base, and what a network takes in addition.
OFFLINE, ONLINE = ("python3", "git"), ("python3-pip",)
README = ("tools/run_experiment.py toy", "tools/run_tests.py")
SHORT = ("tools/run_tests.py -q tests/layers/test_domain_layers.py tests/models/test_nets.py",
         "tools/train.py --solver solvers/toy_source.prototxt --max-iter 100 --output runs/short")
KEPT = os.path.join(ROOT, "runs", "fresh_machines")
#: Size and seconds of the last packing.
PACKED = os.path.join(KEPT, "packed.json")
ROUTES = {"offline": "No network: `tools/setup_caffe.py --unpack FILE`",
          "online": "With a network: the first command sets up"}


def main():
    parser = CommandParser(description=__doc__,
                           formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", choices=MACHINES, default=list(MACHINES),
                        help="which machines (default: all)")
    parser.add_argument("--routes", nargs="+", choices=ROUTES, default=list(ROUTES),
                        help="which routes (default: both); the other's result is kept")
    parser.add_argument("--short", nargs="+", choices=ROUTES, default=[], metavar="ROUTE",
                        help=f"routes ({', '.join(ROUTES)}) with a short proof in the place of "
                             f"README.md's commands: {' and '.join(SHORT)}")
    parser.add_argument("--pack", metavar="FILE",
                        help="the packed runtime of this commit, made first where it is missing")
    parser.add_argument("--mirror", metavar="URL",
                        help="Debian mirror (default: the one in this machine's apt sources)")
    parser.add_argument("--work", metavar="FOLDER", default=tempfile.gettempdir(),
                        help="folder for one machine at a time, 4 GB")
    parser.add_argument("--again", action="store_true",
                        help="measure machines although their results are kept")
    parser.add_argument("--output", metavar="FILE.md", help="also write the page to this file")
    options = parser.parse_args()
    check_machine()
    require_file(options.output, "--output")
    make_folder(options.work, "--work")
    make_folder(KEPT, "runs")
    # the repository may move on meanwhile
    options.commit = machine.git_state()["commit"]
    # an exception, so that everything is removed
    with handled(INTERRUPTS, signal.default_int_handler), working_folder(options.work) as work:
        failed = [suite for suite in options.suites if not measured(suite, work, options)]
    text = page()
    print(text, end="")
    if options.output:
        write_whole(options.output, text)
    return 1 if failed else 0


def measured(suite, work, options):
    """Measures a machine's routes unless they are kept; True when all commands succeeded."""
    kept = os.path.join(KEPT, suite + ".json")
    result = {"routes": {}}
    if os.path.exists(kept):
        with open(kept, encoding="utf-8") as file:
            result = json.load(file)
    wanted = [name for name in ROUTES
              if name in options.routes and (options.again or name not in result["routes"])]
    if wanted:
        measure(suite, work, options, wanted, result)
        write_whole(kept, json.dumps(result, indent=1) + "\n")
    return all(step["code"] == 0 for route in result["routes"].values()
               for step in route["steps"])


def measure(suite, work, options, wanted, result):
    """Measures the routes `wanted` of one machine, and puts them into its `result`."""
    pack, bundle = prepared(work, options)
    mirrors = mirrors_to_ask(options.mirror)
    commands = {name: SHORT if name in options.short else README for name in ROUTES}
    unpack = "tools/setup_caffe.py --unpack /srv/" + os.path.basename(pack)
    commands["offline"] = (unpack,) + commands["offline"]
    with open(os.path.join(KEPT, suite + ".log"), "w+", encoding="utf-8") as log, \
            MinimalTree(os.path.join(work, suite), suite, mirrors + archives_of(mirrors), OFFLINE,
                        log) as tree:
        print(f"{MACHINES[suite]}: the minimal machine is there", flush=True)
        for path in (pack, bundle):
            shutil.copy(path, os.path.join(tree.folder, "srv"))
            os.chmod(os.path.join(tree.folder, "srv", os.path.basename(path)), 0o644)
        result.update(pack=os.path.getsize(pack), python=tree.output(
            ["python3", "-c", "import platform; print(platform.python_version())"]))
        for name in wanted:
            packages = OFFLINE
            if name == "online":
                tree.install(ONLINE)
                packages += ONLINE
            result["routes"][name] = dict(route(tree, name, packages, commands[name]),
                                          commit=options.commit[:10])


def prepared(work, options):
    """(path of the packed runtime, path of a git bundle of the present commit), made once.

    The seconds of packing are kept for the page.
    """
    pack = options.pack or os.path.join(work, "runtime.pack")
    if not os.path.exists(pack):
        began = time.time()
        subprocess.run([sys.executable, os.path.join(ROOT, "tools/setup_caffe.py"), "--pack", pack],
                       check=True)
        kept = {"bytes": os.path.getsize(pack), "seconds": round(time.time() - began)}
        write_whole(PACKED, json.dumps(kept) + "\n")
    bundle = os.path.join(work, "project.bundle")
    if not os.path.exists(bundle):
        subprocess.run(["git", "-C", ROOT, "bundle", "create", "-q", bundle, "HEAD"], check=True)
    return pack, bundle


def route(tree, name, packages, commands):
    """What one new user meets: {"packages", "disk", "steps"}; it ends at the first failure."""
    home = tree.add_user(name)
    project = os.path.join(home, "project")
    found = {"packages": list(packages), "steps": []}
    clone = ["git", "clone", "-q", "/srv/project.bundle", "project"]
    for number, argv in enumerate([clone] + [["python3"] + shlex.split(command)
                                             for command in commands]):
        place = f"/home/{name}" if number == 0 else f"/home/{name}/project"
        start = tree.log.tell()
        began = time.time()
        code = tree.run(argv, name, name == "offline", place)
        step = {"command": " ".join(argv), "seconds": round(time.time() - began), "code": code,
                "last": last_line(tree.log.name, start)}
        stamp = os.path.join(project, ".caffe", "ready.json")
        if number and os.path.exists(stamp) and os.path.getmtime(stamp) > began:
            step["set-up"] = round(os.path.getmtime(stamp) - began)
        print(f"{MACHINES[tree.suite]}, {name}: {step['command']}: {step['seconds']} s, "
              f"exit code {code}", flush=True)
        found["steps"].append(step)
        if code:
            break
    found["disk"] = sum(os.lstat(os.path.join(folder, each)).st_blocks * 512
                        for folder, _, files in os.walk(home) for each in files)
    return found


def last_line(path, start):
    """The last line with text that was written to a log after position `start`."""
    with open(path, encoding="utf-8", errors="replace") as file:
        file.seek(start)
        lines = [line.strip() for line in file.read().replace("\r", "\n").splitlines()[1:]]
    return next((line for line in reversed(lines) if line), "")


def page():
    """The page about all machines whose results are kept."""
    results = {}
    for suite in MACHINES:
        path = os.path.join(KEPT, suite + ".json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                results[suite] = json.load(file)
    if not results:
        raise InputError("no machine has been measured")
    head = [""] + [MACHINES[suite] for suite in results]
    about = [["its own Python"] + [result["python"] for result in results.values()]]
    blocks = ["# Fresh machines", f"Written by `python3 {os.path.relpath(__file__, ROOT)}`.",
              "Each machine is the minimal base of its release, made by debootstrap, with ordinary "
              "users. Name server and certificates are those of the machine that measured. Seconds "
              "include whatever else that machine did.",
              render(Table(head, about), "markdown")]
    for name, title in ROUTES.items():
        routes = [result["routes"].get(name, {"steps": []}) for result in results.values()]
        rows = [["commit"] + [each.get("commit", "not run") for each in routes],
                ["installed beside the base"] + [", ".join(each.get("packages", ()))
                                                 for each in routes]]
        for command in dict.fromkeys(step["command"] for each in routes for step in each["steps"]):
            rows.append([f"`{command}`"] + [outcome(each["steps"], command) for each in routes])
        rows.append(["set-up alone, seconds"] + [set_up_seconds(each["steps"]) for each in routes])
        rows.append(["disk, MB, afterwards"] + [f"{each['disk'] / 1e6:.0f}" if each["steps"] else ""
                                               for each in routes])
        blocks += [f"## {title}", render(Table(head, rows), "markdown")]
    blocks.append("The packed runtime: " + packed_sizes(results.values()))
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def packed_sizes(results):
    """A sentence about the size of the packed runtimes, and the seconds of the last packing."""
    text = ", ".join(sorted({f"{result['pack'] / 1e6:.0f} MB" for result in results}))
    if os.path.exists(PACKED):
        with open(PACKED, encoding="utf-8") as file:
            text += f"; packed in {json.load(file)['seconds']} s"
    return text + "."


def outcome(steps, command):
    """A cell of the page: seconds and outcome of the step with that command."""
    step = next((step for step in steps if step["command"] == command), None)
    if step is None:
        return "not run"
    if step["code"]:
        return f"failed, exit code {step['code']}: {step['last']}"
    tested = "run_tests" in step["command"]
    return f"{step['seconds']} s" + (f": {step['last'].strip('= ')}" if tested else "")


def set_up_seconds(steps):
    return next((str(step["set-up"]) for step in steps if "set-up" in step), "not set up")


if __name__ == "__main__":
    run_command(main)
