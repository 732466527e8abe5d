"""Game to real: GTA5 to Cityscapes (Table 1), and its chain on three real images."""
from dataclasses import replace

from models.experiments.fields import CategoryLoss, DataSide, DomainLoss, Experiment, Schedule
from models.imagenet_vgg import IMAGENET_MEAN
from models.shapes import FULL, SMALL

SOURCE = Schedule(
    start="models/vgg_conv.caffemodel",
    type="SGD", base_lr=1e-4, policy="fixed", momentum=0.99, weight_decay=5e-4,
    iter_size=8, max_iter=40000, display=20, snapshot=2000,
    why=("Yu and Koltun's front-end settings: crops of 628, batch 8 (here 8 times 1",
         "image: iter_size), rate 1e-4, momentum 0.99, 40K iterations."))

ADAPTATION = replace(
    SOURCE, start="source", base_lr=1e-5, max_iter=10000, snapshot=1000,
    why=("Rate and momentum of CyCADA's adversarial stage (same first author); the paper",
         "gives none. The number of iterations is ours."))

GTA = Experiment(
    name="gta",
    source=DataSide("gta5", "all"),         # "the whole dataset" (section 4.1)
    target=DataSide("cityscapes", "train"),
    tests=(("cityscapes", "val"),),
    label_space="cityscapes", classes=19,
    shape=FULL, batch=1, crop=(256, 256), mean=IMAGENET_MEAN,
    domain_loss=DomainLoss(
        objective="confusion",      # the paper's, Eq. 7
        weight=0.1,                 # CyCADA's weight of the adversarial loss on the features
        classifier_lr=1,
        normalised=True,
        why=("The paper has no domain_normalised. Without it the features can satisfy",
             "Eq. 7 by shrinking; on the toy they did, and mIoU gained nothing",
             "(docs/watching_adaptation.md, docs/results/toy_families.md).")),
    category_loss=CategoryLoss(
        statistics="data/statistics/gta_windows.json",
        mil_weight=0.1,             # the toy's
        slack=2.0,                  # Pathak et al.'s
        down_weight=0.1),           # the paper's
    schedules=dict(source=SOURCE, control=ADAPTATION, ga=ADAPTATION, ca=ADAPTATION,
                   ga_ca=replace(ADAPTATION, start="ga")))

SAMPLE_SOURCE = Schedule(
    start="models/vgg_conv.caffemodel",
    type="SGD", base_lr=1e-3, policy="poly", momentum=0.9, weight_decay=5e-4,
    iter_size=1, max_iter=150, display=10, snapshot=75,
    why=("1e-3 and momentum 0.9 instead of Yu and Koltun's 1e-4 and 0.99 (the same",
         "step in the long run): one image a batch and few iterations."))

SAMPLE_ADAPTATION = replace(
    SAMPLE_SOURCE, start="source", base_lr=2e-4, max_iter=10,
    why=("A fifth of the source stage's rate, falling to 0 as in the toy.",))

# The whole chain on the real formats in a few minutes, to show that it runs.
GTA_CITYSCAPES_SAMPLE = Experiment(
    name="gta_cityscapes_sample",
    source=DataSide("gta5_half", "train[:54]", resize=0.5, label_space="cityscapes"),
    target=DataSide("cityscapes", "train", resize=0.25),
    tests=(("cityscapes", "train"),),
    label_space="cityscapes", classes=19,
    shape=SMALL, batch=1, crop=(144, 208), mean=IMAGENET_MEAN,
    domain_loss=DomainLoss(objective="reversal", weight=0.1, classifier_lr=10),
    category_loss=CategoryLoss(statistics="data/statistics/gta5_half_windows.json",
                               mil_weight=0.1, slack=0.5, down_weight=0.1),
    schedules=dict(source=SAMPLE_SOURCE, control=SAMPLE_ADAPTATION, ga=SAMPLE_ADAPTATION,
                   ca=SAMPLE_ADAPTATION, ga_ca=SAMPLE_ADAPTATION),
    note="The target has three images, and the scores are taken on the same three: these numbers "
         "mean nothing. They show that every stage of `gta` runs on the real formats, tables and "
         "picture included.")

EXPERIMENTS = (GTA, GTA_CITYSCAPES_SAMPLE)
