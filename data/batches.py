"""Batches of source and target samples: batch k is a function of (frames, settings, seed, k)."""
from dataclasses import dataclass
from typing import Optional

from data import ordering, transforms
from data.augmentation import NONE, Augmentation
from data.dataset import DataSet, unlabelled


@dataclass(frozen=True)
class Domain:
    """One side of a batch: `images` samples a batch from the frames of a data set, read at `resize`
    times their size and varied as `augmentation` says."""

    stream: str  # "source" or "target": the random stream
    data: DataSet
    frames: list
    images: int
    resize: float = 1.0
    labelled: bool = True
    augmentation: Augmentation = NONE


_passed = set()  # (frame, labelled) that check_ahead has looked at


def make_domain(stream, data, split, images, resize=1.0, labelled=True,
                augmentation=NONE):
    """A Domain over a split, checked file by file but for what check_ahead has passed. Raises
    InputError naming the list and line of the first frame that will not do."""
    frames = domain_frames(data, split, labelled)
    for frame in frames:
        if (frame, labelled) not in _passed:
            data.check(frame, labelled)
    return Domain(stream, data, frames, images, resize, labelled, augmentation)


def domain_frames(data, split, labelled):
    """The frames of a split of a DataSet. Unlabelled ones carry no label, so that nothing that
    works on them opens one."""
    frames = data.frames(split)
    return frames if labelled else unlabelled(frames)


def check_ahead(data, frames, labelled, progress=iter):
    """Checks a domain's frames as make_domain does, for the domains that this process or its forks
    make afterwards: they do not open the files again, which takes minutes on a cold disk. progress:
    wraps the list of those to look at."""
    for frame in progress([frame for frame in frames if (frame, labelled) not in _passed]):
        data.check(frame, labelled)
        _passed.add((frame, labelled))


def forget_checks():
    """From now on every frame is checked again."""
    _passed.clear()


@dataclass(frozen=True)
class BatchMaker:
    """Makes batch k: source samples first, then target samples.

    crop: (H, W) of the label window; margin: pixels of context around it in the image; mean: BGR.
    """

    source: Optional[Domain]
    target: Optional[Domain]
    crop: tuple
    margin: int
    mirror: bool
    mean: tuple
    seed: int

    @property
    def shapes(self):
        """Shapes of data (images, 3, H + 2 margin, W + 2 margin) and label (source images, 1, H,
        W)."""
        height, width = self.crop
        images = sum(domain.images for domain in self._domains())
        return ((images, 3, height + 2 * self.margin, width + 2 * self.margin),
                (self.source.images if self.source else 0, 1, height, width))

    def fill(self, batch, data, label, reading=lambda text: None):
        """Writes batch number `batch` into the float32 arrays data and label, which have the shapes
        above.

        data is BGR minus the mean; label holds train ids and 255. reading(text) is told each frame
        before it is opened. Raises InputError naming a file that cannot be used.
        """
        slot = 0
        for domain in self._domains():
            for item in range(domain.images):
                position = batch * domain.images + item
                frame = domain.frames[ordering.frame_index(self.seed, domain.stream, position,
                                                           len(domain.frames))]
                reading(str(frame))
                image, ids = self._sample(domain, frame, position)
                data[slot] = image
                if ids is not None:
                    label[slot, 0] = ids
                slot += 1

    def _sample(self, domain, frame, position):
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
