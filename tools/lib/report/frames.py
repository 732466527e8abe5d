"""Frames of the target's test set: image, what each net makes of it, and the truth.

The nets are the last snapshots of the runs, one a group, and the weights that an adapted run
started from. They predict a few frames spread evenly over the split; of these, the page shows the
frames that "before" and "after" label most differently.
"""
import argparse
import base64
import io
import os
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image

from data.errors import InputError
from data.files import sha256
from data.progress import progress_bar
from data.registry import open_dataset
from tools.lib.report.run_files import groups, title_of
from tools.lib.scoring.net_options import make_predictor, require_classes
from tools.lib.scoring.pictures import colours
from tools.lib.training.filmstrip import chosen_frames
from tools.lib.training.record import read_record
from tools.lib.training.solver import from_display_path

#: Pixels across which pictures are shrunk to on the page.
WIDEST = 640
QUALITY = 85


class TestData(NamedTuple):
    """Where the frames come from: the deploy net and the split, as tools/test.py takes them."""

    model: str
    dataset: str
    split: str
    label_space: Optional[str]
    resize: float


class Model(NamedTuple):
    title: str
    weights: str    # path of the caffemodel
    digest: str     # its SHA-256


@dataclass
class Picture:
    """One frame; pictures are data: URIs."""

    name: str
    changed: float          # percent of the pixels that before and after label differently
    image: str
    labels: list            # one of each model
    truth: Optional[str]


@dataclass
class Pictures:
    """The frames of a report. reason: why there are none, or None."""

    models: list            # titles
    before: int             # number of the model
    after: int
    frames: list            # [Picture], most changed first
    among: int              # how many frames were predicted
    where: str              # data set and split
    space: Any              # LabelSpace
    shares: list            # of each model (frames, C): share of a frame that each class fills
    reason: Optional[str] = None


def nothing(reason):
    """The Pictures of a report without any."""
    return Pictures([], 0, 0, [], 0, "", None, [], reason)


def draw_pictures(runs, options, known):
    """Pictures of options.frames frames, chosen from options.among.

    options: from report_command.parse().  known: {(SHA-256 of the weights, frame): label map}
    of earlier calls, which is filled.
    """
    data, models, before, after = _chosen(runs)
    if data is None:
        return nothing("no run has a test result, and none belongs to a committed experiment: "
                       "python3 tools/test.py ... --json RUN/test.json makes one.")
    if not models:
        return nothing("no run has a snapshot yet.")
    root = options.data_root or next((run.record["options"].get("data_root") for run in runs
                              if run.record["options"].get("data_root")), None)
    try:
        dataset = open_dataset(data.dataset, root, data.label_space)
        frames = dataset.frames(data.split)
        frames = [frames[number] for number in chosen_frames(len(frames), options.among)]
        maps = _predict(data, models, dataset, frames, options, known)
    except (InputError, OSError) as problem:    # a run that goes on removes old snapshots
        return nothing(f"the frames could not be predicted: {getattr(problem, 'what', problem)}.")
    changed = [100.0 * np.mean(first != last) for first, last in zip(maps[before], maps[after])]
    order = sorted(range(len(frames)), key=lambda index: -changed[index])[:options.frames]
    shown = [_picture(dataset, frames[index], changed[index], [row[index] for row in maps])
             for index in order]
    classes = len(dataset.space.classes)
    shares = [np.array([np.bincount(labels.ravel(), minlength=classes)[:classes] / labels.size
                        for labels in row]) for row in maps]
    return Pictures([model.title for model in models], before, after, shown, len(frames),
                    f"{data.dataset}, {data.split}", dataset.space, shares)


def _chosen(runs):
    """(TestData or None, [Model], before, after): numbers of the models."""
    data = next((found for found in map(_test_data, reversed(runs)) if found), None)
    first = [members[0] for members in groups(runs).values() if members[0].snapshots]
    models = [Model(run.group, *run.snapshots[-1][1:]) for run in first]
    if not models:
        return data, [], 0, 0
    start = _start(first[-1], models)
    if start is not None and start not in models:
        models.insert(0, start)
    return data, models, models.index(start) if start else 0, len(models) - 1


