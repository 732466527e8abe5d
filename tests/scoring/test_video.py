"""A video gives all its frames, or the number that could be read and exit code 2."""
import os

import cv2
import numpy as np
import pytest

from data.errors import InputError
from tools.lib.scoring.video import VideoReader, expected_frames, paint_video, writable_rate

KINDS = [("a.avi", "MJPG"), ("b.avi", "XVID"), ("c.mkv", "XVID"), ("d.mkv", "MJPG"),
         ("e.webm", "VP80"), ("f.mp4", "mp4v")]


@pytest.fixture
def video(tmp_path):
    def write(name, codec, rate=10, count=40):
        path = str(tmp_path / name)
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*codec), rate, (160, 120))
        assert writer.isOpened()
        random = np.random.RandomState(0)
        for _ in range(count):
            writer.write(random.randint(0, 256, (120, 160, 3)).astype(np.uint8))
        writer.release()
        return path
    return write


def frames_in(path):
    return sum(1 for _ in VideoReader(str(path)))


@pytest.mark.parametrize("name, codec", KINDS)
def test_a_sound_video_gives_every_frame(video, tmp_path, name, codec):
    painted = []

    def paint(frame):
        painted.append(frame.copy())
        return frame

    source, target = video(name, codec), tmp_path / "out.mp4"
    paint_video(source, str(target), paint)
    assert len(painted) == 40 == frames_in(target)
    capture = cv2.VideoCapture(source)
    assert all((frame == capture.read()[1]).all() for frame in painted)


@pytest.mark.parametrize("name, codec", KINDS)
@pytest.mark.parametrize("damage", ("half", "zeros"))
def test_a_damaged_video_is_refused_with_the_numbers_and_keeps_what_could_be_read(
        video, tmp_path, name, codec, damage):
    source, target = video(name, codec), tmp_path / "out.mp4"
    data = open(source, "rb").read()
    half = len(data) // 2
    with open(source, "wb") as file:
        file.write(data[:half] if damage == "half"
                   else data[:half] + bytes(20000) + data[half + 20000:])
    if (codec, damage) == ("mp4v", "half"):  # its table of frames is at the end
        with pytest.raises(InputError, match="not a video that OpenCV can read"):
            paint_video(source, str(target), lambda frame: frame)
        assert not target.exists()
        return
    with pytest.raises(InputError, match=rf"{name}: \d+ of 40 frames could be read") as error:
        paint_video(source, str(target), lambda frame: frame)
    read = int(str(error.value).split(": ")[1].split()[0])
    assert 1 <= read < 40 and frames_in(target) == read == frames_in(source)


@pytest.mark.parametrize("rate, written", [
    (119.963, 119.96), (239.847, 239.85), (59.94, 59.94), (23.976023976, 23.976), (29.97003, 29.97),
    (65.5354, 65.535), (65.5356, 65.54), (990.37, 990.4), (25, 25), (0.2, 0.2), (0.0001, 0.01)])
def test_a_rate_is_rounded_until_mpeg4_takes_it(video, tmp_path, rate, written):
    assert writable_rate(rate) == written
    reader = VideoReader(video("v.mp4", "mp4v", writable_rate(rate), 3))
    assert reader.rate == pytest.approx(written, rel=1e-4)


@pytest.mark.parametrize("rate", (119.963, 239.847))
def test_a_video_of_an_odd_rate_is_painted(video, tmp_path, rate):
    source, target = video("odd.avi", "MJPG", rate, 5), tmp_path / "out.mp4"
    assert VideoReader(source).rate == pytest.approx(rate, abs=0.01)
    paint_video(source, str(target), lambda frame: frame)
    result = VideoReader(str(target))
    assert result.rate == pytest.approx(rate, rel=1e-3) and result.count == 5


def test_frames_that_a_stored_duration_promises():
    even = [number * 40.0 for number in range(100)]  # 25 frames a second
    assert expected_frames(100, 25, even) == 100
    assert expected_frames(108, 25, even) == 100     # sound that goes on for a third of a second
    assert expected_frames(100, 25, even[:50]) == 100
    assert expected_frames(100, 25, even[:40] + even[45:]) == 100
    assert expected_frames(4, 25, even[:1]) == 4
    uneven = list(np.cumsum(np.random.RandomState(0).uniform(10, 70, 100)))  # of a phone
    assert expected_frames(100, 25, uneven) == 100
    assert expected_frames(200, 25, uneven) == 200


@pytest.mark.parametrize("data, words", [
    (b"not a video", "a text file, not a video"), (b"<html>", "a web page, not the file, not a"),
    (b"\x1a\x45\xdf\xa3" + bytes(50), "v.mp4: not a video that OpenCV can read")])
def test_a_file_that_is_no_video_is_called_what_it_is(tmp_path, data, words):
    (tmp_path / "v.mp4").write_bytes(data)
    with pytest.raises(InputError, match=words):
        VideoReader(str(tmp_path / "v.mp4"))


ODD = os.fsdecode(b"\xff")


@pytest.mark.parametrize("source, target", [(f"{ODD}.avi", "out.mp4"), ("in.avi", f"{ODD}.mp4"),
                                            ("in.avi", os.path.join(ODD, "out.mp4"))])
def test_a_path_on_which_opencv_ends_the_process_is_refused(video, tmp_path, source, target):
    os.rename(video("v.avi", "MJPG", count=2), str(tmp_path / source))
    with pytest.raises(InputError, match="the path is not UTF-8, and OpenCV cannot open"):
        paint_video(str(tmp_path / source), str(tmp_path / target), lambda frame: frame)


@pytest.mark.parametrize("name", ("concat:a.avi", "https:a.avi", "image_%03d.avi"))
def test_a_name_that_reads_as_an_address_is_a_file(video, tmp_path, monkeypatch, name):
    video(name, "MJPG", count=3)
    monkeypatch.chdir(tmp_path)
    paint_video(name, name + ".mp4", lambda frame: frame)
    assert frames_in(tmp_path / (name + ".mp4")) == 3


@pytest.mark.parametrize("shape", ((1, 40), (40, 1), (1, 1)))
def test_frames_of_one_pixel_a_side_are_refused_with_their_size(video, tmp_path, shape):
    source = video("v.avi", "MJPG", count=2)
    with pytest.raises(InputError, match=f"frames of {shape[1]} x {shape[0]} pixels; .* 2 x 2"):
        paint_video(source, str(tmp_path / "out.mp4"), lambda frame: frame[:shape[0], :shape[1]])
    assert not (tmp_path / "out.mp4").exists()
