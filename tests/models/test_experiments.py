"""The experiments: found in their folder, whole, and refused where they cannot run."""
from dataclasses import replace

import pytest

import models.experiments
from data.errors import InputError
from models.experiments.fields import STAGES, DataSide
from models.experiments.toy import TOY, TOY_CONFUSION
from solvers.build import generated_files, initial_weights, last_snapshot

MINE = """
from dataclasses import replace
from models.experiments.toy import TOY
EXPERIMENTS = (replace(TOY, name="%s"),)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose modules count as modules of models/experiments/."""
    monkeypatch.setattr(models.experiments, "__path__",
                        list(models.experiments.__path__) + [str(tmp_path)])
    return tmp_path


def test_a_module_beside_the_others_is_found_by_itself(folder):
    (folder / "my_streets.py").write_text(MINE % "my_streets")
    experiments, files = models.experiments.find_experiments()
    assert experiments["my_streets"] == replace(TOY, name="my_streets")
    assert files["my_streets"] == "models/experiments/my_streets.py"
    assert set(experiments) == set(models.experiments.EXPERIMENTS) | {"my_streets"}


def test_a_copy_that_keeps_its_name_is_refused_with_both_files(folder):
    (folder / "my_toy.py").write_text(MINE % "toy")
    with pytest.raises(InputError, match="name toy: in .*/toy.py and in .*/my_toy.py"):
        models.experiments.find_experiments()


def test_every_stage_needs_a_schedule():
    with pytest.raises(InputError, match="mine: schedules of source; expected source, control"):
        replace(TOY, name="mine", schedules={"source": TOY.schedules["source"]})


@pytest.mark.parametrize("stage, start", [("ga", "ga"), ("control", "ga_ca")])
def test_a_stage_cannot_start_from_itself_or_a_later_one(stage, start):
    late = dict(TOY.schedules, **{stage: replace(TOY.schedules[stage], start=start)})
    with pytest.raises(InputError, match=f"stage {stage} starts from {start}"):
        replace(TOY, schedules=late)


def test_stages_that_are_alike_are_those_of_the_experiment_that_is_shared():
    assert last_snapshot(TOY_CONFUSION, "control") == last_snapshot(TOY, "control")
    assert last_snapshot(TOY_CONFUSION, "ga").startswith("runs/toy_confusion_ga/")
    assert initial_weights(TOY_CONFUSION, "ga_ca") == initial_weights(TOY, "ga_ca")
    solvers = [path for path in generated_files() if path.startswith("solvers/toy_confusion_")
               and "normalised" not in path and "steps" not in path]
    assert solvers == ["solvers/toy_confusion_ga.prototxt", "solvers/toy_confusion_ga_ca.prototxt"]


@pytest.mark.parametrize("changes", [
    dict(batch=3), dict(shape=TOY.shape._replace(fc=32)),
    dict(schedules=dict(TOY.schedules, source=replace(TOY.schedules["source"], base_lr=0.1)))])
def test_an_experiment_with_another_source_stage_shares_none(changes):
    with pytest.raises(InputError, match="mine shares the stages of toy, but trains the source"):
        replace(TOY, name="mine", shares=TOY, **changes)


@pytest.mark.parametrize("changes, own", [
    (dict(shape=TOY.shape._replace(hidden=(16,))), ("ga", "ga_ca")),
    (dict(domain_loss=replace(TOY.domain_loss, weight=0.7)), ("ga", "ga_ca")),
    (dict(category_loss=replace(TOY.category_loss, slack=0.7)), ("ca", "ga_ca")),
    (dict(target=replace(TOY.target, split="target_val")), ("ga", "ca", "ga_ca")),
    (dict(schedules=dict(TOY.schedules, ca=TOY.schedules["source"])), ("ca",)),
    (dict(schedules=dict(TOY.schedules, control=replace(TOY.schedules["control"], max_iter=9),
                         ga=replace(TOY.schedules["ga"], start="control"))), ("control", "ga"))])
def test_an_experiment_trains_the_stages_that_its_changes_reach(changes, own):
    mine = replace(TOY, name="mine", shares=TOY, **changes)
    assert mine.own_stages == own
    assert all(mine.trainer(stage) is (mine if stage in own else TOY) for stage in STAGES)


def test_a_side_names_its_data_set_as_the_commands_and_the_data_layer_take_it():
    side = DataSide("synthia_seqs", "train", options={"view": "Omni_B", "season": "fall"})
    assert side.argument == "synthia_seqs:season=fall,view=Omni_B"
    assert side.layer_keys == {"dataset": "synthia_seqs", "split": "train",
                               "options": {"view": "Omni_B", "season": "fall"}}
    assert DataSide("toy", "source_train").layer_keys == {"dataset": "toy",
                                                          "split": "source_train"}


def test_a_stage_starts_where_the_stage_before_ends():
    assert initial_weights(TOY, "source") == (None, None)
    weights, command = initial_weights(TOY, "ga")
    assert weights == "runs/toy_source/toy_source_iter_1500.caffemodel"
    assert weights == last_snapshot(TOY, "source")
    assert command == "python3 tools/train.py --solver solvers/toy_source.prototxt"
    assert last_snapshot(TOY, "ga", "elsewhere") == "elsewhere/toy_ga_iter_600.caffemodel"
