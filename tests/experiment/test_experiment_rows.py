"""Every row of the paper's tables, from statistics to score, on tiny files and a narrow net."""
import json
from dataclasses import replace

import numpy as np
import pytest

caffe = pytest.importorskip("caffe")

from models.build import nets  # noqa: E402
from models.experiments import EXPERIMENTS, NET_OF_STAGE  # noqa: E402
from models.experiments.fields import DataSide  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from solvers.build import solver_text  # noqa: E402
from tools.lib.categories import statistics_command  # noqa: E402
from tools.lib.experiment.preconditions import missing_data  # noqa: E402
from tools.lib.scoring import score_command  # noqa: E402

from data_files import (  # noqa: E402
    random_image,
    write_image,
    write_lines,
    write_palette,
    write_seasons,
    write_synthia,
)
from tiny_training import entries, train  # noqa: E402

NARROW = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6, hidden=(4, 4))
HEIGHT, WIDTH = 40, 48
STAGES = ("source", "ga", "ga_ca")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with a few frames of every data set of the paper."""
    root = str(tmp_path_factory.mktemp("data"))
    ids = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    write_lines(root + "/gta5/train.txt", ["00001", "00002"])
    for number in (1, 2):
        image = random_image(number, HEIGHT, WIDTH)
        write_image(f"{root}/gta5/images/{number:05d}.png", image)
        write_palette(f"{root}/gta5/labels/{number:05d}.png", ids % 35)
        write_image(f"{root}/synthia_rand/RGB/{number:07d}.png", image)
        write_synthia(f"{root}/synthia_rand/GT/LABELS/{number:07d}.png", ids % 23)
        for split in ("train", "val"):
            stem = f"{root}/cityscapes/%s/{split}/ulm/ulm_00000{number}_000019"
            write_image(stem % "leftImg8bit" + "_leftImg8bit.png", image)
            write_image(stem % "gtFine" + "_gtFine_labelIds.png", ids % 34)
            write_image(f"{root}/bdds/seg/images/{split}/{number}.jpg", image)
            write_image(f"{root}/bdds/seg/labels/{split}/{number}_train_id.png", ids % 19)
    # not summer, which is the default
    write_seasons(root, "fall", "winter", height=HEIGHT, width=WIDTH)
    return root


def run_row(experiment, root, folder):
    """Counts statistics, trains each stage for two iterations, scores; returns the record."""
    statistics = str(folder / "statistics.json")
    data = ["--data-root", root, "--label-space", experiment.label_space]
    statistics_command.main([
        "--dataset", experiment.source.argument, "--split", experiment.source.split, "--workers",
        "1", "--output", statistics
    ] + data)
    categories = replace(experiment.category_loss, statistics=statistics)
    experiment = replace(experiment, shape=NARROW, crop=(32, 40), category_loss=categories)
    for name, net in nets(experiment).items():
        (folder / name).write_text(str(net))
    weights = []
    for stage in STAGES:
        schedule = replace(experiment.schedules[stage], max_iter=2, iter_size=1, display=1,
                           snapshot=2)
        solver = folder / (f"{stage}_solver.prototxt")
        solver.write_text(
            solver_text(stage, str(folder / (NET_OF_STAGE[stage] + ".prototxt")), schedule,
                        "runs/row"))
        output = folder / stage
        assert train(solver, output, "--data-root", root, *weights) == 0
        weights = ["--weights", str(output / (f"{stage}_iter_2.caffemodel"))]
    dataset, split = experiment.tests[-1]
    result = folder / "test.json"
    score_command.main([
        "--model",
        str(folder / "deploy.prototxt"), "--dataset", dataset, "--split", split, "--json",
        str(result)
    ] + weights + data)
    return json.loads(result.read_text())["results"][0]


@pytest.mark.parametrize("name", ["gta", "synthia", "season_winter_fall", "cityscapes", "bdds"])
def test_a_row_of_the_paper_runs_from_the_statistics_to_the_score(name, root, tmp_path):
    experiment = EXPERIMENTS[name]
    assert missing_data(experiment, STAGES, root) == []
    record = run_row(experiment, root, tmp_path)
    assert (record["dataset"], record["split"]
            ) == experiment.tests[-1] and record["label_space"] == experiment.label_space
    assert sum(record["support"]) > 0 and len(record["iou"]) == experiment.classes
    steps = entries(tmp_path / "ga_ca", "train")
    assert steps[-1]["iteration"] == 2
    assert all(
        np.isfinite(step["values"][loss]) for step in steps
        for loss in ("seg_loss", "domain_loss", "mil_loss"))


def test_a_season_runs_on_a_real_frame_with_its_16_bit_label(shared_real, tmp_path):
    spring = DataSide("synthia_seqs", "all", resize=0.1, options={"season": "spring"})
    season = replace(EXPERIMENTS["season_summer_fall"], source=spring, target=spring,
                     tests=((spring.argument, "all"),))
    record = run_row(season, shared_real, tmp_path)
    assert record["images"] == 1 and record["support"][record["classes"].index("road")] > 100000
