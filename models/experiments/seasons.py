"""Season to season: the six shifts of SYNTHIA-SEQS (Table 2)."""
from dataclasses import replace

from models.experiments.fields import CategoryLoss, DataSide, DomainLoss, Experiment, Schedule
from models.imagenet_vgg import IMAGENET_MEAN
from models.shapes import FULL

SEASONS = ("summer", "fall", "winter")

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


def _season(source, target):
    """The experiment from one season's frames to another's."""
    return Experiment(
        name=f"season_{source}_{target}",
        source=DataSide("synthia_seqs", "train", options={"season": source}),
        target=DataSide("synthia_seqs", "train", options={"season": target}),
        tests=((f"synthia_seqs:season={target}", "test"),),
        label_space="synthia_seqs", classes=13,
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
            statistics=f"data/statistics/season_{source}_{target}_windows.json",
            mil_weight=0.1,             # the toy's
            slack=2.0,                  # Pathak et al.'s
            down_weight=0.1),           # the paper's
        schedules=dict(source=SOURCE, control=ADAPTATION, ga=ADAPTATION, ca=ADAPTATION,
                       ga_ca=replace(ADAPTATION, start="ga")))


EXPERIMENTS = tuple(_season(source, target) for source in SEASONS for target in SEASONS
                    if source != target)
