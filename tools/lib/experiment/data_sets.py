"""Whether the data sets of an experiment are there: asked before its first stage starts, not days
later."""
from data.errors import InputError
from data.registry import open_dataset
from tools.lib.experiment.plan import ADAPTED

FIX = "docs/datasets.md says where each is obtained and where it goes below --data-root"


def needed(experiment, stages):
    """[(data set, split, labelled)] that these stages and their tests read, each once, in that
    order."""
    wanted = [(experiment.source.argument, experiment.source.split, True)]
    if set(stages) & set(ADAPTED):
        wanted.append((experiment.target.argument, experiment.target.split, False))
    wanted += [(dataset, split, True) for dataset, split in experiment.tests]
    return list(dict.fromkeys(wanted))


def missing(experiment, stages, data_root=None):
    """A sentence for each of them that cannot be listed or whose first frame has not its files; []
    when all are there.

    No file is decoded, and no label of the target looked at.
    """
    sentences = []
    for dataset, split, labelled in needed(experiment, stages):
        try:
            data = open_dataset(dataset, data_root, experiment.label_space if labelled else None)
            data.check(data.frames(split)[0], labelled)
        except InputError as problem:
            sentences.append(f"{dataset}, split {split}: {problem.what}")
    return sentences


def require(sentences):
    """Raises InputError when `sentences`, from missing(), holds any."""
    if sentences:
        raise InputError(
            "data that this experiment reads is missing:\n    " + "\n    ".join(sentences), FIX)
