"""The commands as a user calls them: exit codes, files, pictures."""
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from data.errors import InputError
from data.files import write_aside
from data.label_spaces import CITYSCAPES, TOY
from data.registry import open_dataset
from data.toy_export import export_toy
from tools.lib.device_options import TF32_VARIABLE
from tools.lib.runtime import source_builds
from tools.lib.scoring import figure_command, net_options, predict_command, score_command
from tools.lib.scoring.pictures import Painter, colour, legend_strip, overlay, write_grid

from data_files import write_lines

caffe = pytest.importorskip("caffe")

from models.adaptation import deploy_net  # noqa: E402
from models.shapes import SLIM  # noqa: E402
from tools.lib.scoring import predictor  # noqa: E402


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """(model, weights, other weights) of a tiny net over the toy's eight classes."""
    folder = tmp_path_factory.mktemp("net")
    shape = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6)
    model = folder / "deploy.prototxt"
    model.write_text(str(deploy_net(shape, 8, (128, 128, 128), (32, 32))))
    paths = [str(model)]
    for seed in (1, 2):
        caffe.set_random_seed(seed)
        built = caffe.Net(str(model), caffe.TEST)
        built.layers[list(built._layer_names).index("final")].blobs[0].data[...] *= 1000
        paths.append(str(folder / (f"net_{seed}.caffemodel")))
        built.save(paths[-1])
    return paths


def score(net, *more):
    return score_command.main(["--model", net[0], "--weights", net[1], "--dataset", "toy",
                               "--split", "target_val[:3]"] + list(more))


def test_saved_predictions_score_like_the_net_that_made_them(net, tmp_path, capsys):
    folder, first, second = (str(tmp_path / name) for name in ("maps", "a.json", "b.json"))
    score(net, "--save-predictions", folder, "--json", first)
    score_command.main(["--predictions", folder, "--dataset", "toy", "--split", "target_val[:3]",
                        "--json", second])
    one, two = [json.load(open(path))["results"][0] for path in (first, second)]
    assert one["confusion"] == two["confusion"] and one["images"] == 3
    assert sum(map(sum, one["confusion"])) > 0
    assert one["weights"] == net[1] and one["classes"] == list(TOY.classes)
    assert "mIoU-8" in capsys.readouterr().out


def test_frames_of_one_file_name_in_two_folders_keep_their_own_predictions(net, tmp_path):
    mine, maps, colours, first, second = (
        str(tmp_path / name) for name in ("mine", "maps", "colours", "a.json", "b.json"))
    export_toy(mine, ["source_val[:1]", "target_val[:1]"])
    for kind in ("images", "labels"):
        with open(f"{mine}/both_{kind}.txt", "w") as file:
            file.writelines(f"{kind}/{split}/0000.png\n" for split in ("source_val", "target_val"))
    chosen = ["--dataset", "folder:path=" + mine, "--split", "both"]
    score_command.main(["--model", net[0], "--weights", net[1], "--save-predictions", maps,
                        "--save-colours", colours, "--json", first] + chosen)
    score_command.main(["--predictions", maps, "--json", second] + chosen)
    one, two = [json.load(open(path))["results"][0]["confusion"] for path in (first, second)]
    assert one == two and sum(map(sum, one)) > 0
    for folder in (tmp_path / "maps", tmp_path / "colours"):
        assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png")) == [
            "images/source_val/0000.png", "images/target_val/0000.png"]


def test_several_weights_make_one_table_in_the_format_of_the_output_file(net, tmp_path, capsys):
    output = tmp_path / "table.md"
    score_command.main(["--model", net[0], "--weights", net[1], net[2], "--dataset", "toy",
                        "--split", "target_val[:2]", "--output", str(output)])
    text = output.read_text()
    assert "| IoU % | net_1 | net_2 |" in text and capsys.readouterr().out == text


def test_colours_are_kept_a_folder_a_model(net, tmp_path):
    score(net, "--save-colours", str(tmp_path / "colours"))
    picture = cv2.imread(str(tmp_path / "colours" / "target_val" / "0000.png"))
    known = {tuple(rgb[::-1]) for rgb in TOY.palette}
    assert {tuple(pixel) for pixel in np.unique(picture.reshape(-1, 3), axis=0)} <= known


