"""The patches of Caffe's source fit exactly or stop the build, whatever git's settings are."""
import os
import re
import subprocess

import pytest

from data.errors import InputError
from tools.build import patches
from tools.build.patches import add_header, apply_patch, headers_for, patches_for, read_patch

HUNK = "--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-{1}\n+{2}\n"


@pytest.fixture
def patch(tmp_path):
    """patch(*(file, old line, new line)): a Patch that replaces the only line of each file."""
    def write(*changes, name="001-name.patch", head="Because.\nVariants: cpu\n\n"):
        path = tmp_path / name
        path.write_text(head + "".join(HUNK.format(*change) for change in changes))
        return read_patch(str(path))
    return write


@pytest.fixture
def tree(tmp_path):
    """tree(text): a folder with the text in a.cpp."""
    def make(text):
        folder = tmp_path / "tree"
        folder.mkdir()
        (folder / "a.cpp").write_text(text)
        return folder
    return make


def test_a_patch_takes_its_place(tree, patch):
    folder = tree("int f(int a, int b);\n")
    apply_patch(str(folder), patch(("a.cpp", "int f(int a, int b);", "int f(int a);")))
    assert (folder / "a.cpp").read_text() == "int f(int a);\n"


@pytest.mark.parametrize("text", ["", "other\n"])
def test_a_patch_that_does_not_fit_is_named_and_nothing_is_written(tree, patch, text):
    folder = tree("first\n")
    (folder / "b.cpp").write_text(text)
    with pytest.raises(InputError, match=r"002-second.patch does not apply.*b\.cpp"):
        apply_patch(str(folder), patch(("a.cpp", "first", "1st"), ("b.cpp", "x", "y"),
                                       name="002-second.patch"))
    assert (folder / "a.cpp").read_text() == "first\n" and (folder / "b.cpp").read_text() == text


def test_a_patch_sees_what_earlier_ones_wrote(tree, patch):
    folder = tree("a\n")
    apply_patch(str(folder), patch(("a.cpp", "a", "bb")))
    apply_patch(str(folder), patch(("a.cpp", "bb", "c")))
    assert (folder / "a.cpp").read_text() == "c\n"


def test_a_patch_of_a_missing_file_names_patch_and_file(tree, patch):
    with pytest.raises(InputError, match=r"001-name.patch.*none\.cpp"):
        apply_patch(str(tree("")), patch(("none.cpp", "a", "b")))


def test_neither_a_surrounding_repository_nor_the_users_git_settings_matter(
        tmp_path, tree, patch, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("*\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".gitconfig").write_text(
        "[apply]\n\twhitespace = fix\n[core]\n\tautocrlf = true\n")
    folder = tree("a  \n")
    apply_patch(str(folder), patch(("a.cpp", "a  ", "b  ")))
    assert (folder / "a.cpp").read_bytes() == b"b  \n"


def test_a_header_never_replaces_a_file(tmp_path):
    folder = tmp_path / "tree" / patches.HEADER_FOLDER
    folder.mkdir(parents=True)
    (folder / "theirs.hpp").write_text("theirs")
    for name in ("theirs.hpp", "ours.hpp"):
        (tmp_path / name).write_text("ours")
    with pytest.raises(InputError, match="theirs.hpp is in .* already"):
        add_header(str(tmp_path / "tree"), str(tmp_path / "theirs.hpp"))
    assert (folder / "theirs.hpp").read_text() == "theirs"
    add_header(str(tmp_path / "tree"), str(tmp_path / "ours.hpp"))
    assert (folder / "ours.hpp").read_text() == "ours"


@pytest.mark.parametrize("head", ["", "Variants: cpu\n", "Because.\n", "Because.\nVariants: gpu\n"])
def test_a_patch_without_reason_or_variants_is_refused(patch, head):
    with pytest.raises(InputError, match="001-name.patch does not begin with a reason"):
        patch(("a.cpp", "a", "b"), head=head)


def test_every_file_is_used_and_each_variant_adds_to_the_one_before():
    chosen = {variant: [item.name for item in patches_for(variant)]
              for variant in patches.VARIANTS}
    cpu, cuda = (set(chosen[variant]) for variant in patches.VARIANTS)
    assert cpu < cuda and "005-tf32-option-of-matrix-products.patch" in cuda - cpu
    headers = {os.path.basename(path) for path in headers_for("cuda")}
    assert cuda | headers == set(os.listdir(patches.FOLDER))
    assert [name[:4] for name in chosen["cuda"]] == [f"{n:03}-" for n in range(1, len(cuda) + 1)]
    assert headers_for("cpu") == [] and len(headers_for("cuda")) == 1
    for item in patches_for("cuda"):
        with open(item.path, encoding="utf-8") as file:
            hunks = re.split(r"^@@ .*\n", file.read(), flags=re.M)[1:]
        # one line of context on each side: little of Caffe's own text is carried
        assert hunks and all(not hunk.startswith(" ") or hunk[hunk.index("\n") + 1] in "+-"
                             for hunk in hunks), item.name
