"""Writes every net of models/ from the builders.

    tools/caffe_python models/build.py            write the prototxts
    tools/caffe_python models/build.py --check    only compare; exit code 2 when one differs
"""
import argparse
import os

from models.adaptation import deploy_net, train_net
from models.context import context_deploy_net
from models.experiments import EXPERIMENTS
from models.generated import prototxt, write_or_compare
from models.shapes import FULL

HEADER = "# Written by models/build.py from models/experiments.py: change those, then build again.\n"
CITYSCAPES_MEAN = (72.39, 82.91, 73.16)     # BGR, of the released Cityscapes models


def data_keys(experiment):
    """The keys of the data layer of an experiment, apart from margin and target images."""
    source = dict(experiment.source)
    target = dict(experiment.target)
    return dict(source=source, target=target, source_images=experiment.batch,
                crop=list(experiment.crop), mirror=True,
                source_resize=experiment.source_resize, target_resize=experiment.target_resize,
                mean=list(experiment.mean), seed=1, workers=1)


def nets(experiment):
    """{file name: NetParameter} of an experiment: four train nets and the deploy net."""
    domain = dict(objective=experiment.objective, weight=experiment.weight,
                  lr_mult=experiment.classifier_lr)
    categories = dict(loss_weight=experiment.mil_weight, statistics=experiment.statistics,
                      slack=experiment.slack, presence_factor=0.1, down_weight_threshold=0.1,
                      down_weight_factor=experiment.down_weight, bounds="both")
    terms = dict(source={}, ga=dict(domain=domain), ca=dict(categories=categories),
                 ga_ca=dict(domain=domain, categories=categories))
    built = {f"{stage}.prototxt": train_net(
        experiment.shape, experiment.classes, data_keys(experiment),
        target_images=experiment.batch if losses else 0, **losses)
        for stage, losses in terms.items()}
    built["deploy.prototxt"] = deploy_net(
        experiment.shape, experiment.classes, experiment.mean, experiment.crop)
    for file_name, net in built.items():
        net.name = f"{experiment.name}_{file_name[:-len('.prototxt')]}"
    return built


def released_nets():
    """{path below models/: NetParameter} of released models that no experiment trains."""
    net = context_deploy_net(FULL, 19, CITYSCAPES_MEAN, (256, 256))
    net.name = "context19_deploy"
    return {"context19/deploy.prototxt": net}


def generated_files():
    """{path relative to the repository: text} of every net."""
    built = {os.path.join(experiment.name, file_name): net
             for experiment in EXPERIMENTS.values()
             for file_name, net in nets(experiment).items()}
    built.update(released_nets())
    return {os.path.join("models", path): HEADER + prototxt(net) for path, net in built.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    write_or_compare(generated_files(), parser.parse_args().check)
