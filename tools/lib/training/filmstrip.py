"""Pictures of progress: predictions of a few fixed frames at every snapshot of a run.

The frames lie at even distances in the list of the target's frames, from the first on; a net
without a target shows frames of its source. Only images are read, no label. In the run's folder:

    filmstrip/frames.json   names of the frames, their data set, classes and colours (RGB)
    filmstrip/frame_0.png   the image of frame 0, at most WIDEST pixels wide
    filmstrip/000300_0.png  its prediction after 300 iterations, in the colours of the classes;
                            000000_0.png is that of the initial weights, where one caffemodel
                            holds them all
    filmstrip.png           a row a frame, a column a snapshot; plot.png shows it below the curves

A child process predicts with the deploy net that lies beside the train net and with the snapshot's
caffemodel, as tools/predict.py does. So the weights, the random numbers and the memory of the run
stay untouched. A picture that fails is only a warning, because the run matters more.
"""
import functools
import glob
import json
import os
import re

import cv2
import numpy as np
from caffe.proto import caffe_pb2

from data.child_process import run_in_child
from data.dataset import unlabelled
from data.errors import InputError
from data.files import writing
from data.label_spaces import LabelSpace
from layers.source_target_data import served_frames
from tools.lib.checking.dry_run import fatal_message
from tools.lib.checking.net import DATA_LAYER
from tools.lib.checking.solver_file import find_file, load_solver
from tools.lib.scoring.deploy_net import load_deploy
from tools.lib.scoring.pictures import colour, write_grid, write_image
from tools.lib.scoring.predictor import Predictor
from tools.lib.training.solver import (
    MAKE_ROOM,
    display_path,
    python_keys,
    train_layers,
    write_run_file,
)

#: Names in the run's folder.
FOLDER, STRIP, FRAMES = "filmstrip", "filmstrip.png", "frames.json"
#: A prediction's file: iteration and number of the frame.
PREDICTION = re.compile(r"([0-9]{6,})_([0-9]+)\.png")
#: Frames by default, and at most.
USUAL, MOST = 3, 9
#: Columns of predictions in filmstrip.png.
COLUMNS = 6
#: Characters of a frame's name in filmstrip.png.
SHORT = 24
#: Pixels of the width of the pictures.
WIDEST = 320
#: Bytes of a forward pass: a training runs beside it.
BUDGET = 2 << 30
#: Seconds after which the pictures of a snapshot count as hanging.
SLOWEST = 1800


class Filmstrip:
    """The pictures of one run.

    folder: the run's; deploy: path of the deploy net; space: the LabelSpace of its classes; data,
    frames: the DataSet and the frames shown; resize: factor on their images, as in training;
    device: "cpu" or "gpu:N".
    """

    def __init__(self, folder, deploy, space, data, frames, resize, device):
        self._folder = os.path.join(folder, FOLDER)
        self._deploy, self._space, self._device = deploy, space, device
        self._data, self._frames, self._resize = data, frames, resize
        self.layers = {layer.name for layer in load_deploy(deploy).layers}

    def begin(self, iteration):
        """Removes the pictures of iterations after `iteration`, which the run draws again."""
        with writing(self._folder, MAKE_ROOM):
            os.makedirs(self._folder, exist_ok=True)
            for number in iterations_in(self._folder):
                if number > iteration:
                    for path in _predictions(self._folder, number):
                        os.unlink(path)
            if not iterations_in(self._folder):
                for path in glob.glob(os.path.join(glob.escape(self._folder), "frame_*.png")):
                    os.unlink(path)
        write_run_file(os.path.join(self._folder, FRAMES), json.dumps({
            "dataset": self._data.name, "frames": [frame.name for frame in self._frames],
            "classes": self._space.classes, "palette": self._space.palette.tolist()},
            indent=1) + "\n")

    def draw(self, entry):
        """Predicts the frames with a listed snapshot; returns as draw_model()."""
        return self.draw_model(entry["iteration"],
                               os.path.join(os.path.dirname(self._folder), entry["model"]["name"]))

    def draw_model(self, iteration, model):
        """Predicts the frames with a caffemodel; returns why that failed, None when all is drawn.

        Pictures that are there already are not drawn again.
        """
        if len(_predictions(self._folder, iteration)) == len(self._frames):
            return None
        outcome = run_in_child(functools.partial(
            _predict, self._deploy, model, self._device, self._data, self._frames, self._resize,
            self._space, self._folder, iteration), SLOWEST)
        if outcome.error:
            return outcome.error.what
        if outcome.value is None:
            return outcome.exception or fatal_message(outcome.stderr) or "its process hung or died"
        return None

    def pictures(self, iteration):
        """{name of a frame: PNG as bytes of image | prediction}; {} without pictures."""
        found = {}
        for path in _predictions(self._folder, iteration):
            number = int(PREDICTION.fullmatch(os.path.basename(path)).group(2))
            pair = [cv2.imread(each) for each in (_frame_file(self._folder, number), path)]
            if number < len(self._frames) and all(part is not None for part in pair):
                encoded = cv2.imencode(".png", np.hstack(pair))[1]
                found[self._frames[number].name] = encoded.tobytes()
        return found

    def all_pictures(self):
        """[(iteration, pictures(iteration))], earliest first."""
        return [(number, self.pictures(number)) for number in iterations_in(self._folder)]


