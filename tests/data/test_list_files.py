"""List files and slices of splits."""
import pytest

from data.errors import InputError
from data.frame_lists import read_list, read_names, slice_split


@pytest.mark.parametrize("text, name, part", [
    ("train", "train", slice(None)), ("train[:54]", "train", slice(None, 54)),
    ("train[54:]", "train", slice(54, None)),
    ("day_val[3:7]", "day_val", slice(3, 7)), ("a[:]", "a", slice(None))])
def test_slices(text, name, part):
    assert slice_split(text) == (name, part)


@pytest.mark.parametrize("text", ["", "[1:2]", "a[", "a[1]", "a[1:2", "a[-1:]", "a[1:2:3]", "a[x:]",
                                  "a[:2]b", "a[ :2]", "a[:\u0663]",
                                  "a[__import__('os'):]"])
def test_anything_else_in_a_slice_is_refused(text):
    with pytest.raises(InputError, match="split"):
        slice_split(text)


def test_lines_are_kept_for_messages(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("one\ntwo\r\n\n\n")
    assert read_list(str(path)) == [("one", f"{path}:1"), ("two", f"{path}:2")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert [name for name, _ in read_list(str(path))] == ["one", "two"]
    path.write_bytes(b"\xef\xbb\xbf\r\n")
    with pytest.raises(InputError, match="train.txt: empty; expected one name a line"):
        read_list(str(path))


@pytest.mark.parametrize("data, message", [
    (b"", "empty"), (b"\n \n", "empty"), (b"a\n\nb\n", ":2: blank"), (b"a\n\0b\n", ":2: not text"),
    (b"\xff\xfe\n", "not a readable")])
def test_bad_lists_are_refused_with_their_line(tmp_path, data, message):
    path = tmp_path / "l.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        read_list(str(path))
    assert str(path) in str(error.value)


def test_missing_lists_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such list"):
        read_list(str(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="folder"):
        read_list(str(tmp_path))


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x"])
def test_names_do_not_leave_the_data_set(tmp_path, name):
    path = tmp_path / "l.txt"
    path.write_text(f"fine\n{name}\n")
    with pytest.raises(InputError, match=":2"):
        read_names(str(path))
