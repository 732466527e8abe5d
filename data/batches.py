"""Batches of source and target samples: batch k is a function of (frames, settings, seed, k)."""
from dataclasses import dataclass
from typing import Optional

from data import ordering, transforms
from data.augmentation import NONE, Augmentation
from data.dataset import DataSet, unlabelled


@dataclass(frozen=True)
class Domain:
    """The source or the target of a batch."""

    stream: str     # "source" or "target": names the random stream
    data: DataSet
    frames: list
    images: int     # samples in a batch
    resize: float = 1.0     # factor on images and labels
    labelled: bool = True
    augmentation: Augmentation = NONE


_passed = set()     # (frame, labelled) that check_ahead has checked


def make_domain(stream, data, split, images, resize=1.0, labelled=True, augmentation=NONE):
    """A Domain over a split, whose frames are checked unless check_ahead has done so.

    Raises InputError naming the list and line of the first bad frame.
    """
    frames = domain_frames(data, split, labelled)
    for frame in frames:
        if (frame, labelled) not in _passed:
            data.check(frame, labelled)
    return Domain(stream, data, frames, images, resize, labelled, augmentation)


def domain_frames(data, split, labelled):
    """The frames of a split of a DataSet; labelled=False removes the paths of their labels."""
    frames = data.frames(split)
    return frames if labelled else unlabelled(frames)


def check_ahead(data, frames, labelled, progress=iter):
    """Checks a domain's frames for the domains that this process or its forks make afterwards.

    Those domains then do not open the files again, which takes minutes on a cold disk.  progress:
    wraps the list of frames to check.
    """
    for frame in progress([frame for frame in frames if (frame, labelled) not in _passed]):
        data.check(frame, labelled)
        _passed.add((frame, labelled))


def forget_checks():
    """Makes make_domain check every frame again."""
    _passed.clear()


@dataclass(frozen=True)
class BatchMaker:
    """Makes batch k: source samples first, then target samples."""

    source: Optional[Domain]
    target: Optional[Domain]
    crop: tuple     # (H, W) of the label window
    margin: int     # pixels of context around the window in the image
    mirror: bool    # whether half of the samples are mirrored
    mean: tuple     # BGR
    seed: int

    @property
    def shapes(self):
        """Shapes of data and label.

        data: (images, 3, H + 2 margin, W + 2 margin).  label: (source images, 1, H, W).
        """
        height, width = self.crop
        images = sum(domain.images for domain in self._domains())
        return ((images, 3, height + 2 * self.margin, width + 2 * self.margin),
                (self.source.images if self.source else 0, 1, height, width))

    def fill(self, batch, data, label, reading=lambda text: None):
        """Writes batch number `batch` into the float32 arrays data and label of these shapes.

        data: BGR minus the mean.  label: train ids and 255.  reading: called with the name of each
        frame before it is opened.  Raises InputError naming a file that cannot be used.
        """
        slot = 0
        for domain in self._domains():
            for item in range(domain.images):
                position = batch * domain.images + item
                index = ordering.frame_index(self.seed, domain.stream, position,
                                             len(domain.frames))
                frame = domain.frames[index]
                reading(str(frame))
                image, ids = self._sample(domain, frame, position)
                data[slot] = image
                if ids is not None:
                    label[slot, 0] = ids
                slot += 1

    def _sample(self, domain, frame, position):
        """(blob, ids) of one sample; ids None for an unlabelled domain."""
        generator = ordering.generator(self.seed, domain.stream, position)
        varied = domain.augmentation.draw(
            ordering.generator(self.seed, domain.stream, position, ordering.AUGMENTATION))
        resize = domain.resize * varied.scale
        label = None
        if domain.labelled:
            image, label = domain.data.read_pair(frame)
            label = transforms.resize_label(label, resize)
        else:
            image = domain.data.read_image(frame)
        image = transforms.resize(image, resize)
        top, left, mirror = transforms.random_window(image.shape, self.crop, generator)
        window = (top, left, mirror and self.mirror)
        cut = transforms.cut_image(image, window, self.crop, self.margin)
        if domain.augmentation.colours:
            cut = varied.recoloured(cut)
        return (transforms.to_blob(cut, self.mean),
                None if label is None else transforms.cut_label(label, window, self.crop))

    def _domains(self):
        return [domain for domain in (self.source, self.target) if domain is not None]
