"""Inputs of other people: deploy nets, videos, lists of pictures, and folders of odd files.

EVERY is all subjects: those of `subjects` and these.
"""
import contextlib
import functools
import io
import json
import os
import socket

import caffe
import cv2
import numpy as np
from PIL import Image

from tools.lib.categories import statistics_command
from tools.lib.datasets import check_command, lmdb_command
from tools.lib.scoring import predict_command

from data_files import random_image, write_image
from fuzzing import mutations
from fuzzing.subjects import (
    CLASSES,
    DEPLOY,
    NET_TEXT,
    PLAIN,
    SUBJECTS,
    TRUNK,
    UP,
    Subject,
    train,
    trunk_and,
    write,
)

#: As FCN-16s: learned upsampling of two maps, Crop layers, and a second output.
CROPPED = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" \
convolution_param { num_output: 4 pad: 20 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "prelu" type: "PReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" \
pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "lrn" type: "LRN" bottom: "pool" top: "lrn" lrn_param { local_size: 3 } }
layer { name: "pool2" type: "Pooling" bottom: "lrn" top: "pool2" \
pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "deep" type: "Convolution" bottom: "pool2" top: "deep" \
convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "up2" type: "Deconvolution" bottom: "deep" top: "up2" \
convolution_param { num_output: 8 kernel_size: 4 stride: 2 bias_term: false \
weight_filler { type: "msra" } } }
layer { name: "skip" type: "Convolution" bottom: "pool" top: "skip" \
convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "up2c" type: "Crop" bottom: "up2" bottom: "skip" top: "up2c" \
crop_param { axis: 2 offset: 1 } }
layer { name: "fuse" type: "Eltwise" bottom: "up2c" bottom: "skip" top: "fuse" \
eltwise_param { operation: SUM coeff: 1 coeff: 0.5 } }
layer { name: "edge" type: "Convolution" bottom: "conv" top: "edge" \
convolution_param { num_output: 1 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "edges" type: "Sigmoid" bottom: "edge" top: "edges" }
layer { name: "large" type: "Deconvolution" bottom: "fuse" top: "large" \
convolution_param { num_output: 8 kernel_size: 4 stride: 2 weight_filler { type: "msra" } } }
layer { name: "score" type: "Crop" bottom: "large" bottom: "data" top: "score" \
crop_param { axis: 2 offset: 19 } }
"""
#: As a U-Net: Concat, BatchNorm and Scale, layers behind the last Deconvolution, Softmax, ArgMax.
U_NET = """layer { name: "down" type: "Convolution" bottom: "data" top: "down" \
convolution_param { num_output: 4 pad: 1 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "down" top: "norm" \
batch_norm_param { use_global_stats: true } }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "elu" type: "ELU" bottom: "norm" top: "norm" }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" \
pooling_param { pool: MAX kernel_h: 2 kernel_w: 2 stride_h: 2 stride_w: 2 } }
layer { name: "deep" type: "Convolution" bottom: "pool" top: "deep" \
convolution_param { num_output: 4 pad_h: 1 pad_w: 1 kernel_h: 3 kernel_w: 3 } }
layer { name: "up" type: "Deconvolution" bottom: "deep" top: "up" \
convolution_param { num_output: 4 kernel_size: 2 stride: 2 weight_filler { type: "msra" } } }
layer { name: "both" type: "Concat" bottom: "up" bottom: "norm" top: "both" \
concat_param { axis: 1 } }
layer { name: "score" type: "Convolution" bottom: "both" top: "score" \
convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" softmax_param { axis: 1 } }
layer { name: "labels" type: "ArgMax" bottom: "prob" top: "labels" argmax_param { axis: 1 } }
"""


def make_net(text, place):
    """deploy.prototxt of these layers behind an Input, weights that fit, and a picture."""
    write(place, "deploy.prototxt", DEPLOY + text)
    caffe.set_random_seed(1)
    caffe.Net(os.path.join(place, "deploy.prototxt"), caffe.TEST).save(
        os.path.join(place, "m.caffemodel"))
    write_image(os.path.join(place, "in", "a.png"), random_image(0, 20, 28))


def predict(place, *inputs, more=()):
    """tools/predict.py with the net of the folder."""
    predict_command.main([*(os.path.join(place, name) for name in inputs),
                          "--model", os.path.join(place, "deploy.prototxt"),
                          "--weights", os.path.join(place, "m.caffemodel"),
                          "--label-space", "toy", "--output", os.path.join(place, "out"), *more])


def tiled_net():
    """Layers of the tiny front-end with its fixed upsampling."""
    return trunk_and(UP, "final", CLASSES)


VIDEOS = (("a.avi", "MJPG"), ("b.mkv", "XVID"), ("c.mp4", "mp4v"))


def make_videos(place):
    make_net(tiled_net(), place)
    for name, codec in VIDEOS:
        writer = cv2.VideoWriter(os.path.join(place, name), cv2.VideoWriter_fourcc(*codec), 10,
                                 (32, 24))
        for number in range(5):
            writer.write(random_image(number, 24, 32))
        writer.release()


#: Names that a folder may hold beside its pictures.
NAMES = ("b.png", "B.PNG", ".b.png", "._a.png", "b.jpg", "b.jpeg", "b c.png", "\u00e9.png",
         "b.webp", "b.tif", "b.gif", "b.bmp", "Thumbs.db", "b", "b.txt", "deep/b.png",
         ".hidden/b.png", "__MACOSX/b.png", "@eaDir/b.png", ".ipynb_checkpoints/a-checkpoint.png",
         "a.jpg", "a.png.part", "b.png/c.png", "-b.png", "b\n.png", "b%d.png", "x" * 250 + ".png")
LINKS = "links.json"
#: Targets of links; the odd names are what `_make_links` makes in place of one.
TARGETS = ("a.png", "gone.png", ".", "..", "deep", "/dev/null", "/etc", "FIFO", "SOCKET", "FOLDER")


def odd_picture(draw):
    """Bytes of a picture, or of something else, of a kind that people have in their folders."""
    kind = draw.choice(("PNG", "JPEG", "turned", "turned PNG", "WEBP", "BMP", "TIFF", "GIF",
                        "deep", "grey", "palette", "alpha", "CMYK", "one bit", "huge", "empty",
                        "text", "zeros", "cut", "altered"))
    image = Image.fromarray(random_image(draw.randrange(9), 20, 28))
    saved = io.BytesIO()
    keys = {}
    if kind.startswith("turned"):
        exif = Image.Exif()
        exif[0x0112] = draw.choice((1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 65535))
        keys = {"exif": exif}
    modes = {"grey": "L", "palette": "P", "alpha": "RGBA", "CMYK": "CMYK", "one bit": "1"}
    if kind in modes:
        image = image.convert(modes[kind])
    if kind == "deep":
        image = Image.fromarray(np.arange(560, dtype=np.uint16).reshape(20, 28) * 100)
    encoding = {"turned": "JPEG", "CMYK": "JPEG"}.get(
        kind, kind if kind in ("JPEG", "WEBP", "BMP", "TIFF", "GIF") else "PNG")
    image.save(saved, encoding, **keys)
    content = saved.getvalue()
    if kind == "huge":          # only the header says so
        size = draw.choice((20000, 200000, 2**31 - 1))
        content = mutations.with_checksums(
            content[:16] + size.to_bytes(4, "big") + content[20:])
    return {"empty": b"", "text": b"name: 1\n", "zeros": bytes(100), "cut": content[:150],
            "altered": mutations.octets(draw, content)}.get(kind, content)


class OddFolder(Subject):
    """A folder of pictures that gets further files, links and contents.

    folder: the path of the pictures' folder inside the place of a case.
    """

    def __init__(self, name, make, folder, use):
        super().__init__(name, make, (".png",), odd_picture, use)
        self.folder = folder

    def change(self, draw, files):
        for _ in range(draw.choice((1, 1, 2, 4))):
            name = f"{self.folder}/{draw.choice(NAMES)}"
            if draw.random() < 0.3:
                name = draw.choice(sorted(name for name in files if name.endswith(".png")))
            parts = name.split("/")
            above = ["/".join(parts[:end]) for end in range(1, len(parts))]
            if not any(other in files for other in above) and not any(
                    other.startswith(name + "/") for other in files):
                files[name] = self.mutate(draw)
        links = {f"{self.folder}/{draw.choice(NAMES)}": draw.choice(TARGETS)
                 for _ in range(draw.choice((0, 0, 1, 2)))}
        files[LINKS] = json.dumps(links).encode()
        return files


@contextlib.contextmanager
def links_of(place):
    """Makes the links that links.json names, {path: target}, for as long as the block runs."""
    with open(os.path.join(place, LINKS)) as file:
        links = json.load(file)
    made = []
    try:
        for name, target in links.items():
            path = os.path.join(place, name)
            if os.path.lexists(path) or not os.path.isdir(os.path.dirname(path)):
                continue
            if target == "FIFO":
                os.mkfifo(path)
            elif target == "SOCKET" and len(path) < 100:
                with socket.socket(socket.AF_UNIX) as made_by:
                    made_by.bind(path)
            elif target == "FOLDER":
                os.mkdir(path)
            else:
                os.symlink(target, path)
            if os.path.lexists(path):
                made.append(path)
        yield
    finally:
        for path in made:
            (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)


def make_odd_inputs(place):
    make_net(tiled_net(), place)
    write_image(os.path.join(place, "in", "deep", "c.png"), random_image(1, 20, 28))
    write(place, LINKS, "{}")


def predict_odd(place):
    with links_of(place):
        predict(place, "in")


def make_odd_set(place):
    """A GTA5, whose frames are the files of a folder."""
    for name in ("00001", "00002", "00003"):
        write_image(os.path.join(place, "gta5", "images", name + ".png"), random_image(1))
        write_image(os.path.join(place, "gta5", "labels", name + ".png"),
                    np.full((12, 16), 7, np.uint8))
    write(place, LINKS, "{}")


def read_odd_set(place):
    """tools/check_dataset.py, tools/label_stats.py and tools/make_lmdb.py on the data set."""
    chosen = ["--dataset", "gta5", "--data-root", place, "--split", "all", "--workers", "1"]
    with links_of(place), contextlib.redirect_stdout(io.StringIO()):
        check_command.main(chosen)
        statistics_command.main([*chosen, "--output", os.path.join(place, "out", "of.json")])
        lmdb_command.main([*chosen, "--output", os.path.join(place, "out", "packed")])


RESIZED = "new_height: 12 new_width: 12"


def make_picture_list(place, more=""):
    """A net whose pictures Caffe's own ImageData layer reads; more: fields of that layer."""
    lines = []
    for number in range(4):
        write_image(os.path.join(place, f"{number}.png"), random_image(number, 12, 12))
        lines.append(f"{number}.png {number % CLASSES}\n")
    write(place, "list.txt", "".join(lines))
    write(place, "net.prototxt", f"""layer {{ name: "data" type: "ImageData"
        top: "data" top: "label"
        image_data_param {{ source: "{place}/list.txt" root_folder: "{place}/" batch_size: 2
                           {more} }} }}
""" + TRUNK.replace("CLASSES", str(CLASSES)) + """
layer { name: "all" type: "Pooling" bottom: "final" top: "all"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "all" bottom: "label" top: "loss" }
""")
    write(place, "solver.prototxt", PLAIN.replace("PLACE", place))


OTHER = [
    Subject("net with crops", functools.partial(make_net, CROPPED), ("deploy.prototxt",), NET_TEXT,
            lambda place: predict(place, "in", more=("--score-blob", "score"))),
    Subject("U-Net", functools.partial(make_net, U_NET), ("deploy.prototxt",), NET_TEXT,
            lambda place: predict(place, "in")),
    Subject("video", make_videos, (".avi", ".mkv", ".mp4"), mutations.octets,
            lambda place: predict(place, *(name for name, _ in VIDEOS))),
    OddFolder("odd folder", make_odd_inputs, "in", predict_odd),
    OddFolder("odd data set", make_odd_set, "gta5/images", read_odd_set),
    Subject("list of ImageData", make_picture_list, ("list.txt",), mutations.text, train),
    Subject("picture of ImageData", functools.partial(make_picture_list, more=RESIZED), (".png",),
            lambda draw, content: draw.choice((lambda: mutations.png(draw, content),
                                               lambda: odd_picture(draw)))(), train),
]
#: A Caffe that tools/build/ has made reads no pictures itself.
EVERY = SUBJECTS + [subject for subject in OTHER if not subject.name.endswith("of ImageData")
                    or "ImageData" in caffe.layer_type_list()]
