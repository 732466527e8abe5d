"""Files are read whole and exactly, or refused by name."""
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from data import reading
from data.errors import InputError
from data.reading import image_size, label_size, read_ids, read_image


def png_bytes(picture, **keys):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **keys)
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)
    return write


def palette_png(ids):
    picture = Image.new("P", ids.shape[::-1])
    picture.putdata(ids.ravel().tolist())
    colours = np.zeros((256, 3), np.uint8)
    colours[[26, 34]] = 0, 0, 142  # as in GTA5: two indices, one colour
    picture.putpalette(colours.tobytes())
    return picture


def test_palette_indices_survive_when_two_of_them_share_a_colour(write):
    ids = np.array([[26, 34, 0], [34, 26, 7]], np.uint8)
    assert (read_ids(write("a.png", png_bytes(palette_png(ids)))) == ids).all()


@pytest.mark.filterwarnings("error")
def test_the_transparency_of_a_palette_is_left_out_without_a_word(write):
    picture = palette_png(np.arange(100, dtype=np.uint8).reshape(10, 10))
    data = png_bytes(picture, transparency=bytes(range(100)))
    assert (read_image(write("a.png", data))[:, :, ::-1] == picture.convert("RGB")).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_and_grey_of_few_bits_give_ids_not_stretched_brightness(write, bits):
    ids = np.arange(2 ** bits, dtype=np.uint8).reshape(1, -1).repeat(3, axis=0)
    assert (read_ids(write("p.png", png_bytes(palette_png(ids), bits=bits))) == ids).all()
    grey = write("g.png", grey_png(ids, bits))
    assert (read_ids(grey) == ids).all()


def grey_png(ids, bits):
    """A grey PNG of 1, 2 or 4 bits, written by hand: the libraries write only 8."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))

    height, width = ids.shape
    rows = b""
    for row in ids:
        text = "".join(format(value, f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        rows += b"\0" + bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(
        b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_synthia_ids_are_in_the_red_channel_of_a_16_bit_png(write):
    pixels = np.zeros((4, 5, 3), np.uint16)
    pixels[:, :, 2] = 12  # OpenCV's red
    pixels[:, :, 1] = 700  # instance numbers
    pixels[0, 0, 2] = 300
    ids = read_ids(write("s.png", cv2.imencode(".png", pixels)[1].tobytes()))
    assert ids.shape == (4, 5) and ids[0, 0] == 300 and (ids.ravel()[1:] == 12).all()


def test_a_16_bit_grey_label_keeps_its_values(write):
    ids = np.array([[0, 11, 1000]], np.uint16)
    assert (read_ids(write("g16.png", cv2.imencode(".png", ids)[1].tobytes())) == ids).all()


def test_a_colour_picture_or_a_jpeg_is_no_label(write):
    colour = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(InputError, match="c.png.*colour"):
        read_ids(write("c.png", cv2.imencode(".png", colour)[1].tobytes()))
    with pytest.raises(InputError, match="c.jpg.*PNG"):
        read_ids(write("c.jpg", cv2.imencode(".jpg", colour)[1].tobytes()))


def test_images_are_bgr_and_grey_ones_get_three_channels(write):
    pixels = np.random.RandomState(0).randint(0, 256, (6, 7, 3)).astype(np.uint8)
    assert (read_image(write("a.png", cv2.imencode(".png", pixels)[1].tobytes())) == pixels).all()
    grey = read_image(write("b.png", cv2.imencode(".png", pixels[:, :, 0])[1].tobytes()))
    assert (grey == pixels[:, :, :1]).all() and grey.shape == (6, 7, 3)


def with_orientation(pixels, number, kind="PNG"):
    """Bytes of a picture (H, W, 3) RGB or (H, W) whose EXIF data have this orientation."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[274] = number
    Image.fromarray(pixels).save(buffer, kind, exif=exif)
    return buffer.getvalue()


#: What turns the stored picture upright, by the EXIF standard's table of row 0 and column 0.
UPRIGHT = {1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1],
           4: lambda p: p[::-1], 5: lambda p: p.swapaxes(0, 1), 6: lambda p: np.rot90(p, -1),
           7: lambda p: np.rot90(p, 2).swapaxes(0, 1), 8: lambda p: np.rot90(p)}


@pytest.mark.parametrize("number", sorted(UPRIGHT))
@pytest.mark.parametrize("kind, ending", [("PNG", ".png"), ("JPEG", ".jpg")])
def test_an_image_is_turned_upright_as_opencv_and_viewers_do(write, number, kind, ending):
    pixels = np.random.RandomState(number).randint(0, 256, (4, 8, 3)).astype(np.uint8)
    data = with_orientation(pixels, number, kind)
    path = write("turned" + ending, data)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8),
                          cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    read = read_image(path)
    assert read.shape == UPRIGHT[number](stored).shape == image_size(path) + (3,)
    limit = 0 if kind == "PNG" else 8  # two decoders of JPEG round differently
    assert np.abs(read.astype(int) - UPRIGHT[number](stored)).max() <= limit
    assert np.abs(read.astype(int) - cv2.imread(path).astype(int)).max() <= limit


@pytest.mark.parametrize("number", (0, 9, 1000))
def test_an_orientation_outside_the_standard_turns_nothing(write, number):
    pixels = np.random.RandomState(0).randint(0, 256, (4, 8, 3)).astype(np.uint8)
    path = write("odd.png", with_orientation(pixels, number))
    assert (read_image(path) == pixels[:, :, ::-1]).all() and image_size(path) == (4, 8)


