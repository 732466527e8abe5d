"""The class subsets over which papers average the IoU of the 19 Cityscapes classes."""
from tools.lib.scoring.confusion import mean_iou

#: Left out of mIoU-16: classes that SYNTHIA-RAND-CITYSCAPES never shows.
NOT_IN_16 = ("terrain", "truck", "train")
#: Left out of mIoU-13 besides: the thin and rare ones.
NOT_IN_13 = NOT_IN_16 + ("wall", "fence", "pole")


def class_subsets(classes):
    """{title: class numbers}: mIoU over all; for the 19 Cityscapes classes also the 16 and the 13.

    classes: class names in order.
    """
    classes = list(classes)
    subsets = {f"mIoU-{len(classes)}": list(range(len(classes)))}
    if len(classes) == 19 and set(NOT_IN_13) <= set(classes):
        for left_out in (NOT_IN_16, NOT_IN_13):
            members = [i for i, name in enumerate(classes) if name not in left_out]
            subsets[f"mIoU-{len(members)}"] = members
    return subsets


def subset_means(iou, classes):
    """{title: mean IoU over the subset, nan classes left out} (see confusion.mean_iou)."""
    return {title: mean_iou(iou, members) for title, members in class_subsets(classes).items()}
