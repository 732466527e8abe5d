"""The order of the packages: each imports only packages before it, and so there are no circles."""
import ast
import collections
import os
import subprocess

#: Packages and single modules in the order in which they may import each other; "tools" is the
#: commands themselves.
ORDER = (
    "data", "layers", "models", "solvers",
    "tools.lib.signals", "tools.lib.runtime.machine", "tools.lib.command", "tools.lib.outputs",
    "tools.lib.dataset_options",
    "tools.lib.device_options", "tools.lib.tables",
    "tools.lib.confusion", "tools.lib.results",
    "tools.lib.runtime", "tools.lib.checking", "tools.lib.export", "tools.lib.scoring",
    "tools.lib.training", "tools.lib.categories", "tools.lib.datasets", "tools.lib.experiment",
    "tools.lib.report",
    "tools.bench", "tools.build", "tools")


def tracked(repo_root):
    """Paths of the project's Python files outside tests/, relative to the repository."""
    listed = subprocess.run(["git", "-C", repo_root, "ls-files", "-co", "--exclude-standard",
                             "*.py"], stdout=subprocess.PIPE, check=True, text=True)
    return [path for path in listed.stdout.splitlines()
            if not path.startswith("tests/") and os.path.isfile(os.path.join(repo_root, path))]


def module_of(path):
    """Name of the module in a file: "tools.lib.tables" for tools/lib/tables.py."""
    name = path[:-len(".py")].replace("/", ".")
    return name[:-len(".__init__")] if name.endswith(".__init__") else name


def imports(source, module, modules):
    """Names from `modules` that the source text of `module` imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".")[:-node.level]
                base = ".".join(parent + ([base] if base else []))
            # "from package import module" imports the module, "from module import name" the first
            found.update(name if name in modules else base
                         for name in (f"{base}.{alias.name}" for alias in node.names))
    return (found & modules) - {module}


def package_of(module):
    """The entry of ORDER that the module is or is inside of; None without one."""
    inside = [name for name in ORDER if name != "tools" and (module + ".").startswith(name + ".")]
    if inside:
        return inside[0]
    command = module.count(".") == 1 and module.startswith("tools.") and module != "tools.lib"
    return "tools" if command else None


def graph(repo_root):
    """{module: modules that it imports} of the whole project."""
    paths = {module_of(path): path for path in tracked(repo_root)}
    found = {}
    for module, path in paths.items():
        with open(os.path.join(repo_root, path), encoding="utf-8") as file:
            found[module] = imports(file.read(), module, set(paths))
    return found


def upward(found):
    """["importer -> imported"] of the imports of a package that comes later in ORDER."""
    return sorted(f"{importer} -> {imported}" for importer, names in found.items()
                  for imported in names
                  if None not in (package_of(importer), package_of(imported))
                  and ORDER.index(package_of(importer)) < ORDER.index(package_of(imported)))


def circle(found):
    """Modules of a circle in {module: modules that it imports}, [] when there is none."""
    finished, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module):] + [module]
        if module in finished:
            return []
        path.append(module)
        for imported in sorted(found[module]):
            seen = visit(imported)
            if seen:
                return seen
        path.pop()
        finished.add(module)
        return []

    for module in sorted(found):
        seen = visit(module)
        if seen:
            return seen
    return []


def test_every_module_belongs_to_a_package_in_the_order(repo_root):
    folders = {"tools", "tools.lib"}    # their __init__.py is empty
    assert [module for module in graph(repo_root)
            if package_of(module) is None and module not in folders] == []


def test_no_package_imports_one_that_comes_later(repo_root):
    assert upward(graph(repo_root)) == []


def test_no_modules_import_each_other_in_a_circle(repo_root):
    assert circle(graph(repo_root)) == []


def test_imports_are_read_in_all_their_forms():
    modules = {"data.errors", "data.files", "data", "tools.lib.tables", "tools.lib.results"}
    text = ("import data.errors\nfrom data import files\n"
            "def late():\n    from tools.lib.tables import render\n"
            "from . import results\nimport json\n")
    assert imports(text, "tools.lib.tables_command", modules) == {
        "data.errors", "data.files", "tools.lib.tables", "tools.lib.results"}
    assert imports("from .tables import render", "tools.lib.other", modules) == {"tools.lib.tables"}


def test_an_upward_import_and_a_circle_are_found():
    found = {"data.errors": {"models.build"}, "models.build": set()}
    assert upward(found) == ["data.errors -> models.build"] and circle(found) == []
    found = {"models.build": {"models.cost"}, "models.cost": {"models.build"}}
    assert upward(found) == [] and circle(found) == ["models.build", "models.cost", "models.build"]


def test_no_two_files_of_the_packages_behind_the_commands_have_one_name(repo_root):
    paths = collections.defaultdict(list)
    for path in tracked(repo_root):
        if path.startswith(("tools/lib/", "tools/bench/", "tools/build/")):
            paths[os.path.basename(path)].append(path)
    # each folder has an __init__.py, and each folder of commands an _init_paths.py
    shared = {"__init__.py", "_init_paths.py"}
    assert [same for name, same in paths.items() if len(same) > 1 and name not in shared] == []
