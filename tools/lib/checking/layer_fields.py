"""Checks the values in one layer on which Caffe aborts or silently computes nonsense.

These are numbers and fillers of Caffe's own layers, and module and class of a Python layer.
"""
import importlib
import inspect
import math
import pkgutil
import re
import sys

import caffe

from data.errors import InputError
from tools.lib.checking.prototxt import did_you_mean

FILLERS = ("constant", "gaussian", "uniform", "xavier", "msra", "bilinear", "positive_unitball")
#: Importing a module runs it, and a net may come from anywhere: only this package is imported.
PACKAGE = "layers"
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)


def check_fields(layer, where):
    """Checks the fields of one LayerParameter; where: file and layer, for the InputError."""
    _check_finite(layer, where)
    if layer.type in ("Convolution", "Deconvolution"):
        _check_convolution(layer.convolution_param, where)
    elif layer.type == "InnerProduct" and layer.inner_product_param.num_output < 1:
        raise InputError(f"{where}: num_output is missing or 0")
    elif layer.type == "Pooling":
        _check_pooling(layer.pooling_param, where)
    elif layer.type == "Dropout" and not 0 <= layer.dropout_param.dropout_ratio < 1:
        raise InputError(f"{where}: dropout_ratio is {layer.dropout_param.dropout_ratio:g}; "
                         "expected at least 0 and below 1")
    elif layer.type == "Python":
        _check_python(layer.python_param, where)


def _check_finite(message, where):
    """No nan or infinity anywhere inside; fillers are known and can be filled."""
    for field, value in message.ListFields():
        values = value if field.label == field.LABEL_REPEATED else [value]
        if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
            bad = [v for v in values if not math.isfinite(v)]
            if bad:
                raise InputError(f"{where}: {field.name} is {bad[0]}; expected a finite number")
        elif field.message_type is not None:
            for inner in values:
                if field.message_type.name == "FillerParameter":
                    _check_filler(inner, f"{where}: {field.name}")
                _check_finite(inner, where)


def _check_filler(filler, where):
    if filler.type not in FILLERS:
        hint = did_you_mean(filler.type, FILLERS) or f"; expected one of: {', '.join(FILLERS)}"
        raise InputError(f'{where}: unknown filler "{filler.type}"{hint}')
    # the dry run fills with constants and would not see these two
    if filler.type == "gaussian" and filler.std <= 0:
        raise InputError(f"{where}: std is {filler.std:g}; expected a number above 0")
    if filler.type == "uniform" and filler.min > filler.max:
        raise InputError(f"{where}: min is {filler.min:g} and max is {filler.max:g}; expected min "
                         "<= max")


def _check_convolution(param, where):
    if param.num_output < 1:
        raise InputError(f"{where}: num_output is missing or 0; expected the number of channels")
    _check_kernel(param, bool(param.kernel_size), where)
    for field in ("kernel_size", "stride", "dilation"):
        for value in getattr(param, field):
            _at_least_one(value, field, where)
    _given_at_least_one(param, ("kernel_h", "kernel_w", "stride_h", "stride_w", "group"), where)
    if param.num_output % param.group:
        raise InputError(
            f"{where}: num_output {param.num_output} is no multiple of group {param.group}")


def _check_pooling(param, where):
    if not param.global_pooling:
        _check_kernel(param, param.HasField("kernel_size"), where)
    _given_at_least_one(param, ("kernel_size", "kernel_h", "kernel_w", "stride", "stride_h",
                                "stride_w"), where)


def _check_kernel(param, has_size, where):
    if not (has_size or (param.HasField("kernel_h") and param.HasField("kernel_w"))):
        raise InputError(f"{where}: kernel_size is missing; expected it, or kernel_h and kernel_w")


def _given_at_least_one(param, fields, where):
    for field in fields:
        if param.HasField(field):
            _at_least_one(getattr(param, field), field, where)


def _at_least_one(value, field, where):
    if value < 1:
        raise InputError(f"{where}: {field} is {value}; expected at least 1")


def _check_python(param, where):
    """The layer's module may be imported and holds its class.

    A module of the package `layers` is imported.  Any other must have been imported by the
    program itself (a test's own toy layer): a net prototxt never makes us import it.
    The param_str is checked by the layer's own setup, in the dry run.
    """
    for field in ("module", "layer"):
        if not _NAME.match(getattr(param, field)):
            raise InputError(f'{where}: python_param {field} is "{getattr(param, field)}"; '
                             'expected a plain name, such as module "layers.domain_gate" and '
                             'layer "DomainGate"')
    module = _module(param.module, where)
    if not _is_layer(getattr(module, param.layer, None)):
        classes = [name for name, value in vars(module).items()
                   if _is_layer(value) and value is not caffe.Layer]
        hint = did_you_mean(param.layer, classes) or f"; it has: {', '.join(classes) or 'none'}"
        raise InputError(f"{where}: the module {param.module} has no layer class "
                         f'"{param.layer}"{hint}')


def _is_layer(value):
    return inspect.isclass(value) and issubclass(value, caffe.Layer)


def _module(name, where):
    if not name.startswith(PACKAGE + "."):
        if name in sys.modules:
            return sys.modules[name]
        raise InputError(f'{where}: python_param module is "{name}"; expected a module of the '
                         f'package {PACKAGE}, such as "{PACKAGE}.domain_gate"')
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name and name.startswith(problem.name):
            hint = did_you_mean(name, _siblings())
            raise InputError(f"{where}: there is no module {name}{hint}") from None
        raise InputError(f"{where}: the module {name} needs {problem.name}, which is not installed",
                         "see: python3 tools/doctor.py") from None


def _siblings():
    package = importlib.import_module(PACKAGE)
    return [f"{PACKAGE}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
