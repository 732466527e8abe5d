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
# objective, weight, classifier_lr: of the domain loss, lambda, lr_mult of the classifier.
# statistics: label statistics of the source, over windows of the crop's size; mil_weight:
# loss_weight of Eq. 8; slack: price of a unit of mass that a class is short of its lower bound
# (Pathak et al.: 2); down_weight: factor of the gradient of classes with alpha > 0.1 (paper: 0.1).
# tests: (dataset, split) lists that tools/run_experiment.py scores.
# note: what a reader of the results has to know; "" where there is nothing.
Experiment = namedtuple("Experiment", (
    "name shape classes label_space source target batch crop source_resize target_resize "
    "mean objective weight classifier_lr statistics mil_weight slack down_weight initial_weights "
    "tests note"), defaults=("",))

STAGES = ("source", "control", "ga", "ca", "ga_ca")
# The control goes on with the source stage's net for as long as adaptation takes.
NET_OF_STAGE = dict(source="source", control="source", ga="ga", ca="ca", ga_ca="ga_ca")

TOY = Experiment(
    name="toy", shape=SLIM, classes=8, label_space="toy",
    source={"dataset": "toy", "split": "source_train"},
    target={"dataset": "toy", "split": "target_train"},
    batch=2, crop=(80, 144), source_resize=1.0, target_resize=1.0,
    mean=(128.0, 128.0, 128.0),     # the toy net starts from nothing: mid-grey
    # Reversal, not Eq. 7: in the toy confusion gained far less (docs/results/toy_confusion.md).
    objective="reversal", weight=0.1, classifier_lr=1,
    # Weight and slack: docs/results/toy_tuning/category.md.
    statistics="data/statistics/toy_windows.json", mil_weight=0.1, slack=0.5, down_weight=0.1,
    initial_weights=None,
    tests=(("toy", "source_val"), ("toy", "target_val")))



def _small(name, classes, label_space, statistics, target, target_resize, tests):
    """The 54 first of 60 half-size GTA5 frames to real images, at a size for two CPU cores."""
    return Experiment(
        name=name, shape=SMALL, classes=classes, label_space=label_space,
        source={"dataset": "gta5_half", "split": "train[:54]", "label_space": label_space},
        target=target, batch=1, crop=(144, 208), source_resize=0.5, target_resize=target_resize,
        mean=IMAGENET_MEAN,
        objective="reversal", weight=0.1, classifier_lr=10,     # the objective that the toy chose
        statistics=statistics, mil_weight=0.1, slack=0.5, down_weight=0.1,      # the toy's
        initial_weights="models/vgg_conv.caffemodel", tests=tests)


# The same with the paper's own objective, Eq. 7.
TOY_CONFUSION = TOY._replace(name="toy_confusion", objective="confusion")

GTA_CAMVID = _small(
    "gta_camvid", 11, "camvid", "data/statistics/gta5_half_camvid_windows.json",
    target={"dataset": "camvid", "split": "day_train"}, target_resize=1.0,
    tests=(("gta5_half", "train[54:]"), ("camvid", "day_val")))
# Three Cityscapes images: the whole chain on the real formats, not a result.
GTA_CITYSCAPES_SAMPLE = _small(
    "gta_cityscapes_sample", 19, "cityscapes", "data/statistics/gta5_half_windows.json",
    target={"dataset": "cityscapes", "split": "train"}, target_resize=0.25,
    tests=(("cityscapes", "train"),))._replace(note=(
        "The target has three images, and the scores are taken on the same three: these numbers "
        "mean "
        "nothing. They show that every stage of `gta` runs on the real formats, tables and picture "
        "included."))


def _full(name, source, target, tests, label_space="cityscapes", classes=19):
    """A row of the paper at full width: what they share, said once."""
    return Experiment(
        name=name, shape=FULL, classes=classes, label_space=label_space,
        source=source, target=target, batch=1, crop=(256, 256),
        source_resize=1.0, target_resize=1.0, mean=IMAGENET_MEAN,
        # CyCADA's weight of the adversarial loss on the features
        objective="confusion", weight=0.1, classifier_lr=1,
        # the toy's weight, Pathak's slack, the paper's factor
        statistics=f"data/statistics/{name}_windows.json", mil_weight=0.1, slack=2.0,
        down_weight=0.1,
        initial_weights="models/vgg_conv.caffemodel", tests=tests)


def _season(source, target):
    """One of the six shifts of Table 2: a season of SYNTHIA-SEQS to another."""
    def side(season, split):
        return {"dataset": "synthia_seqs", "split": split, "options": {"season": season}}
    return _full(f"season_{source}_{target}", side(source, "train"), side(target, "train"),
                 ((f"synthia_seqs:season={target}", "test"),),
                 label_space="synthia_seqs", classes=13)


CITYSCAPES_TRAIN = {"dataset": "cityscapes", "split": "train"}
SEASONS = ("summer", "fall", "winter")

# Table 1: game to real; of GTA5 "the whole dataset" (section 4.1).
GTA = _full("gta", {"dataset": "gta5", "split": "all"}, CITYSCAPES_TRAIN,
            (("cityscapes", "val"),))
SYNTHIA = _full("synthia", {"dataset": "synthia_rand", "split": "train"}, CITYSCAPES_TRAIN,
                (("cityscapes", "val"),))
# Table 3: the cities of `train` to those of `val`, whose images are the unlabelled target.
CITYSCAPES = _full("cityscapes", CITYSCAPES_TRAIN, {"dataset": "cityscapes", "split": "val"},
                   (("cityscapes", "val"),))
# Figure 4: Cityscapes to dash-cams. The paper's target are some 60,000 frames of San Francisco
# without labels, which it does not list; this one is the frames of `train`, from all cities. A
# folder of others: {"dataset": "frames", "split": "all", ...}.
BDDS = _full("bdds", CITYSCAPES_TRAIN, {"dataset": "bdds", "split": "train"},
             (("bdds", "val"),))

# The game to CamVid's 11 classes at full width.
GTA_CAMVID_FULL = _full(
    "gta_camvid_full", {"dataset": "gta5", "split": "all", "label_space": "camvid"},
    {"dataset": "camvid", "split": "day_train"}, (("camvid", "day_val"),),
    label_space="camvid", classes=11)

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (TOY, TOY_CONFUSION, GTA_CAMVID, GTA_CITYSCAPES_SAMPLE, GTA_CAMVID_FULL, GTA,
                       SYNTHIA, CITYSCAPES, BDDS, *(_season(source, target) for source in SEASONS
                                                    for target in SEASONS if source != target))
}