@pytest.mark.parametrize("names", ([], ["../../esc", "/b/../c"]))
def test_several_models_are_kept_inside_the_folder_whatever_their_titles(net, tmp_path, names):
    weights = [str(tmp_path / folder / "x.caffemodel") for folder in ("in_a", "in_b")]
    for place, source in zip(weights, net[1:]):
        os.makedirs(os.path.dirname(place))
        shutil.copy(source, place)
    deep = tmp_path / "deep"
    score_command.main(["--model", net[0], "--weights", *weights, "--dataset", "toy",
                        "--split", "target_val[:1]", "--save-predictions", str(deep / "maps"),
                        "--save-colours", str(deep / "colours"),
                        *(["--names"] + names if names else [])])
    title = str(tmp_path).strip("/").replace("/", "_")
    inside = ["esc", "b_c"] if names else [f"{title}_in_a_x", f"{title}_in_b_x"]
    assert sorted(os.listdir(str(tmp_path))) == ["deep", "in_a", "in_b"]
    written = sorted(str(path.relative_to(deep)) for path in deep.rglob("*.png"))
    assert written == sorted(f"{kind}/{name}/target_val/0000.png"
                             for kind in ("maps", "colours") for name in inside)


@pytest.mark.parametrize("one, two, folder", [
    ("a/b", "a_b", "a_b"), ("x", "../x", "x"), ("..", ".", "_")])
def test_titles_that_would_share_a_folder_are_refused_before_anything_is_opened(
        tmp_path, one, two, folder):
    message = f"--save-colours: '{one}' and '{two}' would both be saved in .*/{folder}\n.*--names"
    with pytest.raises(InputError, match=message):
        score_command.main(["--model", "gone", "--weights", "gone", "gone too", "--names", one, two,
                            "--dataset", "gone", "--split", "gone",
                            "--save-colours", str(tmp_path)])


def test_predictions_of_two_runs_do_not_mix(net, tmp_path):
    (tmp_path / "old.png").write_bytes(b"")
    with pytest.raises(InputError, match="not an empty folder"):
        score(net, "--save-predictions", str(tmp_path))


@pytest.mark.parametrize("arguments, message", [
    (["--weights", "gone.caffemodel"], "gone.caffemodel: no such file"),
    (["--dataset", "camvid"], "camvid"),
    (["--split", "nowhere"], "no split"),
    (["--label-space", "camvid"], "label space"),
    (["--model", "models/gta_camvid/deploy.prototxt"], "does not fit|no weights|no layer"),
    (["--output", "table.doc"], "table.doc"),
    (["--save-predictions", "maps", "--ids", "dataset"], "toy has no ids of its own"),
])
def test_bad_input_is_named(net, arguments, message, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=message):
        score(net, *arguments)


def test_net_with_other_classes_than_the_data_set_is_refused(net, tmp_path):
    model, weights = tmp_path / "other.prototxt", str(tmp_path / "other.caffemodel")
    shape = SLIM._replace(channels=(2, 2, 4, 4, 4), fc=6)
    model.write_text(str(deploy_net(shape, 5, (0, 0, 0), (32, 32))))
    caffe.Net(str(model), caffe.TEST).save(weights)
    with pytest.raises(InputError, match="gives 5 classes, but toy in label space toy has 8"):
        score([str(model), weights])


