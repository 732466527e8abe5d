"""Docstrings, comments, messages and pages name files that are there, and python3."""
import ast
import glob
import io
import os
import re
import tokenize

import pytest

OWN = "tests/commands/test_references.py"
FOLDERS = ("data", "docs", "layers", "models", "solvers", "tests", "tools", ".ci")
#: Texts that are read as they are, beside Python files.
PLAIN = (".md", ".in", ".lock", ".toml", ".yml", ".patch", ".hpp", ".prototxt", "run", ".cff")
#: A file by its path in the repository; "<" and "*" stand for something else there.
PATH = re.compile(r"(?<![\w/.<*~-])((?:data|docs|layers|models|solvers|tests|tools|\.ci)/[\w./-]+\."
                  r"(?:py|md|json|lock|in|prototxt|hpp|patch|png|txt))(?![\w*<])")
#: A file by its name alone.
NAME = re.compile(r"(?<![\w/.<>*{}-])([\w-]+\.(?:py|md|hpp|patch|lock))(?![\w*<])")
#: Files that a command writes need not be there.
OUTPUT = re.compile(r"(--(output|report|json|archive) |> )\S+")
#: A command that starts with the word python: Debian 12 has only python3.
BARE_PYTHON = re.compile(r"(?<![\w/.-])python(?= (?:-[cm]\b|\S*\.py\b|tools/|\{))")
#: Files that readers make: statistics of their copies of the data sets, their own experiment.
MADE = re.compile(r"data/statistics/\w+_windows\.json|models/experiments/mine\.py")


def files(root):
    """Paths of the repository's texts, relative to it."""
    found = [name for name in os.listdir(root) if os.path.isfile(os.path.join(root, name))]
    for folder in FOLDERS:
        found += [os.path.relpath(path, root) for path in
                  glob.glob(os.path.join(root, folder, "**", "*"), recursive=True)
                  if os.path.isfile(path) and not os.path.islink(path)]
    return sorted(path for path in found if path.endswith((".py",) + PLAIN)
                  or path in ("tools/caffe", "tools/caffe_python", "tools/mpirun"))


def texts(path, text):
    """(prose, messages) of a file: docstrings, comments and pages; other strings of the code."""
    if not path.endswith(".py") and path.endswith(PLAIN):
        return [text], []
    comments = [token.string for token in tokenize.generate_tokens(io.StringIO(text).readline)
                if token.type == tokenize.COMMENT]
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    prose = [ast.get_docstring(node) or "" for node in ast.walk(tree)
             if isinstance(node, documented)]
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
              for part in node.values}
    messages = [_joined(node) for node in ast.walk(tree) if id(node) not in inside
                and isinstance(node, (ast.JoinedStr, ast.Constant))]
    return comments + prose, messages


def _joined(node):
    """A string constant as text; {} stands for each value of an f-string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}"
                       for part in node.values)
    return node.value if isinstance(node.value, str) else ""


@pytest.fixture(scope="module")
def repository(repo_root):
    """[(path, prose, messages)] of every text."""
    found = []
    for path in files(repo_root):
        with open(os.path.join(repo_root, path), encoding="utf-8") as file:
            found.append((path,) + texts(path, file.read()))
    return found


def test_commands_start_with_python3(repository):
    wrong = {(path, match.group() + text[match.end():match.end() + 30])
             for path, prose, messages in repository if path != OWN for text in prose + messages
             for match in BARE_PYTHON.finditer(text)}
    assert wrong == set()


def test_files_that_are_named_are_there(repository, repo_root):
    names = {os.path.basename(path) for path, _, _ in repository} | {"FILE.md"}
    missing = set()
    for path, prose, messages in repository:
        # the strings of tests name files that they make, or that are not there on purpose
        read = prose if path.startswith("tests/") else prose + messages
        for text in read:
            missing |= {(path, name) for name in PATH.findall(OUTPUT.sub("", text))
                        if not os.path.exists(os.path.join(repo_root, name))
                        and not MADE.fullmatch(name)}
        for text in prose if path.endswith((".py", ".md")) else []:
            missing |= {(path, name) for name in NAME.findall(OUTPUT.sub("", text))
                        if name not in names}
    assert missing == set()


@pytest.mark.parametrize("text, found", [
    ("run `python tools/train.py`", True), ("python -m pip", True), ("f: python {script}", True),
    ("python3 tools/train.py", False), ("python layers", False), ("bin/python tools/x.py", False)])
def test_a_bare_python_is_told_from_the_word(text, found):
    assert bool(BARE_PYTHON.search(text)) == found
