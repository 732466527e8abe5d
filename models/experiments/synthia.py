"""Drawn to real: SYNTHIA-RAND-CITYSCAPES to Cityscapes (Table 1)."""
from dataclasses import replace

from models.experiments.fields import CategoryLoss, DataSide, DomainLoss, Experiment, Schedule
from models.imagenet_vgg import IMAGENET_MEAN
from models.shapes import FULL

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

SYNTHIA = Experiment(
    name="synthia",
    source=DataSide("synthia_rand", "train"),
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
        statistics="data/statistics/synthia_windows.json",
        mil_weight=0.1,             # the toy's
        slack=2.0,                  # Pathak et al.'s
        down_weight=0.1),           # the paper's
    schedules=dict(source=SOURCE, control=ADAPTATION, ga=ADAPTATION, ca=ADAPTATION,
                   ga_ca=replace(ADAPTATION, start="ga")))

EXPERIMENTS = (SYNTHIA,)
