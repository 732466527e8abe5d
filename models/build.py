"""Writes every net of models/ from the experiments in models/experiments/.

    tools/caffe_python models/build.py            write the prototxts
    tools/caffe_python models/build.py --check    only compare; exit code 2 when one differs
"""
from models.adaptation import deploy_net, train_net
from models.context import context_deploy_net
from models.experiments import EXPERIMENTS, FILES
from models.experiments.fields import DOMAIN_STAGES
from models.generated import build_command, header, prototxt
from models.shapes import FULL

CITYSCAPES_MEAN = (72.39, 82.91, 73.16)     # BGR, of the released Cityscapes models


def data_keys(experiment):
    """The keys of the data layer of an experiment, apart from margin and target images."""
    source, target = experiment.source, experiment.target
    augmentation = {f"{name}_{key}": value
                    for name, side in (("source", source), ("target", target))
                    for key, value in side.augmentation_keys.items()}
    return dict(augmentation, source=source.layer_keys, target=target.layer_keys,
                source_images=experiment.batch, crop=list(experiment.crop), mirror=True,
                source_resize=source.resize, target_resize=target.resize,
                mean=list(experiment.mean), seed=1, workers=1)


def nets(experiment):
    """{file name: NetParameter} of an experiment: four train nets and the deploy net."""
    loss, categories = experiment.domain_loss, experiment.category_loss
    domain = dict(objective=loss.objective, weight=loss.weight, lr_mult=loss.classifier_lr,
                  steps=loss.classifier_steps, normalised=loss.normalised)
    categories = dict(loss_weight=categories.mil_weight, statistics=categories.statistics,
                      slack=categories.slack, presence_factor=categories.presence_factor,
                      down_weight_threshold=0.1, down_weight_factor=categories.down_weight,
                      bounds=categories.bounds)
    terms = dict(source={}, ga=dict(domain=domain), ca=dict(categories=categories),
                 ga_ca=dict(domain=domain, categories=categories))
    built = {f"{stage}.prototxt": train_net(
        experiment.shape, experiment.classes, data_keys(experiment),
        target_images=experiment.batch if losses else 0, **losses)
        for stage, losses in terms.items()}
    built["deploy.prototxt"] = deploy_net(
        experiment.shape, experiment.classes, experiment.mean, experiment.crop)
    for file_name, net in built.items():
        net.name = f"{experiment.name}_{_stage(file_name)}"
    return built


def released_nets():
    """{path below models/: NetParameter} of released models that no experiment trains."""
    net = context_deploy_net(FULL, 19, CITYSCAPES_MEAN, (256, 256))
    net.name = "context19_deploy"
    return {"context19/deploy.prototxt": net}


def _text(experiment, file_name, net):
    """A net's file: header, the reasons of the domain loss where it is in the net, the net."""
    why = experiment.domain_loss.why if _stage(file_name) in DOMAIN_STAGES else ()
    return "".join([header("models/build.py", FILES[experiment.name]),
                    *[f"# {line}\n" for line in why], prototxt(net)])


def _stage(file_name):
    return file_name[:-len(".prototxt")]


def _is_own(experiment, file_name):
    """Whether no other experiment trains with this net; every experiment has its deploy net."""
    return _stage(file_name) in ("deploy", *experiment.own_stages)


def generated_files():
    """{path relative to the repository: text} of every net."""
    files = {f"models/{experiment.name}/{file_name}": _text(experiment, file_name, net)
             for experiment in EXPERIMENTS.values()
             for file_name, net in nets(experiment).items() if _is_own(experiment, file_name)}
    files.update({f"models/{path}": header("models/build.py") + prototxt(net)
                  for path, net in released_nets().items()})
    return files


if __name__ == "__main__":
    build_command(__doc__, generated_files())
