"""Every stored id of every data set, through real files, against tables written by hand."""
import numpy as np
import pytest

from data.dataset import Frame
from data.errors import InputError
from data.label_spaces import SPACES
from data.registry import names, open_dataset

from data_files import write_image, write_palette, write_synthia

IDS_OF_CITYSCAPES = {  # name in the label's own coding: (id, Cityscapes class, CamVid class)
    "unlabeled": (0, None, None), "ego vehicle": (1, None, None), "rectification border": (2, None,
                                                                                           None),
    "out of roi": (3, None, None), "static": (4, None, None), "dynamic": (5, None, None),
    "ground": (6, None, None), "road": (7, "road", "road"), "sidewalk": (8, "sidewalk", "pavement"),
    "parking": (9, None, None), "rail track": (10, None, None),
    "building": (11, "building", "building"), "wall": (12, "wall", "building"),
    "fence": (13, "fence", "fence"), "guard rail": (14, None, None), "bridge": (15, None, None),
    "tunnel": (16, None, None), "pole": (17, "pole", "pole"), "polegroup": (18, None, None),
    "traffic light": (19, "traffic light", "sign"), "traffic sign": (20, "traffic sign", "sign"),
    "vegetation": (21, "vegetation", "tree"), "terrain": (22, "terrain", "tree"),
    "sky": (23, "sky", "sky"), "person": (24, "person", "pedestrian"), "rider": (25, "rider",
                                                                                 "bicyclist"),
    "car": (26, "car", "car"), "truck": (27, "truck", "car"), "bus": (28, "bus", "car"),
    "caravan": (29, None, None), "trailer": (30, None, None), "train": (31, "train", "car"),
    "motorcycle": (32, "motorcycle", "bicyclist"), "bicycle": (33, "bicycle", "bicyclist")
}
LICENCE_PLATE = {"licence plate": (34, None, None)}

CITYSCAPES_ORDER = ("road sidewalk building wall fence pole traffic_light traffic_sign vegetation "
                    "terrain sky person rider car "
                    "truck bus train motorcycle bicycle")
CAMVID_ORDER = "sky building pole road pavement tree sign fence car pedestrian bicyclist"
SEQS_ORDER = ("sky building road sidewalk fence vegetation pole car traffic_sign pedestrian "
              "bicycle lane_marking traffic_light")

SYNTHIA_RAND = [
    None, "sky", "building", "road", "sidewalk", "fence", "vegetation", "pole", "car",
    "traffic sign", "person", "bicycle", "motorcycle", None, None, "traffic light", "terrain",
    "rider", "truck", "bus", "train", "wall", None
]
SYNTHIA_SEQS = [
    None, "sky", "building", "road", "sidewalk", "fence", "vegetation", "pole", "car",
    "traffic sign", "pedestrian", "bicycle", "lane marking", None, None, "traffic light"
]


def column(table, number):
    return {row[0]: row[number] for row in table.values()}


def words(order):
    return [word.replace("_", " ") for word in order.split()]


CASES = [  # data set, label space, how labels are stored, {stored id: class name or None}
    ("cityscapes", "cityscapes", write_image, column(IDS_OF_CITYSCAPES, 1)),
    ("gta5", "cityscapes", write_palette, column(dict(IDS_OF_CITYSCAPES, **LICENCE_PLATE), 1)),
    ("gta5", "camvid", write_palette, column(dict(IDS_OF_CITYSCAPES, **LICENCE_PLATE), 2)),
    ("gta5_half", "cityscapes", write_palette, column(dict(IDS_OF_CITYSCAPES, **LICENCE_PLATE), 1)),
    ("gta5_half", "camvid", write_palette, column(dict(IDS_OF_CITYSCAPES, **LICENCE_PLATE), 2)),
    ("camvid", "camvid", write_image, dict(enumerate(CAMVID_ORDER.split() + [None]))),
    ("synthia_rand", "cityscapes", write_synthia, dict(enumerate(SYNTHIA_RAND))),
    ("synthia_seqs", "synthia_seqs", write_synthia, dict(enumerate(SYNTHIA_SEQS))),
    ("bdds", "cityscapes", write_image,
     dict(list(enumerate(words(CITYSCAPES_ORDER))) + [(255, None)]))
]


@pytest.mark.parametrize("name, space, write, table", CASES,
                         ids=lambda value: value if isinstance(value, str) else "")
def test_every_stored_id_gets_its_class_and_every_other_is_refused(tmp_path, name, space, write,
                                                                   table):
    data, path = open_dataset(name, str(tmp_path), space), str(tmp_path / "label.png")
    frame = Frame("label", None, path, "train.txt:5")
    ids = np.array([sorted(table)], np.uint8)
    write(path, ids)
    read = {int(stored): int(train) for stored, train in zip(ids[0], data.read_label(frame)[0])}
    wanted = {
        stored: 255 if cls is None else data.space.classes.index(cls)
        for stored, cls in table.items()
    }
    assert read == wanted
    for stored in sorted(set(range(256)) - set(table)):
        write(path, np.array([[0, stored]], np.uint8))
        with pytest.raises(InputError) as error:
            data.read_label(frame)
        assert "train.txt:5" in str(error.value) and path in str(
            error.value) and f"value {stored} " in str(error.value)


def test_a_16_bit_id_beyond_255_is_refused_by_its_value(tmp_path):
    path = str(tmp_path / "label.png")
    write_synthia(path, np.array([[3, 259]], np.uint16))  # 259 = 3 + 256
    with pytest.raises(InputError, match="259"):
        open_dataset("synthia_rand", str(tmp_path)).read_label(Frame("label", None, path))
    write_image(path, np.array([[3, 300]], np.uint16))
    with pytest.raises(InputError, match="300"):  # not taken for 255, which this table knows
        open_dataset("bdds", str(tmp_path)).read_label(Frame("label", None, path))


@pytest.mark.parametrize("space, order",
                         [("cityscapes", CITYSCAPES_ORDER), ("camvid", CAMVID_ORDER),
                          ("synthia_seqs", SEQS_ORDER)])
def test_classes_are_in_their_published_order(space, order):
    assert SPACES[space].classes == tuple(words(order))


def test_palettes_have_a_colour_a_class_and_no_two_classes_share_one():
    for space in SPACES.values():
        assert space.palette.shape == (len(space.classes), 3) and space.palette.dtype == np.uint8
        assert len({tuple(colour) for colour in space.palette}) == len(space.classes)


def test_every_table_of_every_data_set_is_tested_here_or_is_its_users_own():
    # the user's own classes, no labels, mapped when packed, drawn
    theirs = {"folder", "frames", "lmdb", "toy"}
    tables = {(name, space)
              for name in set(names()) - theirs
              for space in open_dataset(name).record.tables}
    assert tables == {case[:2] for case in CASES}