def start(options, resolved, group, entry, weight_reports, unfilled, report):
    """The Filmstrip of a run that starts, with the picture of where it starts; None without one.

    options: of tools/train.py; entry: the snapshot that the run goes on from, or None: then the
    first picture is that of the initial weights, where one caffemodel (weight_reports, from
    weights.compare_all()) fills all layers of the deploy net. unfilled: names of the train net's
    layers that no caffemodel fills. report(text) is called with the reason where there is no
    filmstrip.
    """
    if options.filmstrip == 0:
        return None
    on_gpu = resolved.param.solver_mode == caffe_pb2.SolverParameter.GPU
    device = f"gpu:{resolved.param.device_id + group.gpu_offset}" if on_gpu else "cpu"
    try:
        strip = open_filmstrip(resolved, options.solver, options.filmstrip, device)
    except InputError as problem:
        report(f"no filmstrip: {problem.what}")
        return None
    strip.begin(-1 if entry is None else entry["iteration"])
    failed = None
    if entry is not None:
        failed = strip.draw(entry)
    elif len(weight_reports) == 1 and not strip.layers.intersection(unfilled):
        failed = strip.draw_model(0, weight_reports[0].path)
    if failed:
        report(f"warning: the filmstrip has no picture of the start: {failed}")
    return strip


def open_filmstrip(resolved, solver_path, count, device):
    """The Filmstrip of a resolved run with `count` frames.

    solver_path: the solver's file as given, whose nets have the deploy net beside them; device:
    "cpu" or "gpu:N". InputError where the run can have none.
    """
    layer = next((layer for layer in train_layers(resolved)
                  if layer.type == "Python" and layer.python_param.module == DATA_LAYER), None)
    if layer is None:
        raise InputError("the train net has no SourceTargetData layer, which names the frames")
    sides = {side: (data, frames)
             for side, data, frames, _ in served_frames(layer.python_param.param_str)}
    side = "target" if "target" in sides else "source"
    data, frames = sides[side]
    space = sides["source" if "source" in sides else side][0].space
    chosen = [frames[number] for number in chosen_frames(len(frames), count)]
    return Filmstrip(resolved.output, _deploy_net(solver_path), space, data, unlabelled(chosen),
                     python_keys(layer).get(f"{side}_resize", 1), device)


