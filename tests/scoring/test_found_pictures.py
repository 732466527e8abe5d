"""figure.py and constraint_report.py on odd folders, and on nets with several outputs."""
import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

from data.errors import InputError
from models.adaptation import deploy_net
from models.shapes import SLIM
from tools.lib.categories import constraint_report_command
from tools.lib.scoring import figure_command, score_command

from data_files import random_image, write_image

STATISTICS = os.path.join("data", "statistics", "gta5_half.json")
SECOND = """layer { name: "edges" type: "Convolution" bottom: "final" top: "edges"
        convolution_param { num_output: %d kernel_size: 1 weight_filler { type: "xavier" } } }
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """(deploy prototxt, caffemodel) of a net of 19 classes that differ from pixel to pixel."""
    folder = tmp_path_factory.mktemp("net")
    shape = SLIM._replace(channels=(3, 3, 3, 3, 3), fc=3)
    model = folder / "deploy.prototxt"
    model.write_text(str(deploy_net(shape, 19, (99, 99, 99), (32, 32))))
    caffe.set_random_seed(1)
    built = caffe.Net(str(model), caffe.TEST)
    built.params["final"][0].data[...] *= 1000
    built.save(str(folder / "net.caffemodel"))
    return str(model), str(folder / "net.caffemodel")


@pytest.fixture
def roots(tmp_path):
    """(plain, odd): two roots of one GTA5; odd: by links, with a turned and hidden files."""
    for place in ("plain/gta5/images", "disk/images"):
        for number in (1, 2):
            write_image(str(tmp_path / place / f"0000{number}.png"),
                        random_image(number, 40, 56 + 8 * number))
    (tmp_path / "odd" / "gta5").mkdir(parents=True)
    (tmp_path / "odd" / "gta5" / "images").symlink_to(tmp_path / "disk" / "images")
    images = tmp_path / "disk" / "images"
    turned = cv2.imread(str(images / "00001.png"))[:, :, ::-1]
    exif = Image.Exif()
    exif[274] = 8
    Image.fromarray(np.rot90(turned, -1)).save(str(images / "00001.png"), exif=exif)
    os.rename(str(images / "00002.png"), str(tmp_path / "disk" / "2.png"))
    (images / "00002.png").symlink_to(tmp_path / "disk" / "2.png")
    (images / "._00001.png").write_bytes(b"of macOS")
    (images / "00003.webp").write_bytes(b"RIFF")
    return str(tmp_path / "plain"), str(tmp_path / "odd")


def figure(net, root, output, *more):
    figure_command.main(["--model", net[0], "--weights", net[1], "--names", "net",
                         "--dataset", "gta5", "--data-root", root, "--split", "all",
                         "--frames", "0,1", "--no-truth", "--output", str(output), *more])
    return cv2.imread(str(output))


def report(net, root, output, repo_root, *more):
    """The lines of the report's tables."""
    constraint_report_command.main([
        "--model", net[0], "--weights", net[1], "--names", "net", "--dataset", "gta5",
        "--data-root", root, "--split", "all", "--statistics", os.path.join(repo_root, STATISTICS),
        "--output", str(output), *more])
    return (output / "report.md").read_text().splitlines()[1:]


def test_a_figure_of_turned_and_linked_pictures_is_that_of_upright_files(
        net, roots, tmp_path, capfd):
    plain, odd = (figure(net, root, tmp_path / f"{number}.png")
                  for number, root in enumerate(roots))
    assert plain.shape == odd.shape and (plain == odd).all()
    assert "1 WebP picture (only PNG and JPEG are read); 1 hidden file" in capfd.readouterr().err


def test_a_constraint_report_of_turned_and_linked_pictures_is_that_of_upright_files(
        net, roots, tmp_path, repo_root):
    plain, odd = (report(net, root, tmp_path / str(number), repo_root)
                  for number, root in enumerate(roots))
    assert plain == odd and len({line.split("|")[3] for line in plain if line[:2] == "| "}) > 1


def two_heads(net, folder, channels):
    """The net with a second output of that many channels."""
    model = str(folder / "two.prototxt")
    with open(net[0]) as file, open(model, "w") as two:
        two.write(file.read() + SECOND % channels)
    caffe.set_random_seed(2)
    built = caffe.Net(model, caffe.TEST)
    built.copy_from(net[1])
    built.params["edges"][0].data[...] *= 1000
    built.save(str(folder / "two.caffemodel"))
    return model, str(folder / "two.caffemodel")


@pytest.mark.parametrize("command", (figure, report))
def test_several_outputs_are_listed_and_one_is_chosen(net, roots, tmp_path, command, repo_root):
    more = () if command is figure else (repo_root,)
    two, ending = two_heads(net, tmp_path, 19), ".png" if command is figure else ""
    with pytest.raises(InputError, match=r"has the outputs score \(19 channels\), edges \(19 "
                                         r"channels\); one is expected\n.*--score-blob NAME"):
        command(two, roots[0], tmp_path / ("none" + ending), *more)
    one = command(net, roots[0], tmp_path / ("one" + ending), *more)
    same = command(two, roots[0], tmp_path / ("two" + ending), *more, "--score-blob", "score")
    other = command(two, roots[0], tmp_path / ("other" + ending), *more, "--score-blob", "edges")
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@pytest.mark.parametrize("chosen", (None, "score"))
def test_the_result_file_names_the_chosen_output(net, roots, tmp_path, chosen):
    write_image(roots[0] + "/gta5/labels/00001.png", np.full((40, 64), 7, np.uint8))
    write_image(roots[0] + "/gta5/labels/00002.png", np.full((40, 72), 7, np.uint8))
    files = net if chosen is None else two_heads(net, tmp_path, 2)
    score_command.main(["--model", files[0], "--weights", files[1], "--dataset", "gta5",
                        "--data-root", roots[0], "--split", "all",
                        "--json", str(tmp_path / "a.json")]
                       + (["--score-blob", chosen] if chosen else []))
    result, = json.loads((tmp_path / "a.json").read_text())["results"]
    assert result["score_blob"] == chosen and result["images"] == 2
