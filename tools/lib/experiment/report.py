"""Tables over stages and seeds, a picture and the report page, from the result files of tests."""
import os
import subprocess

import numpy as np

from data.errors import InputError
from data.files import ROOT, write_whole
from tools.lib.command import command_line
from tools.lib.confusion import class_subsets, mean_iou
from tools.lib.experiment.plan import (
    command_of,
    last_weights,
    prediction_options,
    result_file,
    run_folder,
)
from tools.lib.experiment.strength import PROBES, medians
from tools.lib.outputs import require_file
from tools.lib.results import read_results
from tools.lib.tables import Table, render
from tools.lib.training.log import LOG, iteration_seconds

TITLES = dict(source="source only", control="control", ga="GA", ca="CA", ga_ca="GA + CA")
ABOUT = dict(
    source="trained on the labelled source: the paper's \"before adapt\"",
    control="the source-only net, trained on the source for as long as adaptation takes",
    ga="global alignment, Eq. 2 to 7", ca="constrained multiple-instance loss, Eq. 8",
    ga_ca="both losses")


def stage_line(experiment, stage):
    """One line on a stage: its loss, its iterations, and the weights that it starts from."""
    schedule = experiment.schedules[stage]
    start = TITLES.get(schedule.start) or schedule.start or "random weights"
    return f"{TITLES[stage]}: {ABOUT[stage]}; {schedule.max_iter} iterations from {start}"


def net_sentence(experiment):
    """A sentence on the nets and the images that they get."""
    shape, (height, width) = experiment.shape, experiment.crop
    text = (f"Nets: the dilated VGG-16 front-end with {', '.join(map(str, shape.channels))} "
            f"channels in its blocks and {shape.fc} in fc6 and fc7")
    if shape.frozen_blocks:
        text += f", the first {shape.frozen_blocks} blocks not trained"
    if shape.margin:
        text += f", a margin of {shape.margin} pixels"
    images = "1 image" if experiment.batch == 1 else f"{experiment.batch} images"
    return (f"{text}; {images} of each domain in a batch, crops of {height} x {width} pixels after "
            f"resizing by {experiment.source.resize:g} (source) and {experiment.target.resize:g} "
            "(target).")


def seconds_an_iteration(experiment, stage, seeds):
    """Median over the log lines of all seeds; nan without any.

    Tests and other commands that ran at the same time may have slowed the stage.
    """
    found = []
    for seed in seeds:
        found += iteration_seconds(os.path.join(ROOT, run_folder(experiment, stage, seed), LOG))
    return float(np.median(found)) if found else float("nan")


def collect(experiment, stages, seeds, dataset, split):
    """(classes, ious) of collect_runs(): a row a stage, a column a seed."""
    return collect_runs([[result_file(experiment, stage, seed, dataset, split) for seed in seeds]
                         for stage in stages])


def collect_runs(paths):
    """(classes, ious) of rows of result files, whose paths are relative to the repository.

    ious: (rows, columns, classes) float64, percent; nan for an absent class.
    """
    records = [[read_results(os.path.join(ROOT, path))[0] for path in row] for row in paths]
    ious = np.array([[[np.nan if value is None else 100 * value for value in record["iou"]]
                      for record in row] for row in records])
    return records[0][0]["classes"], ious


def spread(values, digits=1):
    """"mean ± standard deviation" (n - 1) of the numbers that are not nan; a single one alone."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return "nan"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def over(seeds):
    """The seeds in words, for a page whose numbers spread() has written."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean ± standard deviation over the seeds {', '.join(map(str, seeds))}"


def class_table(title, classes, columns, ious):
    """A row a class and one for each mean, a column a stage; mean ± deviation over the seeds.

    columns: their titles.  ious: for each column (seeds, classes) percent, nan for an absent class.
    """
    rows = [[name] + [spread(column[:, index]) for column in ious]
            for index, name in enumerate(classes)]
    for number, (mean, members) in enumerate(class_subsets(classes).items()):
        rows.append([mean if number else "mIoU"]
                    + [spread([mean_iou(row, members) for row in column]) for column in ious])
    return Table(["IoU %"] + list(columns), rows, title, [len(classes)])


def seed_table(stages, seeds, ious):
    """mIoU of every run, then the differences to `control` (or the first stage) and to GA.

    Differences are taken seed by seed; their mean ± deviation is shown.
    """
    means = np.nanmean(ious, axis=2)
    reference = stages.index("control") if "control" in stages else 0
    rows = [[f"seed {seed}"] + [f"{mean:.1f}" for mean in means[:, index]]
            for index, seed in enumerate(seeds)]
    rows.append(["minus " + TITLES[stages[reference]]]
                + [spread(stage - means[reference]) for stage in means])
    if {"ga", "ga_ca"} <= set(stages):
        rows.append(["minus GA"] + [spread(stage - means[stages.index("ga")]) for stage in means])
    return Table(["mIoU %"] + [TITLES[stage] for stage in stages], rows, "", [len(seeds)])


def probe_table(experiment, stages, seeds):
    """A row for each stage that adapts: its probes, mean ± deviation over the seeds; None: none."""
    found = {stage: np.array([medians(os.path.join(ROOT, run_folder(experiment, stage, seed)))
                              for seed in seeds]) for stage in stages}
    found = {stage: values for stage, values in found.items() if not np.isnan(values).all()}
    if not found:
        return None
    shown = [number for number in range(len(PROBES))
             if not all(np.isnan(values[:, number]).all() for values in found.values())]
    titles = list(PROBES.values())
    rows = [[TITLES[stage]] + ["" if np.isnan(values[:, number]).all()
                               else spread(values[:, number], 2) for number in shown]
            for stage, values in found.items()]
    return Table([""] + [titles[number] for number in shown], rows)


