"""The constraint report: predicted class sizes against the source's, without a label."""
import os

import cv2
import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

from data.errors import InputError  # noqa: E402
from data.label_spaces import LabelSpace  # noqa: E402
from data.label_statistics import summarise  # noqa: E402
from models.adaptation import deploy_net  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from tools.lib.categories import constraint_report_command  # noqa: E402
from tools.lib.categories.constraint_report_command import (  # noqa: E402
    report_table,
    summarise_prediction,
    verdict,
)

SPACE = LabelSpace("made", ("a", "b", "c"), np.zeros((3, 3), np.uint8))
STATISTICS = summarise([np.array([0.2, 0.4]), np.array([0.8, 0.6]), np.array([])], 2, "made",
                       "train", SPACE)


def test_sizes_count_where_the_class_is_predicted_present():
    # alpha of a is 0.22: present above 0.11. c never occurs in the source: never present.
    shares = np.array([[0.1, 0.9, 0.0], [0.12, 0.8, 0.08], [0.5, 0.2, 0.3]])
    predicted = summarise_prediction(shares, STATISTICS, presence_factor=0.5)
    assert predicted.images == 3 and predicted.present.tolist() == [2, 2, 0]
    assert predicted.low[0] == pytest.approx(0.12 + 0.1 * 0.38)
    assert predicted.mean[0] == pytest.approx(0.31)
    assert predicted.high[0] == pytest.approx(0.12 + 0.9 * 0.38)
    assert np.isnan([predicted.low[2], predicted.mean[2], predicted.high[2]]).all()


def test_table_by_hand():
    shares = np.array([[0.1, 0.9, 0.0], [0.12, 0.8, 0.08], [0.5, 0.2, 0.3]])
    table = report_table(summarise_prediction(shares, STATISTICS, 0.5), STATISTICS, "title")
    assert table.rows[0] == ["a", "100", "22", "30", "38", "66.7", "15.8", "31", "46.2", "within"]
    assert table.rows[2] == ["c", "0", "-", "-", "-", "0", "-", "-", "-", ""]


@pytest.mark.parametrize("mean, words", [
    (0.1, "too small"), (0.2, "within"), (0.4, "within"), (0.41, "too large"),
    (np.nan, "never there")])
def test_verdict(mean, words):
    assert verdict(mean, 0.2, 0.4) == words
    assert verdict(mean, np.nan, np.nan) == ""


@pytest.fixture(scope="module")
def unlabelled_gta5(tmp_path_factory):
    """A GTA5 folder without labels, and a 19-class net that predicts class 5 everywhere."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "gta5" / "images").mkdir(parents=True)
    for number in range(2):
        cv2.imwrite(str(folder / "gta5" / "images" / f"{number}.png"),
                    np.full((32, 48, 3), 99, np.uint8))
    shape = SLIM._replace(channels=(2, 2, 2, 2, 2), fc=2)
    (folder / "deploy.prototxt").write_text(str(deploy_net(shape, 19, (0, 0, 0), (32, 32))))
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    net.params["final"][0].data[...] = 0
    net.params["final"][1].data[...] = np.arange(19) == 5
    net.save(str(folder / "net.caffemodel"))
    return folder


def arguments(folder, *more):
    return ["--model", str(folder / "deploy.prototxt"),
            "--weights", str(folder / "net.caffemodel"), "--dataset", "gta5",
            "--data-root", str(folder), "--split", "all", *more]


def test_report_without_any_label(unlabelled_gta5, repo_root, capsys):
    statistics = os.path.join(repo_root, "data", "statistics", "gta5_half.json")
    output = unlabelled_gta5 / "out"
    options = arguments(unlabelled_gta5, "--names", "source only", "--statistics", statistics,
                        "--output", str(output))
    constraint_report_command.main(options)
    printed = capsys.readouterr().out
    pole = next(line for line in printed.splitlines() if line.startswith("pole"))
    assert pole.split()[-6:] == ["100", "100", "100", "100", "too", "large"]
    assert sum("too large" in line for line in printed.splitlines()) == 1
    page = (output / "report.md").read_text()
    assert "| pole |" in page and "over whole labels; of the prediction" in page
    assert page.startswith("Written by `python3 tools/constraint_report.py --model ")
    assert "--names 'source only' --statistics" in page.splitlines()[0]
    assert cv2.imread(str(output / "report.png")).std() > 0
    with pytest.raises(InputError, match="not an empty folder"):
        constraint_report_command.main(options)


def test_statistics_of_another_number_of_classes_are_refused(unlabelled_gta5, repo_root):
    statistics = os.path.join(repo_root, "data", "statistics", "toy.json")
    with pytest.raises(InputError, match="gives 19 classes, but .*toy.json has 8"):
        constraint_report_command.main(arguments(unlabelled_gta5, "--statistics", statistics))
