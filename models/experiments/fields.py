"""What an experiment consists of, field by field.  Apart from Caffe."""
from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from data.errors import InputError
from models.shapes import Shape

#: The stages in order; the control goes on with the source stage's net for as long as
#: adaptation takes.
STAGES = ("source", "control", "ga", "ca", "ga_ca")
NET_OF_STAGE = dict(source="source", control="source", ga="ga", ca="ca", ga_ca="ga_ca")
#: The stages that read target images; whose nets have the domain loss; and the category loss.
ADAPTED = ("ga", "ca", "ga_ca")
DOMAIN_STAGES = ("ga", "ga_ca")
CONSTRAINED = ("ca", "ga_ca")


@dataclass(frozen=True)
class DataSide:
    """The frames of one domain: a split of a data set (data/README.md)."""

    dataset: str                        # "gta5"; options may follow: "folder:path=/my/set"
    split: str                          # "train", or a slice of it: "train[:54]"
    resize: float = 1.0                 # factor on images and labels, before the crop is taken
    label_space: Optional[str] = None   # of its labels; None: the data set's first
    options: Optional[dict] = None      # the data set's: {"season": "fall"}
    scale: Tuple[float, float] = (1.0, 1.0)  # smallest, largest random factor beside resize
    jitter: Optional[dict] = None       # random colours: {"brightness": 0.2} (data/augmentation.py)

    @property
    def argument(self):
        """The data set as --dataset takes it: "synthia_seqs:season=fall"."""
        options = ",".join(f"{key}={value}" for key, value in sorted((self.options or {}).items()))
        return f"{self.dataset}:{options}" if options else self.dataset

    @property
    def layer_keys(self):
        """`source` or `target` in the param_str of the data layer."""
        keys = dict(dataset=self.dataset, split=self.split, label_space=self.label_space,
                    options=self.options)
        return {key: value for key, value in keys.items() if value is not None}

    @property
    def augmentation_keys(self):
        """`scale` and `jitter` of the data layer, where they are not its defaults."""
        keys = dict(scale=list(self.scale), jitter=self.jitter or {})
        return {key: value for key, value in keys.items() if value not in ([1.0, 1.0], {})}


@dataclass(frozen=True)
class DomainLoss:
    """Global alignment, Eq. 2 to 7: the keys of DomainAdversarialLoss, the classifier's rate."""

    objective: str          # "confusion" (Eq. 7), "inverse" or "reversal"
    weight: float           # lambda: factor of the loss's gradient on the features
    classifier_lr: float    # lr_mult of the classifier's layers
    classifier_steps: int = 1   # updates of the classifier for each of the features
    normalised: bool = False    # the classifier sees features of root mean square 1 (RMSNorm)
    why: Tuple[str, ...] = ()   # comment lines of the nets: the source of unusual settings


@dataclass(frozen=True)
class CategoryLoss:
    """Category-specific adaptation, Eq. 8: loss_weight and keys of ConstrainedMILLoss."""

    statistics: str         # file of the source's label statistics, over windows of the crop's size
    mil_weight: float       # loss_weight
    slack: float            # price of a unit of mass below a class's lower bound
    down_weight: float      # factor on the gradient of classes with alpha > 0.1
    presence_factor: float = 0.1  # a class is present above this times alpha (the paper's)
    bounds: str = "both"    # of the classes' sizes: "both" (the paper's), "lower", "upper", "none"


@dataclass(frozen=True)
class Schedule:
    """How one stage is trained: the fields of its Caffe solver.

    The paper's schedule stands in full in every family, although several repeat its numbers: a
    family can be read, and changed, without another one.
    """

    start: Optional[str]    # a stage (its last snapshot), a caffemodel's path, or None (random)
    type: str               # of the solver: "SGD" or "Adam"
    base_lr: float          # learning rate of the first iteration
    policy: str             # "fixed", or "poly": base_lr (1 - iteration / max_iter)^0.9
    momentum: float         # Adam: decay of the mean gradient
    weight_decay: float     # factor of the L2 penalty
    iter_size: int          # batches whose gradients are added up for one update
    max_iter: int           # updates
    display: int            # updates between two lines of the log
    snapshot: int           # updates between two snapshots
    why: Tuple[str, ...]    # comment lines of the solver: the source of its unusual numbers


@dataclass(frozen=True)
class Experiment:
    """A pair of domains, the nets that see them, and the schedules of the five stages."""

    name: str                           # of its folders and solvers: models/NAME, runs/NAME_STAGE
    source: DataSide                    # labelled
    target: DataSide                    # images alone: its labels are never opened in training
    tests: Tuple[Tuple[str, str], ...]  # (data set, split) pairs to score; the last is the target's
    label_space: str                    # the net's classes in their order
    classes: int                        # their number
    shape: Shape                        # widths and margin of the net: models/shapes.py
    batch: int                          # images of each domain in a batch
    crop: Tuple[int, int]               # (height, width) of the labelled window, after the resizes
    mean: Tuple[float, float, float]    # blue, green, red: subtracted from every pixel
    domain_loss: DomainLoss
    category_loss: CategoryLoss
    schedules: Dict[str, Schedule]      # one a stage
    note: str = ""                      # what a reader of the results has to know
    shares: Optional["Experiment"] = None   # whose runs of stages that are alike are these too

    def __post_init__(self):
        """Raises InputError unless the stages can be trained in their order.

        Every stage needs a schedule and starts from an earlier one; an experiment that shares
        stages of another has at least the source stage in common with it.
        """
        if tuple(self.schedules) != STAGES:
            raise InputError(f"experiment {self.name}: schedules of {', '.join(self.schedules)}; "
                             f"expected {', '.join(STAGES)}, in this order")
        for index, (stage, schedule) in enumerate(self.schedules.items()):
            if schedule.start in STAGES[index:]:
                raise InputError(f"experiment {self.name}: stage {stage} starts from "
                                 f"{schedule.start}; expected an earlier stage, a caffemodel or "
                                 "None")
        if self.shares and self._inputs("source") != self.shares._inputs("source"):
            raise InputError(f"experiment {self.name} shares the stages of {self.shares.name}, but "
                             "trains the source stage otherwise",
                             "leave out shares, or the changes to the source stage")

    def _inputs(self, stage):
        """All that decides how a stage's training goes, by field."""
        schedule = self.schedules[stage]
        inputs = {name: getattr(self, name)
                  for name in ("source", "label_space", "classes", "batch", "crop", "mean")}
        inputs.update(schedule=schedule, shape=self.shape)
        if schedule.start in STAGES:
            inputs.update(start=self._inputs(schedule.start))
        if stage in ADAPTED:
            inputs.update(target=self.target)
        if stage in DOMAIN_STAGES:
            inputs.update(domain_loss=self.domain_loss)
        else:
            inputs.update(shape=self.shape._replace(hidden=()))    # it has no domain classifier
        if stage in CONSTRAINED:
            inputs.update(category_loss=self.category_loss)
        return inputs

    @property
    def own_stages(self):
        """The stages that no other experiment trains for this one."""
        return tuple(stage for stage in STAGES if not self.shares
                     or self._inputs(stage) != self.shares._inputs(stage))

    def trainer(self, stage):
        """The experiment that trains a stage: this one, or the one whose stages it shares."""
        return self if stage in self.own_stages else self.shares.trainer(stage)

    @property
    def initial_weights(self):
        """Path of the caffemodel that the source stage starts from; None for random weights."""
        return self.schedules["source"].start
