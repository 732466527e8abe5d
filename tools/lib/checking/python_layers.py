"""Python layers named by a net: which modules may be imported, and that the class is there."""
import importlib
import inspect
import pkgutil
import re
import sys

import caffe

from data.errors import InputError
from tools.lib.checking.prototxt import near

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)
#: Importing a module runs it, and a net may come from anywhere: only this package is imported.
PACKAGE = "layers"


def check_python_layer(layer, where):
    """The Python layer's module may be imported and holds its class; where: for errors.

    A module of the package `layers` is imported.  Any other must have been imported by the
    program itself (a test's own toy layer): a net prototxt never makes us import it.
    Its param_str is checked by the layer's own setup, in the dry run.
    """
    p = layer.python_param
    for field in ("module", "layer"):
        if not _NAME.match(getattr(p, field)):
            raise InputError('%s: python_param %s is "%s"; expected a plain name, such as module '
                             '"layers.domain_gate" and layer "DomainGate"'
                             % (where, field, getattr(p, field)))
    module = _module(p.module, where)
    found = getattr(module, p.layer, None)
    if not (inspect.isclass(found) and issubclass(found, caffe.Layer)):
        classes = [name for name, value in vars(module).items()
                   if inspect.isclass(value) and issubclass(value, caffe.Layer)
                   and value is not caffe.Layer]
        raise InputError('%s: the module %s has no layer class "%s"%s' % (
            where, p.module, p.layer, near(p.layer, classes)
            or f"; it has: {', '.join(classes) or 'none'}"))


def _module(name, where):
    if not name.startswith(PACKAGE + "."):
        if name in sys.modules:
            return sys.modules[name]
        raise InputError('%s: python_param module is "%s"; expected a module of the package %s, '
                         'such as "%s.domain_gate"' % (where, name, PACKAGE, PACKAGE))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name and name.startswith(problem.name):
            raise InputError(f"{where}: there is no module {name}{near(name, _siblings())}") \
                from None
        raise InputError(f"{where}: the module {name} needs {problem.name}, which is not installed",
                         "see: python3 tools/doctor.py") from None


def _siblings():
    package = importlib.import_module(PACKAGE)
    return [f"{PACKAGE}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
