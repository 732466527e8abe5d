"""Values inside a layer that Caffe aborts on, or takes without a word and computes nonsense."""
import math

from data.errors import InputError
from tools.lib.checking.prototxt import near

FILLERS = ("constant", "gaussian", "uniform", "xavier", "msra", "bilinear", "positive_unitball")


def check_fields(layer, where):
    """Checks numbers and fillers of one LayerParameter; where: file and layer, for errors."""
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


def _check_finite(message, where):
    """No nan or infinity anywhere inside; fillers are known and can be filled."""
    for field, value in message.ListFields():
        if field.label == field.LABEL_REPEATED:
            values = value
        else:
            values = [value]
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
        raise InputError(
            '%s: unknown filler "%s"%s' % (where, filler.type, near(filler.type, FILLERS)
                                           or "; expected one of: " + ", ".join(FILLERS)))
    if filler.type == "gaussian" and filler.std < 0:
        raise InputError(f"{where}: std is {filler.std:g}; expected at least 0")
    if filler.type == "uniform" and filler.min > filler.max:
        raise InputError(f"{where}: min is {filler.min:g} and max is {filler.max:g}; expected min "
                         "<= max")


def _check_convolution(p, where):
    if p.num_output < 1:
        raise InputError(f"{where}: num_output is missing or 0; expected the number of channels")
    if not (p.kernel_size or (p.HasField("kernel_h") and p.HasField("kernel_w"))):
        raise InputError(f"{where}: kernel_size is missing; expected it, or kernel_h and kernel_w")
    for field in ("kernel_size", "stride", "dilation"):
        for value in getattr(p, field):
            _at_least_one(value, field, where)
    for field in ("kernel_h", "kernel_w", "stride_h", "stride_w", "group"):
        if p.HasField(field):
            _at_least_one(getattr(p, field), field, where)
    if p.num_output % p.group:
        raise InputError(
            f"{where}: num_output {p.num_output} is no multiple of group {p.group}")


def _check_pooling(p, where):
    sides = p.HasField("kernel_h") and p.HasField("kernel_w")
    if not (p.HasField("kernel_size") or sides or p.global_pooling):
        raise InputError(f"{where}: kernel_size is missing; expected it, or kernel_h and kernel_w")
    for field in ("kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w"):
        if p.HasField(field):
            _at_least_one(getattr(p, field), field, where)


def _at_least_one(value, field, where):
    if value < 1:
        raise InputError(f"{where}: {field} is {value}; expected at least 1")