@pytest.mark.parametrize("arguments", [
    [],
    ["--weights", "a"],
    ["--weights", "a", "--predictions", "b"],
    ["--resize", "0"],
    ["--resize", "nan"],
    ["--mean", "1", "2", "nan"],
    ["--model", "m", "--weights", "a", "--memory", "inf"],
    ["--device", "tpu"],
    ["--model", "m", "--weights", "a", "b", "--names", "x"],
    ["--model", "m", "--weights", "a", "b", "--names", "x", "x"],
    ["--predictions", "p", "--save-predictions", "q"],
])
def test_wrong_options_end_with_exit_code_2(arguments):
    with pytest.raises(SystemExit) as ended:
        score_command.main(["--dataset", "toy", "--split", "target_val"] + arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("factor", ("0.01", "16"))
def test_images_are_resized_as_far_as_the_data_layer_resizes_them(factor):
    from layers.source_target_data import OPTIONAL
    given = score_command.parse(["--dataset", "toy", "--split", "s", "--predictions", "p",
                                 "--resize", factor]).resize
    fields = [OPTIONAL[key][0] for key in ("source_resize", "target_resize")]
    assert given == float(factor) and all(field.accepts(given) for field in fields)
    assert not any(field.accepts(given * 1.01) and field.accepts(given / 1.01) for field in fields)


def test_a_command_prints_one_line_and_ends_with_2(repo_root, net):
    done = subprocess.run(
        [sys.executable, os.path.join(repo_root, "tools", "test.py"), "--model", net[0],
         "--weights", "gone.caffemodel", "--dataset", "toy", "--split", "target_val"],
        capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: gone.caffemodel: no such file\n"


def test_names_of_weights_in_equally_named_files_keep_their_folders():
    assert net_options.titles(["a/x.caffemodel", "b/y.caffemodel"]) == ["x", "y"]
    assert net_options.titles(["a/x.caffemodel", "b/x.caffemodel"]) == ["a/x", "b/x"]


def test_most_changed_frames_come_first(net, tmp_path, capsys):
    output = tmp_path / "figure.png"
    arguments = ["--model", net[0], "--weights", net[1], net[2], "--dataset", "toy",
                 "--split", "target_val[:5]", "--most-changed", "2", "--output", str(output)]
    figure_command.main(arguments)
    listed = [line.split() for line in capsys.readouterr().out.splitlines()[:2]]
    options, toy, changes = figure_command.parse(arguments), open_dataset("toy"), {}
    predictors = [net_options.make_predictor(options, weights) for weights in net[1:]]
    for frame in toy.frames("target_val[:5]"):
        before, after = (predictor.predict(toy.read_image(frame)) for predictor in predictors)
        changes[frame.name] = np.mean(before != after)
    best = sorted(changes, key=changes.get, reverse=True)[:2]
    assert [words[0] for words in listed] == best
    assert listed[0][1] == f"{100 * changes[best[0]]:.1f}%"
    height, width = cv2.imread(str(output)).shape[:2]
    assert width > 4 * 300 and height > 300  # four columns, two rows


def test_frames_are_chosen_by_name_or_number():
    frames = open_dataset("toy").frames("target_val[:4]")
    chosen = figure_command.choose(frames, "2,target_val/0000", "target_val")
    assert chosen == [frames[2], frames[0]]
    for wrong in ("7", "-1", "1.0", "", "\u00b2", "1\u00b2"):
        with pytest.raises(InputError, match=f"--frames: '{wrong}' is neither a name in target_val "
                                             "nor a number below 4"):
            figure_command.choose(frames, wrong, "target_val")


def test_figure_without_truth_opens_no_label(net, tmp_path, monkeypatch):
    from data.dataset import DataSet

    def refuse(self, frame):
        raise AssertionError("a label was opened")
    monkeypatch.setattr(DataSet, "read_label", refuse)
    figure_command.main(["--model", net[0], "--weights", net[1], "--dataset", "toy",
                         "--split", "target_val", "--frames", "0", "--no-truth",
                         "--output", str(tmp_path / "f.png")])


@pytest.mark.parametrize("chosen", (["--frames", "0"], ["--most-changed", "1"]))
@pytest.mark.parametrize("labels", ("none", "lost"))
def test_figure_of_frames_without_labels_names_no_truth_before_it_predicts(
        net, tmp_path, monkeypatch, chosen, labels):
    export_toy(str(tmp_path / "mine"), ["target_val[:2]"])
    if labels == "none":
        os.remove(str(tmp_path / "mine" / "target_val_labels.txt"))
    else:
        shutil.rmtree(str(tmp_path / "mine" / "labels"))
    monkeypatch.setattr(figure_command, "make_predictor",
                        lambda *ignored: pytest.fail("a net was made"))
    with pytest.raises(InputError, match="target_val_images.txt:1: .*0000(.png: no such file| has "
                                         "no label)\n.*--no-truth"):
        figure_command.main(["--model", net[0], "--weights", net[1], net[2],
                             "--dataset", "folder:path=mine", "--data-root", str(tmp_path),
                             "--split", "target_val", "--output", str(tmp_path / "f.png")] + chosen)


@pytest.fixture
def on_gpu(monkeypatch):
    """Takes --device gpu:N and stays on the CPU; [(number of the GPU, CAFFE_TF32 then)]."""
    used = []
    monkeypatch.setenv(TF32_VARIABLE, "0")      # put back after the test
    monkeypatch.setattr(predictor, "use_device",
                        lambda gpu, name: used.append((gpu, os.environ[TF32_VARIABLE])))
    monkeypatch.setattr(source_builds, "has_patch", lambda name: True)
    return used


def scored(net, path, *more):
    score(net, "--json", str(path), *more)
    return json.loads(path.read_text())["results"][0]


def test_scores_have_the_device_and_the_precision_they_were_computed_in(net, tmp_path, on_gpu,
                                                                        monkeypatch):
    found = scored(net, tmp_path / "a.json", "--device", "gpu:1", "--tf32")
    assert (found["device"], found["tf32"]) == ("gpu:1", True) and on_gpu == [(1, "1")]
    found = scored(net, tmp_path / "b.json", "--device", "gpu:0")
    # the first command has left the variable set
    assert found["tf32"] and on_gpu[1:] == [(0, "1")]
    monkeypatch.setenv(TF32_VARIABLE, "0")
    assert not scored(net, tmp_path / "c.json", "--device", "gpu:0")["tf32"]
    assert on_gpu[2:] == [(0, "0")]
    found = scored(net, tmp_path / "d.json")
    assert (found["device"], found["tf32"]) == ("cpu", False)


def test_tf32_is_refused_on_the_cpu_and_by_a_caffe_without_it(net, tmp_path, on_gpu, monkeypatch):
    with pytest.raises(InputError, match="--tf32 is a way to compute on a GPU"):
        score(net, "--tf32")
    monkeypatch.setattr(source_builds, "has_patch", lambda name: False)
    with pytest.raises(InputError, match="no such option"):
        score(net, "--device", "gpu:0", "--tf32")
    assert on_gpu == []


def predict(net, inputs, output, *more):
    return predict_command.main([str(path) for path in inputs]
                                + ["--model", net[0], "--weights", net[1], "--label-space", "toy",
                                   "--output", str(output)] + list(more))


@pytest.fixture
def pictures(tmp_path):
    """A folder with two images, one of them in a folder inside, and a video of five frames."""
    folder = tmp_path / "in"
    (folder / "inside").mkdir(parents=True)
    image = np.random.RandomState(0).randint(0, 256, (45, 64, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "a.png"), image)
    cv2.imwrite(str(folder / "inside" / "b.jpg"), image)
    writer = cv2.VideoWriter(str(folder / "v.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(5):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    return folder


def test_images_folders_and_videos_are_labelled(net, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    predict(net, [pictures, pictures / "v.mp4"], out)
    assert "left out" not in capsys.readouterr().err
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert written == ["a.png", "inside/b.png", "v.mp4"]
    height, width = cv2.imread(str(out / "a.png")).shape[:2]
    assert width == 64 and height > 45
    video = cv2.VideoCapture(str(out / "v.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 5 and video.get(cv2.CAP_PROP_FPS) == 10


@pytest.mark.parametrize("place", ("mine", "mine/classes.txt"))
def test_a_users_own_classes_give_the_colours(net, pictures, tmp_path, place):
    classes = [f"{number},{100 + number} thing {number} {200 + number} 1 2" for number in range(8)]
    write_lines(str(tmp_path / "mine" / "classes.txt"), classes + ["255 ignored"])
    for space, out, kind in ((tmp_path / place, "own", "colour"), ("toy", "labels", "labels")):
        predict(net, [pictures / "a.png"], tmp_path / out, "--kind", kind, "--no-legend",
                "--label-space", str(space))
    own, labels = (cv2.imread(str(tmp_path / out / "a.png"), cv2.IMREAD_UNCHANGED)
                   for out in ("own", "labels"))
    assert (own == np.dstack([labels * 0 + 2, labels * 0 + 1, labels + 200])).all()
    assert len(np.unique(labels)) > 1


@pytest.mark.parametrize("lines, place, message", [
    (["0 road 1 2 3"], "gone", "--label-space .*gone: expected one of camvid, cityscapes, "
                               ".*classes.txt\n.*data/README.md"),
    ([], "mine", "classes.txt: empty"),
    (["0 road"], "mine/classes.txt", "classes.txt:1: '0 road'; expected"),
    (["0 road 1 2 3"], ".", "classes.txt: no such"),
    (["0 road 1 2 3"], "mine", "gives 8 classes, but label space .*mine has 1\n.*--label-space")])
def test_classes_that_are_not_there_damaged_or_of_another_net_are_refused(
        net, pictures, tmp_path, lines, place, message):
    write_lines(str(tmp_path / "mine" / "classes.txt"), lines)
    with pytest.raises(InputError, match=message):
        predict(net, [pictures / "a.png"], tmp_path / "out", "--label-space", str(tmp_path / place))
    assert not (tmp_path / "out").exists()


def test_a_video_in_a_folder_is_reported_as_left_out(pictures, tmp_path, capsys):
    jobs = predict_command.plan([str(pictures)], str(tmp_path / "out"), "overlay")
    assert len(jobs) == 2 and "left out" in capsys.readouterr().err


def test_a_folder_is_labelled_by_the_rule_of_all_folders(net, pictures, tmp_path, capsys):
    (tmp_path / "aside").mkdir()
    image = np.random.RandomState(1).randint(0, 256, (20, 64, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # stored on its side
    Image.fromarray(image).save(str(tmp_path / "aside" / "c.png"), exif=exif)
    (pictures / "linked").symlink_to(tmp_path / "aside")
    (pictures / "inside" / "loop").symlink_to("..")
    (pictures / "._a.png").write_bytes(b"no picture")
    (pictures / "d.webp").write_bytes(b"RIFF")
    predict(net, [pictures], tmp_path / "out", "--kind", "labels")
    written = sorted(str(path.relative_to(tmp_path / "out"))
                     for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["a.png", "inside/b.png", "linked/c.png"]
    cv2.imwrite(str(tmp_path / "upright.png"), np.rot90(image, -1)[:, :, ::-1])
    predict(net, [tmp_path / "upright.png"], tmp_path / "out", "--kind", "labels")
    turned, upright = (cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED)
                       for name in ("linked/c.png", "upright.png"))
    assert turned.shape == (64, 20) and (turned == upright).all()
    error = capsys.readouterr().err
    for words in ("1 WebP picture (only", "1 hidden file (._a.png)", "loop (a link to a folder"):
        assert words in error


def test_a_file_of_another_kind_is_called_what_it_is(pictures, tmp_path):
    cv2.imwrite(str(tmp_path / "x.webp"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="x.webp: a WebP picture; expected an image"):
        predict_command.plan([str(tmp_path / "x.webp")], str(tmp_path / "out"), "overlay")


def test_label_maps_hold_train_ids_of_the_images_own_size(net, pictures, tmp_path):
    predict(net, [pictures / "a.png"], tmp_path / "out", "--kind", "labels")
    labels = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (45, 64) and labels.max() < 8


def test_existing_results_are_kept_without_overwrite(net, pictures, tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        predict(net, [pictures / "a.png"], tmp_path)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    predict(net, [pictures / "a.png"], tmp_path, "--overwrite")
    assert cv2.imread(str(tmp_path / "a.png")) is not None


@pytest.mark.parametrize("output", ("in/out", "in/inside/../out", "link", "in/inside/out"))
def test_a_second_run_does_not_label_what_the_first_has_written_among_its_inputs(
        net, pictures, tmp_path, output):
    (pictures / "out").mkdir()
    (tmp_path / "link").symlink_to(pictures / "out")
    for _ in range(2):
        predict(net, [pictures], tmp_path / output, "--overwrite", "--no-legend")
    written = sorted(os.path.relpath(str(path), str(tmp_path / output))
                     for path in (tmp_path / output).rglob("*.png"))
    assert written == ["a.png", "inside/b.png"]


@pytest.mark.parametrize("inputs, output, message", [
    (["gone.png"], "out", "no such file"), (["pipe.png"], "out", "neither a regular file nor a"),
    (["link.png"], "out", "a link that leads nowhere"),
    (["in/a.png"], "in", "would replace the input"),
    (["in/a.png", "in/inside/../a.png"], "out", "would both become"),
    (["notes.txt"], "out", "expected an image"),
    (["empty"], "out", "holds no image")])
def test_inputs_that_cannot_work_are_refused_before_anything_is_written(
        pictures, tmp_path, inputs, output, message):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.png").symlink_to("link.png")
    os.mkfifo(str(tmp_path / "pipe.png"))
    with pytest.raises(InputError, match=message):
        predict_command.plan([str(tmp_path / i) for i in inputs], str(tmp_path / output), "overlay")


def test_broken_video_leaves_nothing_behind(net, tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"not a video")
    with pytest.raises(InputError, match="v.mp4"):
        predict(net, [tmp_path / "v.mp4"], tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_a_damaged_input_stops_no_later_one(net, pictures, tmp_path, capsys):
    (pictures / "a.avi").write_bytes(b"not a video")
    (pictures / "c.png").write_bytes((pictures / "a.png").read_bytes()[:200])
    with pytest.raises(InputError) as caught:
        predict(net, [pictures / "a.avi", pictures, pictures / "v.mp4"], tmp_path / "out")
    first, *named = caught.value.what.split("\n  ")
    assert first == "2 of 5 inputs were not labelled whole:"
    assert "a.avi: a text file, not a video that OpenCV can read" in named[0]
    assert "c.png: truncated PNG file (200 bytes" in named[1] and len(named) == 2
    written = sorted(path.name for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.png", "b.png", "v.mp4"]
    assert "3 written to" in capsys.readouterr().out
    with pytest.raises(InputError, match="^[^\n]*c.png: truncated PNG file"):
        predict(net, [pictures, pictures / "v.mp4"], tmp_path / "again")


def test_every_damaged_input_gets_its_repair(net, pictures, tmp_path):
    (pictures / "c.png").write_bytes(b"x")
    for name in ("d", "e"):
        cv2.imwrite(str(pictures / "kept.bmp"), np.zeros((8, 8, 3), np.uint8))
        (pictures / "kept.bmp").rename(pictures / f"{name}.png")
    with pytest.raises(InputError) as caught:
        predict(net, [pictures], tmp_path / "out")
    assert caught.value.fix.split("\n  ") == [
        f"convert it, or leave it out: convert {name}.png NAME.png" for name in "de"]


def test_many_damaged_inputs_are_counted(net, pictures, tmp_path):
    for number in range(25):
        (pictures / f"c{number}.png").write_bytes(b"x")
    with pytest.raises(InputError, match="25 of 27 inputs were not labelled whole"
                                         "(.*\n){21}  and 5 more$"):
        predict(net, [pictures], tmp_path / "out")


def test_file_written_aside_replaces_only_when_it_is_whole(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        with write_aside(str(path)) as aside:
            open(aside, "w").write("half")
            raise KeyboardInterrupt
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_unwritable_output_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        with write_aside(str(tmp_path / "file" / "x.json")) as aside:
            open(aside, "w")


def test_colours_are_bgr_and_no_class_is_black():
    painted = colour(np.array([[0, 255]], np.uint8), CITYSCAPES.palette)
    assert painted.tolist() == [[[128, 64, 128], [0, 0, 0]]]
    assert colour(np.array([[11]], np.uint8), CITYSCAPES.palette).tolist() == [[[60, 20, 220]]]


def test_overlay_mixes_and_leaves_unlabelled_pixels_as_they_are():
    image = np.full((1, 2, 3), 100, np.uint8)
    mixed = overlay(image, np.array([[11, 255]], np.uint8), CITYSCAPES.palette, 0.5)
    assert mixed.tolist() == [[[80, 60, 160], [100, 100, 100]]]


@pytest.mark.parametrize("width", (64, 480, 2048))
def test_legend_is_as_wide_as_the_picture_and_shows_every_colour(width):
    strip = legend_strip(CITYSCAPES, width)
    assert strip.shape[1] == width
    if width >= 480:
        found = {tuple(p) for p in strip.reshape(-1, 3)}
        assert {tuple(rgb[::-1]) for rgb in CITYSCAPES.palette} <= found


def test_painter_draws_its_legend_once_a_width(monkeypatch):
    from tools.lib.scoring import pictures as module
    drawn = []

    def strip(space, width):
        drawn.append(width)
        return np.zeros((4, width, 3), np.uint8)

    monkeypatch.setattr(module, "legend_strip", strip)
    painter = Painter(TOY, "colour")
    for _ in range(3):
        picture = painter(np.zeros((8, 16, 3), np.uint8), np.zeros((8, 16), np.uint8))
        assert picture.shape == (12, 16, 3)
    assert drawn == [16]


def test_grid_fits_panels_of_different_heights(tmp_path):
    path = tmp_path / "grid.png"
    panels = [np.zeros((h, 40, 3), np.uint8) for h in (20, 60)]
    write_grid(str(path), ["image"], [("a", panels[:1]), ("b", panels[1:])], TOY, panel_inches=1)
    assert cv2.imread(str(path)) is not None and len(list(tmp_path.iterdir())) == 1