def test_a_label_that_its_exif_data_turn_is_refused_and_an_upright_one_is_read(write):
    ids = np.random.RandomState(0).randint(0, 20, (4, 8)).astype(np.uint8)
    path = write("upright.png", with_orientation(ids, 1))
    assert (read_ids(path) == ids).all() and label_size(path) == (4, 8)
    for read in (read_ids, label_size):
        with pytest.raises(InputError, match=r"turned.png: its EXIF data turn the picture "
                                             r"\(orientation 3\)"):
            read(write("turned.png", with_orientation(ids, 3)))


def test_a_picture_of_108_megapixels_is_read_and_memory_is_the_limit(write, monkeypatch):
    rows, columns = 9000, 12000
    pixels = np.zeros((rows, columns), np.uint8)
    pixels[-1, -1] = 7
    path = write("large.png", cv2.imencode(".png", pixels)[1].tobytes())
    del pixels
    image = read_image(path)
    assert image.shape == (rows, columns, 3) and image[-1, -1].tolist() == [7, 7, 7]
    assert read_ids(path)[-1, -1] == 7
    monkeypatch.setattr(reading, "machine_memory", lambda: 10 ** 9)
    for read in (read_image, read_ids):
        with pytest.raises(InputError, match="large.png: 12000 x 9000 pixels take 1.4 GB of memory "
                                             "to decode; this process may have 1.0 GB"):
            read(path)


@pytest.mark.parametrize("kind, words", [
    ("WEBP", "a WebP picture"), ("BMP", "a BMP picture"), ("TIFF", "a TIFF picture"),
    ("GIF", "a GIF picture")])
def test_a_picture_of_another_format_under_a_false_ending_is_called_what_it_is(write, kind, words):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(buffer, kind)
    for ending in (".png", ".jpg"):
        path = write("x" + ending, buffer.getvalue())
        for read in (read_image, read_ids, image_size, label_size):
            with pytest.raises(InputError, match=f"x{ending}: {words}; .*PNG") as error:
                read(path)
            assert " at 0x" not in str(error.value)


@pytest.mark.parametrize("data, words", [
    (b"<!doctype html><p>not found", "a web page"), (b"\n\n <HTML>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    (b"\0" * 500, "nothing but zero bytes"), (b"some words", "a text file"),
    (b"\xff\xd8\xff\xe0\0\0", "truncated or damaged image"),
    (b"\1\2\3\4" * 9, "no picture of a known format")])
def test_no_message_about_a_file_that_is_no_picture_names_an_address(write, data, words):
    path = write("x.jpg", data)
    for read in (read_image, image_size):
        with pytest.raises(InputError, match=f"x.jpg: {words}") as error:
            read(path)
        assert " at 0x" not in str(error.value)


def test_a_16_bit_picture_is_refused_as_an_image(write):
    with pytest.raises(InputError, match="16-bit"):
        read_image(
            write("deep.png",
                  cv2.imencode(".png", np.zeros((4, 4, 3), np.uint16))[1].tobytes()))


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_every_truncation_is_refused_and_names_the_file(write, ending):
    pixels = np.random.RandomState(1).randint(0, 256, (24, 24, 3)).astype(np.uint8)
    whole = cv2.imencode(ending, pixels)[1].tobytes()
    for length in list(range(0, len(whole) - 2, 37)) + [len(whole) - 3]:
        with pytest.raises(InputError, match="cut"):
            read_image(write("cut" + ending, whole[:length]))


def test_every_truncation_of_a_label_is_refused(write):
    whole = png_bytes(
        palette_png(np.random.RandomState(2).randint(0, 34, (20, 20)).astype(np.uint8)))
    for length in range(len(whole)):
        with pytest.raises(InputError, match="cut.png"):
            read_ids(write("cut.png", whole[:length]))


def test_any_changed_byte_of_a_png_is_noticed(write):
    whole = png_bytes(
        palette_png(np.random.RandomState(3).randint(0, 34, (10, 10)).astype(np.uint8)))
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x41
        with pytest.raises(InputError, match="bad.png"):
            read_ids(write("bad.png", bytes(changed)))


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n",
                                  b"GIF89a" + b"\0" * 40])
def test_what_is_no_image_is_refused(write, data):
    path = write("x.png", data)
    for read in (read_image, read_ids, image_size):
        with pytest.raises(InputError, match="x.png"):
            read(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for read in (read_image, read_ids, image_size, label_size):
        with pytest.raises(InputError, match="nowhere.png: no such file"):
            read(str(tmp_path / "nowhere.png"))
        with pytest.raises(InputError, match=str(tmp_path)):
            read(str(tmp_path))


def test_real_gta5_labels_by_index(shared_real):
    ids = read_ids(shared_real + "/gta5/labels/00001.png")
    assert ids.shape == (1052, 1914) and ids.max() <= 34 and {7, 11, 23} <= set(np.unique(ids))


def test_real_synthia_labels_are_not_zeros(shared_real):
    ids = read_ids(shared_real +
                   "/synthia_seqs/SYNTHIA-SEQS-05-SPRING/GT/LABELS/Stereo_Left/Omni_F/000000.png")
    assert ids.shape == (760, 1280) and {1, 2, 3, 6} <= set(np.unique(ids)) and ids.max() <= 15
