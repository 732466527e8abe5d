"""Layers and fields of well-known forks of Caffe, which BVLC Caffe 1.0 does not have."""

#: {type of layer: whose fork has it}.
TYPES = {
    "Upsample": "SegNet's", "BN": "SegNet's and PSPNet's", "DenseImageData": "SegNet's",
    "Unpooling": "DeconvNet's",
    "Interp": "DeepLab's and PSPNet's", "ImageSegData": "DeepLab's", "DenseCRF": "DeepLab's",
    "SegAccuracy": "DeepLab's", "MatRead": "DeepLab's", "MatWrite": "DeepLab's",
    "MultiStageMeanfield": "CRF-RNN's",
    "ROIPooling": "Fast R-CNN's", "SmoothL1Loss": "Fast R-CNN's",
    "Permute": "SSD's", "Normalize": "SSD's", "PriorBox": "SSD's",
    "Axpy": "SENet's", "DepthwiseConvolution": "MobileNet's", "ReLU6": "MobileNet's",
}
#: {field: type of layer that it belongs to}.
_FIELDS = {
    "upsample_param": "Upsample", "bn_param": "BN", "bn_mode": "BN",
    "dense_image_data_param": "DenseImageData", "unpooling_param": "Unpooling",
    "interp_param": "Interp", "label_type": "ImageSegData", "seg_accuracy_param": "SegAccuracy",
    "mat_read_param": "MatRead", "mat_write_param": "MatWrite", "dense_crf_param": "DenseCRF",
    "multi_stage_meanfield_param": "MultiStageMeanfield", "roi_pooling_param": "ROIPooling",
    "smooth_l1_loss_param": "SmoothL1Loss", "permute_param": "Permute",
    "norm_param": "Normalize", "prior_box_param": "PriorBox",
}
#: {field: field of BVLC Caffe with the same meaning}.
_RENAMED = {"hole": "dilation"}


def of_type(kind):
    """"; it is ..." about a type of layer that a fork has, or ""."""
    if kind not in TYPES:
        return ""
    return f"; it is a layer of {TYPES[kind]} fork of Caffe, and BVLC Caffe has no such layer"


def of_field(name):
    """"; it ..." about a field that a fork has, or ""."""
    if name in _RENAMED:
        return f"; it is called {_RENAMED[name]} in BVLC Caffe: write {_RENAMED[name]}"
    if name in _FIELDS:
        kind = _FIELDS[name]
        return (f"; it belongs to the layer {kind} of {TYPES[kind]} fork of Caffe, and BVLC Caffe "
                "has no such layer")
    return ""