def markdown(experiment, stages, seeds, command):
    """The report's text: stages and settings, then two tables a test set."""
    parts = [f"# {experiment.name}", "",
             f"Written by `{command}`. Scores of the last iterate of each run, {over(seeds)}; a "
             "class absent from truth and prediction is nan and left out of the mean.", ""]
    parts += [f"**{experiment.note}**", ""] if experiment.note else []
    parts += [f"- {stage_line(experiment, stage)}; "
              f"{seconds_an_iteration(experiment, stage, seeds):.2g} s an iteration"
              for stage in stages]
    parts += ["", net_sentence(experiment)]
    domain, category = experiment.domain_loss, experiment.category_loss
    normalised = ", normalised features" if domain.normalised else ""
    hidden = "-".join(map(str, experiment.shape.hidden))
    parts += ["", f"Domain loss: objective {domain.objective}, lambda {domain.weight:g}; "
                  f"classifier: hidden channels {hidden}, lr_mult {domain.classifier_lr:g}"
                  f"{normalised}, updates an iteration {domain.classifier_steps}. Category loss: "
                  f"loss_weight {category.mil_weight:g}, slack {category.slack:g}, factor of large "
                  f"classes {category.down_weight:g}, presence above "
                  f"{category.presence_factor:g} alpha, bounds {category.bounds}, "
                  f"statistics {category.statistics}."]
    titles = [TITLES[stage] for stage in stages]
    for dataset, split in experiment.tests:
        classes, ious = collect(experiment, stages, seeds, dataset, split)
        parts += ["", f"## {dataset}, {split}", "",
                  render(class_table("", classes, titles, ious), "markdown"),
                  render(seed_table(stages, seeds, ious), "markdown").rstrip()]
    probes = probe_table(experiment, stages, seeds)
    if probes:
        parts += ["", "## Without target labels", "",
                  "From the logs, medians over the second half of each training "
                  "(docs/watching_adaptation.md):", "",
                  render(probes, "markdown").rstrip()]
    return "\n".join(parts) + "\n"


def draw(experiment, stages, seed, data_root, path, device=None):
    """Draws frames of the last test set to `path`: image, before, after, truth.

    device: of the nets, "cpu" or "gpu:N"; None: that of tools/figure.py.
    """
    shown = [stage for stage in ("source", "ga", "ga_ca") if stage in stages]
    weights = [last_weights(experiment, stage, seed) for stage in shown]
    frames = ["--most-changed", "4"] if len(shown) > 1 else ["--frames", "0"]
    _start("picture", path, "figure.py", *prediction_options(experiment, *experiment.tests[-1]),
           *frames, "--weights", *weights, "--names", *[TITLES[stage] for stage in shown],
           "--output", path, *_where(data_root, device))


def write_page(experiment, stages, seeds, data_root, path, device=None, frames=True):
    """Writes the report page of all runs to `path`; device: of its nets, as in draw().

    frames: whether nets predict the frames that it shows.
    """
    folders = [run_folder(experiment, stage, seed) for stage in stages for seed in seeds]
    _start("page", path, "report.py", *folders, "--output", path, *_where(data_root, device),
           *([] if frames else ["--no-frames"]))


def _where(data_root, device):
    return [*(["--data-root", data_root] if data_root else []),
            *(["--device", device] if device else [])]


def _start(kind, path, *argv):
    """Runs one of the project's commands, which makes the picture or the page `path`."""
    try:
        subprocess.run(command_of(*argv), cwd=ROOT, check=True)
    except subprocess.CalledProcessError as problem:
        raise InputError(
            f"the {kind} {path} could not be made, for the reason above (exit code "
            f"{problem.returncode})",
            "after the repair run the same command again: it skips the finished tasks") from None


def files(base):
    """Paths of tables, picture and page; raises InputError when one cannot be written."""
    paths = base + ".md", base + ".png", base + ".html"
    for path in paths:
        require_file(path, "--report")
    return paths


def write(experiment, stages, seeds, data_root, base, device=None, frames=True):
    """Prints the tables; writes them, picture and page to files(base), base an absolute path.

    device: where the nets of picture and page compute, or None.  frames: those of the page.
    """
    titles = [TITLES[stage] for stage in stages]
    for dataset, split in experiment.tests:
        classes, ious = collect(experiment, stages, seeds, dataset, split)
        print(render(class_table(f"{dataset}, {split}", classes, titles, ious), "text"))
    if experiment.note:
        print(experiment.note)
    tables, picture, page = files(base)
    text = markdown(experiment, stages, seeds, command_line("tools/run_experiment.py"))
    write_whole(tables, f"{text}\n![Frames of the last test set: image, predictions, truth]"
                        f"({os.path.basename(picture)})\n")
    draw(experiment, stages, seeds[0], data_root, picture, device=device)
    write_page(experiment, stages, seeds, data_root, page, device=device, frames=frames)
    print(f"tables: {os.path.relpath(tables)}   picture: {os.path.relpath(picture)}   "
          f"page: {os.path.relpath(page)}")
