"""Game to CamVid's 11 classes: at a size for two CPU cores, and at full width."""
from dataclasses import replace

from models.experiments.fields import CategoryLoss, DataSide, DomainLoss, Experiment, Schedule
from models.imagenet_vgg import IMAGENET_MEAN
from models.shapes import FULL, SMALL

SOURCE = Schedule(
    start="models/vgg_conv.caffemodel",
    type="SGD", base_lr=1e-3, policy="poly", momentum=0.9, weight_decay=5e-4,
    iter_size=1, max_iter=2000, display=10, snapshot=500,
    why=("1e-3 and momentum 0.9 instead of Yu and Koltun's 1e-4 and 0.99 (the same",
         "step in the long run): one image a batch and few iterations."))

ADAPTATION = replace(
    SOURCE, start="source", base_lr=2e-4, max_iter=600, snapshot=300,
    why=("A fifth of the source stage's rate, falling to 0 as in the toy.",))

GTA_CAMVID = Experiment(
    name="gta_camvid",
    # the first 54 of 60 frames of half the game's size; the others are a test set
    source=DataSide("gta5_half", "train[:54]", resize=0.5, label_space="camvid"),
    target=DataSide("camvid", "day_train"),
    tests=(("gta5_half", "train[54:]"), ("camvid", "day_val")),
    label_space="camvid", classes=11,
    shape=SMALL, batch=1, crop=(144, 208), mean=IMAGENET_MEAN,
    domain_loss=DomainLoss(
        objective="reversal",       # what the toy chose
        weight=0.1,
        classifier_lr=10),
    category_loss=CategoryLoss(
        statistics="data/statistics/gta5_half_camvid_windows.json",
        mil_weight=0.1, slack=0.5,  # the toy's
        down_weight=0.1),           # the paper's
    # GA + CA from the source stage too: every row has had the same number of iterations.
    schedules=dict(source=SOURCE, control=ADAPTATION, ga=ADAPTATION, ca=ADAPTATION,
                   ga_ca=ADAPTATION))

FULL_SOURCE = Schedule(
    start="models/vgg_conv.caffemodel",
    type="SGD", base_lr=1e-4, policy="fixed", momentum=0.99, weight_decay=5e-4,
    iter_size=8, max_iter=40000, display=20, snapshot=2000,
    why=("Yu and Koltun's front-end settings: crops of 628, batch 8 (here 8 times 1",
         "image: iter_size), rate 1e-4, momentum 0.99, 40K iterations."))

FULL_ADAPTATION = replace(
    FULL_SOURCE, start="source", base_lr=1e-5, max_iter=10000, snapshot=1000,
    why=("Rate and momentum of CyCADA's adversarial stage (same first author); the paper",
         "gives none. The number of iterations is ours."))

GTA_CAMVID_FULL = Experiment(
    name="gta_camvid_full",
    source=DataSide("gta5", "all", label_space="camvid"),
    target=DataSide("camvid", "day_train"),
    tests=(("camvid", "day_val"),),
    label_space="camvid", classes=11,
    shape=FULL, batch=1, crop=(256, 256), mean=IMAGENET_MEAN,
    domain_loss=DomainLoss(
        objective="confusion",      # the paper's, Eq. 7
        weight=0.1,                 # CyCADA's weight of the adversarial loss on the features
        classifier_lr=1),
    category_loss=CategoryLoss(
        statistics="data/statistics/gta_camvid_full_windows.json",
        mil_weight=0.1,             # the toy's
        slack=2.0,                  # Pathak et al.'s
        down_weight=0.1),           # the paper's
    schedules=dict(source=FULL_SOURCE, control=FULL_ADAPTATION, ga=FULL_ADAPTATION,
                   ca=FULL_ADAPTATION, ga_ca=replace(FULL_ADAPTATION, start="ga")))

EXPERIMENTS = (GTA_CAMVID, GTA_CAMVID_FULL)
