"""Label maps of splits without labels, by the final models of experiments, in one zip file.

    final_models() -> tasks() -> scheduler.run() -> write()
"""
import json
import os
import zipfile
from typing import NamedTuple

from data.errors import InputError
from data.files import ROOT, sha256, write_aside
from data.label_spaces import SPACES
from data.registry import open_dataset
from models.experiments import STAGES
from models.experiments.fields import Experiment
from tools.lib.experiment.plan import (
    Task,
    command_of,
    last_weights,
    prediction_options,
    run_folder,
    split_words,
)

#: Every file of the zip has this date, so that equal label maps give equal bytes.
DATE = (1980, 1, 1, 0, 0, 0)


class Model(NamedTuple):
    """The last iterate of a stage's run."""

    experiment: Experiment
    stage: str
    seed: int
    weights: str        # path of the caffemodel, relative to the repository
    sha256: str         # of the caffemodel

    @property
    def folder(self):
        """Its folder in the zip file."""
        return f"{self.experiment.name}/{self.stage}_seed{self.seed}"


def final_models(experiments, stages, seeds):
    """The Models of these stages, in the order of training; InputError when one is not trained."""
    models = []
    for experiment in experiments:
        for seed in seeds:
            for stage in (stage for stage in STAGES if stage in stages):
                weights = last_weights(experiment, stage, seed)
                path = os.path.join(ROOT, weights)
                if not os.path.exists(path):
                    raise InputError(
                        f"{weights}: no such file; {stage} of {experiment.name}, seed {seed}, is "
                        "not trained to its end",
                        f"python3 tools/run_experiment.py {experiment.name} --stages {stage} "
                        f"--seeds {seed}, or leave it out with --stages and --seeds")
                models.append(Model(experiment, stage, seed, weights, sha256(path)))
    return models


def _frames_folder(model, dataset, split):
    """Where the model's label maps of a split are kept; another caffemodel has another folder."""
    return os.path.join(run_folder(model.experiment, model.stage, model.seed), "predictions",
                        model.sha256[:12], split_words(dataset, split))


def _map_name(image):
    """The name that predict.py gives to the label map of an image."""
    return os.path.splitext(os.path.basename(image))[0] + ".png"


def _images(dataset, split, data_root):
    """[(frame name, path of its image)] of a split; no label is looked for."""
    frames = open_dataset(dataset, data_root).frames(split)
    return [(frame.name, frame.image) for frame in frames]


def tasks(models, splits, data_root=None):
    """A Task for each model and split: tools/predict.py over the split's images.

    models: from final_models().  splits: [(data set, split)].  data_root: folder of the data sets.
    """
    planned = []
    for dataset, split in splits:
        images = _images(dataset, split, data_root)
        # predict.py writes in this order, so the last file means that all are there.
        last = _map_name(images[-1][1])
        for model in models:
            folder = _frames_folder(model, dataset, split)
            options = dict(zip(*[iter(prediction_options(model.experiment, dataset, split))] * 2))
            argv = command_of("predict.py", *[os.path.abspath(path) for _, path in images],
                              "--model", options["--model"], "--weights", model.weights,
                              "--label-space", model.experiment.label_space,
                              "--resize", options["--resize"], "--kind", "labels", "--overwrite",
                              "--output", folder)
            planned.append(Task(f"predict {model.folder} {dataset} {split}", argv, (),
                                os.path.join(folder, last), f"{len(images)} images",
                                computes=True))
    return planned


def write(path, models, splits, data_root=None):
    """Writes the zip file once all tasks are done; returns its bytes."""
    about = {"splits": [list(split) for split in splits], "models": [
        {"folder": model.folder, "weights": model.weights, "sha256": model.sha256,
         "label_space": model.experiment.label_space,
         "classes": list(SPACES[model.experiment.label_space].classes)} for model in models]}
    with write_aside(path) as partial, \
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _add(archive, "about.json", (json.dumps(about, indent=1) + "\n").encode())
        for dataset, split in splits:
            for name, image in _images(dataset, split, data_root):
                for model in models:
                    file_name = os.path.join(ROOT, _frames_folder(model, dataset, split),
                                             _map_name(image))
                    with open(file_name, "rb") as file:
                        _add(archive, f"{model.folder}/{split_words(dataset, split)}/{name}.png",
                             file.read())
    return os.path.getsize(path)


def _add(archive, name, content):
    entry = zipfile.ZipInfo(name, DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