def chosen_frames(available, count):
    """Positions of at most `count` frames at even distances in a list, from the first on."""
    count = min(available, count)
    return [number * available // count for number in range(count)]


def _deploy_net(solver_path):
    """Path of the deploy net in the folder of the solver's train net; InputError without one."""
    solver = load_solver(solver_path)
    for field in ("train_net", "net"):
        if solver.HasField(field):
            net = find_file(getattr(solver, field), solver_path, field)
            path = os.path.join(os.path.dirname(os.path.abspath(net)), "deploy.prototxt")
            if os.path.isfile(path):
                return path
            raise InputError(f"{display_path(path)} is missing, the net that predicts whole images")
    raise InputError("the solver holds its net itself, so there is no deploy net beside it")


def iterations_in(folder):
    """The iterations that have predictions in a folder filmstrip/, in order."""
    if not os.path.isdir(folder):
        return []
    found = map(PREDICTION.fullmatch, os.listdir(folder))
    return sorted({int(match.group(1)) for match in found if match})


def evenly(numbers, most):
    """At most `most` (2 or more) of a list's numbers, the first and the last among them."""
    if len(numbers) <= most:
        return numbers
    return [numbers[round(place * (len(numbers) - 1) / (most - 1))] for place in range(most)]


def _predictions(folder, iteration):
    """Paths of the predictions of an iteration, by the number of the frame."""
    found = [name for name in os.listdir(folder) if PREDICTION.fullmatch(name)
             and int(PREDICTION.fullmatch(name).group(1)) == iteration]
    return [os.path.join(folder, name) for name in sorted(found)]


def _frame_file(folder, number):
    return os.path.join(folder, f"frame_{number}.png")


def _predict(deploy, model, device, data, frames, resize, space, folder, iteration):
    """In a child: writes the pictures of one iteration; returns True."""
    predictor = Predictor(deploy, model, device, budget=BUDGET)
    if predictor.classes != len(space.classes):
        raise InputError(f"{display_path(deploy)} gives {predictor.classes} classes, and the label "
                         f"space {space.name} has {len(space.classes)}")
    for number, frame in enumerate(frames):
        image = data.read_image(frame)
        height, width = image.shape[:2]
        small = (max(1, round(height * min(1, WIDEST / width))), min(width, WIDEST))
        if not os.path.exists(_frame_file(folder, number)):
            write_image(_frame_file(folder, number),
                        cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA))
        labels = predictor.predict(image, small, resize)
        write_image(os.path.join(folder, f"{iteration:06d}_{number}.png"),
                    colour(labels, space.palette))
    return True


def write_strip_below(run, plot):
    """Draws filmstrip.png of a run's folder, and adds it below the curves of the picture `plot`."""
    write_strip(run)
    strip = os.path.join(run, STRIP)
    if os.path.exists(strip) and os.path.exists(plot):
        write_image(plot, below(cv2.imread(plot), cv2.imread(strip)))


def below(upper, lower):
    """`lower` below `upper`, resized to its width: (h, w, 3) uint8 both."""
    height = round(lower.shape[0] * upper.shape[1] / lower.shape[1])
    return np.vstack([upper, cv2.resize(lower, (upper.shape[1], height),
                                        interpolation=cv2.INTER_AREA)])


def write_strip(run):
    """Draws filmstrip.png of a run's folder: image, then at most COLUMNS of its snapshots.

    The first and the last snapshot are among them. Without pictures, nothing is drawn.
    """
    folder = os.path.join(run, FOLDER)
    numbers = evenly(iterations_in(folder), COLUMNS)
    if not numbers:
        return
    with open(os.path.join(folder, FRAMES), encoding="utf-8") as file:
        described = json.load(file)
    space = LabelSpace("", tuple(described["classes"]), np.array(described["palette"], np.uint8))
    rows = []
    for row, name in enumerate(described["frames"]):
        paths = [_frame_file(folder, row)] + [
            os.path.join(folder, f"{number:06d}_{row}.png") for number in numbers]
        # A run that was killed while it drew lacks some.
        if all(map(os.path.exists, paths)):
            rows.append((name[-SHORT:], [cv2.imread(path) for path in paths]))
    if rows:
        write_grid(os.path.join(run, STRIP), ["image"] + [f"iteration {n}" for n in numbers], rows,
                   space, panel_inches=2.2)
