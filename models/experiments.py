"""The experiments as records: which data, which shape, which weights of the losses.

models/build.py makes the nets from them, solvers/build.py the solvers, and
tools/run_experiment.py runs their stages in order.  Apart from Caffe.
"""
from collections import namedtuple

from models.shapes import FULL, SLIM, SMALL

# Mean (BGR) of the ImageNet images that VGG-16 was trained on: it belongs to the initial
# weights, so every net that starts from them subtracts it, whatever its data.
IMAGENET_MEAN = (103.53, 116.28, 123.675)

# source, target: {"dataset", "split", "label_space"?}; batch: images of each domain in a
# batch; crop: (height, width) of the labelled window in pixels, after the resizes.
# weight, classifier_lr: lambda of Eq. 7 and lr_mult of the domain classifier.
# statistics: label statistics of the source; mil_weight: loss_weight of Eq. 8.
# test: (dataset, split) lists that tools/run_experiment.py scores.
Experiment = namedtuple("Experiment", (
    "name shape classes label_space source target batch crop source_resize target_resize "
    "mean weight classifier_lr statistics mil_weight initial_weights tests"))

STAGES = ("source", "control", "ga", "ca", "ga_ca")
# The control goes on with the source stage's net for as long as adaptation takes.
NET_OF_STAGE = dict(source="source", control="source", ga="ga", ca="ca", ga_ca="ga_ca")

TOY = Experiment(
    name="toy", shape=SLIM, classes=8, label_space="toy",
    source={"dataset": "toy", "split": "source_train"},
    target={"dataset": "toy", "split": "target_train"},
    batch=2, crop=(80, 144), source_resize=1.0, target_resize=1.0,
    mean=(128.0, 128.0, 128.0),     # the toy net starts from nothing: mid-grey
    weight=0.1, classifier_lr=10, statistics="data/statistics/toy.json", mil_weight=0.1,
    initial_weights=None,
    tests=(("toy", "source_val"), ("toy", "target_val")))

GTA_CAMVID = Experiment(
    name="gta_camvid", shape=SMALL, classes=11, label_space="camvid",
    source={"dataset": "gta5_half", "split": "train[:54]", "label_space": "camvid"},
    target={"dataset": "camvid", "split": "day_train"},
    batch=1, crop=(176, 240), source_resize=0.5, target_resize=1.0, mean=IMAGENET_MEAN,
    weight=0.1, classifier_lr=10,
    statistics="data/statistics/gta5_half_camvid.json", mil_weight=0.1,
    initial_weights="models/vgg_conv.caffemodel",
    tests=(("gta5_half", "train[54:]"), ("camvid", "day_val")))

GTA = Experiment(
    name="gta", shape=FULL, classes=19, label_space="cityscapes",
    source={"dataset": "gta5", "split": "train"},
    target={"dataset": "cityscapes", "split": "train"},
    batch=1, crop=(256, 256), source_resize=1.0, target_resize=1.0, mean=IMAGENET_MEAN,
    weight=0.1, classifier_lr=1, statistics="data/statistics/gta5.json", mil_weight=0.1,
    initial_weights="models/vgg_conv.caffemodel",
    tests=(("cityscapes", "val"),))

EXPERIMENTS = {experiment.name: experiment for experiment in (TOY, GTA_CAMVID, GTA)}
