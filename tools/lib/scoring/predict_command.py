"""The command line of tools/predict.py: label maps of a user's images, folders and videos."""
import os
import sys

from data.errors import InputError
from data.file_kinds import BYTES as KIND_BYTES
from data.file_kinds import kind_of
from data.folders import IMAGE_ENDINGS, list_folder, report_left_out
from data.label_spaces import SPACES
from data.progress import progress_bar
from data.reading import read_image
from data.records.folder import CLASSES_FILE
from tools.lib.command import CommandParser, number_between
from tools.lib.dataset_options import find_label_space
from tools.lib.outputs import require_folder
from tools.lib.scoring.net_options import add_net_arguments, make_predictor, require_classes
from tools.lib.scoring.pictures import Painter, write_image
from tools.lib.scoring.video import VIDEOS, is_video, paint_video

#: Inputs that the message about faulty ones names.
_NAMED = 20


def parse(arguments=None):
    """The options of tools/predict.py."""
    parser = CommandParser(
        prog="python3 tools/predict.py",
        description="Labels images, the images of folders, and videos. No truth is needed.")
    parser.add_argument("inputs", nargs="+",
                        help="PNG or JPEG images, folders of them (with the folders inside), video "
                             "files")
    parser.add_argument("--model", required=True, help="deploy prototxt")
    parser.add_argument("--weights", required=True, help="caffemodel")
    parser.add_argument("--label-space", required=True, metavar="NAME|PATH",
                        help="names and colours of the classes: one of "
                             f"{', '.join(sorted(SPACES))}, or your own, a `folder` data set or "
                             f"its {CLASSES_FILE}")
    parser.add_argument("--output", required=True, metavar="FOLDER",
                        help="folder for the results, under the inputs' names")
    parser.add_argument("--kind", choices=("overlay", "colour", "labels"), default="overlay",
                        help="colours over the image (default), colours alone, or train ids as "
                             "grey PNG")
    parser.add_argument("--opacity", type=number_between(0, 1), default=0.5,
                        help="of the overlay's colours, 0 to 1 (default 0.5)")
    parser.add_argument("--no-legend", action="store_true",
                        help="draw no class legend under the picture")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    add_net_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments=None):
    """Lists the inputs, checks them, and writes one result for each."""
    args = parse(arguments)
    require_folder(args.output, "--output")
    jobs = plan(args.inputs, args.output, args.kind)
    for _, target in jobs:
        if os.path.exists(target) and not args.overwrite:
            raise InputError(f"{target} exists already", "name another --output, or give "
                                                         "--overwrite")
    space = find_label_space(args.label_space)
    predictor = make_predictor(args, args.weights)
    require_classes(predictor, args, len(space.classes), f"label space {args.label_space}",
                    "--label-space")
    painter = Painter(space, args.kind, args.opacity, legend=not args.no_legend)

    def paint(image):
        return painter(image, predictor.predict(image, scale=args.resize))

    problems = []       # of inputs; the later ones are labelled nevertheless
    for source, target in progress_bar(jobs, "predicting", unit="file"):
        try:
            if is_video(source):
                paint_video(source, target, paint)
            else:
                write_image(target, paint(read_image(source)))
        except InputError as problem:
            problems.append(problem)
    print(f"{len(jobs) - len(problems)} written to {args.output}")
    if problems:
        raise _in_one(problems, len(jobs))


def _in_one(problems, count):
    """One InputError for the InputErrors of some of `count` inputs."""
    if len(problems) == 1:
        return problems[0]
    named = problems[:_NAMED]
    lines = [problem.what for problem in named]
    if len(problems) > _NAMED:
        lines.append(f"and {len(problems) - _NAMED} more")
    fixes = dict.fromkeys(problem.fix for problem in named if problem.fix)
    return InputError(f"{len(problems)} of {count} inputs were not labelled whole:\n  "
                      + "\n  ".join(lines), "\n  ".join(fixes) or None)


def plan(inputs, output, kind):
    """[(source, target)] of every image and video to label, sorted.

    Folders keep their inner structure below `output`.  When `output` is inside one of them, it is
    not searched: results of an earlier run are no inputs.  Raises InputError for an input that is
    missing or of another type, for two inputs with one result, and for a result that would replace
    an input.
    """
    jobs, sources = [], {}
    for source, name in _listed(inputs, output):
        if is_video(source) and kind == "labels":
            raise InputError(f"{source}: a video cannot hold label maps",
                             "use --kind colour or overlay")
        ending = ".mp4" if is_video(source) else ".png"
        target = os.path.join(output, os.path.splitext(name)[0] + ending)
        if target in sources:
            raise InputError(f"{sources[target]} and {source} would both become {target}")
        if os.path.realpath(target) == os.path.realpath(source):
            raise InputError(f"--output {output}: the result would replace the input {source}")
        sources[target] = source
        jobs.append((source, target))
    return jobs


def _listed(inputs, output):
    """[(path, name of its result)] of the images and videos among the inputs and their folders."""
    listed = []
    for given in inputs:
        if os.path.isdir(given):
            listed += _images_below(given, inputs, output)
        elif not os.path.isfile(given):
            found = "neither a regular file nor a folder" if os.path.exists(given) else (
                "a link that leads nowhere" if os.path.lexists(given) else "no such file or folder")
            raise InputError(f"{given}: {found}")
        elif given.lower().endswith(IMAGE_ENDINGS) or is_video(given):
            listed.append((given, os.path.basename(given)))
        else:
            with open(given, "rb") as file:
                kind = kind_of(file.read(KIND_BYTES)) or "a file of an unknown kind"
            raise InputError(f"{given}: {kind}; expected an image ({', '.join(IMAGE_ENDINGS)}) or "
                             "a video")
    return listed


def _images_below(folder, inputs, output):
    """[(path, path from the folder)] of the images below it; names on stderr what is left out."""
    listing = list_folder(folder, IMAGE_ENDINGS + VIDEOS, below=True, without=output)
    videos = [path for _, path in listing.files if is_video(path)]
    unnamed = [path for path in videos if path not in inputs]
    if unnamed:
        print(f"left out: {', '.join(unnamed)} (only the images of a folder are labelled; give a "
              "video by its own name)", file=sys.stderr)
    left_out = report_left_out(folder, listing)
    images = [(path, name) for name, path in listing.files if path not in videos]
    if not images:
        raise InputError(f"{folder} holds no image ({', '.join(IMAGE_ENDINGS)})"
                         + (f"; left out: {left_out}" if left_out else ""))
    return images
