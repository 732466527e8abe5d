"""The command line of tools/predict.py: label maps of a user's images, folders and videos."""
import argparse
import os
import sys

from tqdm import tqdm

from data.errors import InputError
from data.label_spaces import SPACES
from data.reading import read_image
from data.records.folder import CLASSES_FILE, read_classes
from tools.lib.outputs import require_folder
from tools.lib.scoring.pictures import Painter, write_image
from tools.lib.scoring.score_command import add_net_arguments, make_predictor
from tools.lib.scoring.video import is_video, paint_video

IMAGES = (".png", ".jpg", ".jpeg")


def parse(arguments=None):
    """The options of tools/predict.py."""
    parser = argparse.ArgumentParser(
        prog="tools/predict.py", description="Labels images, the images of folders, and videos. No "
                                             "truth is needed.")
    parser.add_argument("inputs", nargs="+", help="PNG or JPEG images, folders of them (searched "
                                                  "throughout), video files")
    parser.add_argument("--model", required=True, help="deploy prototxt")
    parser.add_argument("--weights", required=True, help="caffemodel")
    parser.add_argument("--label-space", required=True, metavar="NAME|PATH",
                        help="names and colours of the classes: one of "
                             f"{', '.join(sorted(SPACES))}, or your own, a `folder` data set or "
                             f"its {CLASSES_FILE}")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the results go, "
                                                                          "under the inputs' names")
    parser.add_argument("--kind", choices=("overlay", "colour", "labels"), default="overlay",
                        help="colours over the image (default), colours alone, or train ids as "
                             "grey PNG")
    parser.add_argument("--opacity", type=_share, default=0.5, help="of the overlay's colours, 0 "
                                                                    "to 1 (default 0.5)")
    parser.add_argument("--no-legend", action="store_true", help="leave the class legend under the "
                                                                 "picture out")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there "
                                                                 "already")
    add_net_arguments(parser)
    return parser.parse_args(arguments)


def _share(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, found {text}")
    return value


def main(arguments=None):
    """Lists the work, checks it, and writes one result for each input."""
    args = parse(arguments)
    require_folder(args.output, "--output")
    jobs = plan(args.inputs, args.output, args.kind)
    for source, target in jobs:
        if os.path.exists(target) and not args.overwrite:
            raise InputError(f"{target} exists already", "name another --output, or give "
                                                         "--overwrite")
    space = space_of(args.label_space)
    predictor = make_predictor(args, args.weights)
    if predictor.classes != len(space.classes):
        raise InputError(f"{args.model} gives {predictor.classes} classes, but label space "
                         f"{args.label_space} has {len(space.classes)}", "choose another "
                                                                           "--label-space")
    painter = Painter(space, args.kind, args.opacity, legend=not args.no_legend)
    for source, target in tqdm(jobs, unit="file", disable=None, leave=False):
        if is_video(source):
            paint_video(source, target,
                        lambda image: painter(image, predictor.predict(image, scale=args.resize)))
        else:
            image = read_image(source)
            write_image(target, painter(image, predictor.predict(image, scale=args.resize)))
    print(f"{len(jobs)} written to {args.output}")


def space_of(text):
    """The LabelSpace of a built-in name, or of a class table: its path, or that of the `folder`
    data set around it."""
    if text in SPACES:
        return SPACES[text]
    if not os.path.exists(text):
        raise InputError(
            f"--label-space {text}: expected one of {', '.join(sorted(SPACES))}, or "
            f"the path of a folder data set or of its {CLASSES_FILE}",
            "data/README.md has the format of a class table")
    return read_classes(os.path.join(text, CLASSES_FILE) if os.path.isdir(text) else text)[0]


def _files_below(given, output):
    """Paths of the files in a folder and below, by folder and name, without those of the folder
    `output`."""
    found, results = [], os.path.realpath(output)
    for folder, folders, names in os.walk(given):
        for name in [
                name for name in folders if os.path.realpath(os.path.join(folder, name)) == results
        ]:
            folders.remove(name)
            print(f"left out, for results lie there: {os.path.join(folder, name)}", file=sys.stderr)
        found.append((folder, sorted(names)))
    return [os.path.join(folder, name) for folder, names in sorted(found) for name in names]


def plan(inputs, output, kind):
    """[(source, target)]: every image and video among the inputs and in their folders, sorted.

    Folders keep their inner structure below `output`, which is not searched where it lies inside
    one of them: what an
    earlier run has written there is no input.  Raises InputError for an input that is missing or of another type, for two
    inputs with one result, and for a result that is an input.
    """
    sources = []
    for given in inputs:
        if os.path.isdir(given):
            inside = _files_below(given, output)
            found = [(path, os.path.relpath(path, given)) for path in inside
                     if path.lower().endswith(IMAGES)]
            videos = [path for path in inside if is_video(path) and path not in inputs]
            if videos:
                print("left out, for folders are searched for images; name a video to have it "
                      f"labelled: {', '.join(videos)}", file=sys.stderr)
            if not found:
                raise InputError(f"{given} holds no image ({', '.join(IMAGES)})")
            sources += found
        elif not os.path.isfile(given):
            raise InputError(f"{given}: no such file or folder")
        elif given.lower().endswith(IMAGES) or is_video(given):
            sources.append((given, os.path.basename(given)))
        else:
            raise InputError(f"{given}: expected an image ({', '.join(IMAGES)}) or a video")
    jobs, taken = [], {}
    for source, name in sources:
        if is_video(source) and kind == "labels":
            raise InputError(f"{source}: a video cannot hold label maps", "use --kind colour or "
                                                                          "overlay")
        target = os.path.join(output,
                              os.path.splitext(name)[0] + (".mp4" if is_video(source) else ".png"))
        if target in taken:
            raise InputError(f"{taken[target]} and {source} would both become {target}")
        if os.path.realpath(target) == os.path.realpath(source):
            raise InputError(f"--output {output}: the result would replace the input {source}")
        taken[target] = source
        jobs.append((source, target))
    return jobs
