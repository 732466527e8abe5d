"""The links and commands of the pages work: files, commands, flags are there."""
import glob
import os
import re
import subprocess
import sys

import pytest

from tools.lib.runtime import source_builds

PAGES = ("README.md", "data/README.md", "layers/README.md", "docs/*.md", "docs/results/*.md",
         "docs/results/*/*.md")


def pages(root):
    """Paths of the pages, relative to the repository."""
    found = [path for pattern in PAGES for path in glob.glob(os.path.join(root, pattern))]
    return sorted(os.path.relpath(path, root) for path in found)


def commands(text):
    """Each command of the indented blocks, continued lines joined, without its comment."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [re.split(r"\s#", line)[0] for line in lines
            if re.match(r"    (python3?|tools/\w+) ", line)]


#: Commands whose first argument has a help of its own.
WITH_SUBCOMMANDS = ("tools/bench/bench_long_runs.py",)


def used_flags(root):
    """{(script, or script and subcommand): flags that a page uses with it}."""
    used = {}
    for page in pages(root):
        if page.startswith("docs/results/"):    # their commands are those of their day
            continue
        with open(os.path.join(root, page), encoding="utf-8") as file:
            for command in commands(file.read()):
                script = re.search(r"\S+\.py", command)
                if script:
                    rest = command[script.end():]
                    name = (script.group(),)
                    if script.group() in WITH_SUBCOMMANDS:
                        name += (rest.split()[0],)
                    used.setdefault(name, set()).update(re.findall(r"--[\w-]+", rest))
    return used


def test_every_link_of_every_page_leads_somewhere(repo_root):
    broken = []
    for page in pages(repo_root):
        with open(os.path.join(repo_root, page), encoding="utf-8") as file:
            for target in re.findall(r"\]\(([^)#\s]+)", file.read()):
                if not target.startswith("http") and not os.path.exists(
                        os.path.join(repo_root, os.path.dirname(page), target)):
                    broken.append((page, target))
    assert broken == []


def test_commands_are_found_with_their_flags(repo_root):
    used = used_flags(repo_root)
    assert used["tools/train.py",] >= {"--solver", "--data-root"} and len(used) > 10


def test_every_command_of_the_pages_has_the_flags_they_use(repo_root):
    started = {}
    for name, flags in used_flags(repo_root).items():
        if name == ("tools/run_tests.py",):      # its help is pytest's
            continue
        started[name] = flags, subprocess.Popen([sys.executable, *name, "--help"], cwd=repo_root,
                                                stdout=subprocess.PIPE, universal_newlines=True)
    missing = []
    for name, (flags, process) in started.items():
        text = process.communicate()[0]
        missing += [(name, flag) for flag in sorted(flags)
                    if not re.search(re.escape(flag) + r"\b", text)]
        assert process.returncode == 0, name
    assert missing == []


def test_the_conda_environment_has_the_name_that_the_readme_activates(repo_root):
    with open(os.path.join(repo_root, "README.md"), encoding="utf-8") as file:
        activated = set(re.findall(r"conda activate (\S+)", file.read()))
    with open(os.path.join(repo_root, "environment.yml"), encoding="utf-8") as file:
        text = file.read()
    assert activated == set(re.findall(r"^name: (\S+)", text, re.M)) == set(
        re.findall(r"conda activate (\S+)", text))


def test_every_result_on_the_first_page_stands_on_the_page_that_it_links_to(repo_root):
    with open(os.path.join(repo_root, "README.md"), encoding="utf-8") as file:
        section = file.read().partition("## Results\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|(.*)\| \[\w+\]\(([^)]+)\) \|$", section, re.M)
    assert len(rows) == 12
    for cells, page in rows:
        with open(os.path.join(repo_root, page), encoding="utf-8") as file:
            text = file.read()
        for number in [cell.strip() for cell in cells.split("|")[1:] if cell.strip()]:
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", text), (page, number)


@pytest.mark.parametrize("name", ["gta", "synthia", "season_fall_winter", "cityscapes", "bdds"])
def test_memory_and_disk_of_the_papers_experiments_are_those_of_their_plans(
        repo_root, name, monkeypatch):
    # The page says what the private runtime needs; a source build needs less memory.
    monkeypatch.setattr(source_builds, "has_patch", lambda patch: False)
    experiments = pytest.importorskip("models.experiments")
    plan = pytest.importorskip("tools.lib.experiment.plan")
    experiment = experiments.EXPERIMENTS[name]
    described = plan.describe(experiment, plan.tasks(experiment), 1)
    disk, memory = re.search(r"about (\S+ GB) of disk and (\S+ GB) of memory", described).groups()
    row = "season_*" if name.startswith("season") else name
    with open(os.path.join(repo_root, "README.md"), encoding="utf-8") as file:
        cells = re.search(rf"^\| `{re.escape(row)}` \|(.*)$", file.read(), re.M).group(1)
    assert [cell.strip() for cell in cells.split("|")][2:4] == [memory, disk]