def _start(run, models):
    """The Model before a run: the snapshot that it started from, else its own first one.

    The snapshot is one of `models`, or lies where the run recorded it and is still the same file.
    """
    for path, digest in reversed(run.initial):
        same = [model for model in models if model.digest == digest]
        if same:
            return same[0]
        # weights of another kind, such as ImageNet's, have no scores
        if not os.path.isfile(path) or sha256(path) != digest:
            continue
        record = read_record(os.path.dirname(path))
        if record is not None:
            title = title_of(record) or os.path.splitext(os.path.basename(path))[0]
            taken = title in (model.title for model in models)
            return Model(f"{title}, before" if taken else title, path, digest)
    if len(run.snapshots) > 1:
        iteration, path, digest = run.snapshots[0]
        return Model(f"iteration {iteration}", path, digest)
    return None


def _test_data(run):
    """TestData of a run: of its experiment's target, else of its newest result; None: neither."""
    if run.experiment:
        side = run.experiment.target
        dataset, split = run.experiment.tests[-1]
        return TestData(from_display_path(f"models/{run.experiment.name}/deploy.prototxt"),
                        dataset, split, run.experiment.label_space, side.resize)
    with_net = [record for record in run.results if isinstance(record.get("model"), str)]
    if not with_net:
        return None
    record = with_net[-1]
    return TestData(from_display_path(record["model"]), record["dataset"], record["split"],
                    record["label_space"], float(record.get("resize", 1.0)))


def _predict(data, models, dataset, frames, options, known):
    """[[label map]]: for each model the labels (H, W) uint8 of every frame."""
    maps = []
    total = len(models) * len(frames)
    with progress_bar(desc="predicting frames", total=total, unit="image") as bar:
        for model in models:
            keys = [(model.digest, frame.name) for frame in frames]
            predictor = None
            for key, frame in zip(keys, frames):
                if key not in known:
                    predictor = predictor or _predictor(data, model, options, dataset)
                    known[key] = predictor.predict(dataset.read_image(frame), scale=data.resize)
                bar.update()
            maps.append([known[key] for key in keys])
    return maps


def _predictor(data, model, options, dataset):
    net = argparse.Namespace(model=data.model, device=options.device, tf32=options.tf32, mean=None,
                             memory=None, score_blob=None)
    predictor = make_predictor(net, model.weights)
    require_classes(predictor, net, len(dataset.space.classes), data.dataset, "run")
    return predictor


def _picture(dataset, frame, changed, maps):
    image = dataset.read_image(frame)
    palette = dataset.space.palette
    try:
        truth = label_picture(dataset.read_label(frame), palette)
    except InputError:      # a target without labels
        truth = None
    return Picture(frame.name, changed, photo(image),
                   [label_picture(labels, palette) for labels in maps], truth)


def photo(image):
    """data: URI of an image (H, W, 3) uint8 BGR as JPEG, at most WIDEST pixels across."""
    small = cv2.resize(image, _size(image), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return data_uri("image/jpeg", encoded.tobytes())


def label_picture(labels, palette):
    """data: URI of labels (H, W) uint8 in the palette (C, 3) RGB, as PNG with a palette."""
    small = cv2.resize(labels, _size(labels), interpolation=cv2.INTER_NEAREST)
    picture = Image.fromarray(small)
    picture.putpalette(colours(palette).tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return data_uri("image/png", stream.getvalue())


def data_uri(kind, content):
    """Bytes as the address of a picture that lies in the page itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _size(array):
    """(width, height) of an array (H, W, ...) at most WIDEST across."""
    height, width = array.shape[:2]
    factor = min(1.0, WIDEST / width)
    return max(1, round(width * factor)), max(1, round(height * factor))
