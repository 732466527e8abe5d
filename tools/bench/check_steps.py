"""The steps of tools/check_gpu.py: GA + CA in Caffe and PyTorch, and the time of each layer."""
from data.errors import InputError
from models.experiments.gta import GTA
from models.shapes import SLIM
from tools.bench.gpu_engines import caffe_engine, take_turns, torch_engine
from tools.bench.gpu_tables import STEPS, step_rows
from tools.bench.timing import running_engine
from tools.lib.runtime import source_builds
from tools.lib.tables import Table

#: Images of each domain in the larger batch; the first that fits is taken.
LARGER = (6, 3, 2)
#: Rows and columns of the labels: at full width, the first measurements' (docs/results/gpu.md).
FULL_SIZE, SLIM_SIZE = (256, 256), (48, 64)


def compared_steps(settings, images):
    """Yields a Table of the steps in each precision, and words on what is left out.

    Adds the Results to settings.results.
    """
    shape, size, repeats = _sizes(settings, images)
    height, width = (side + 2 * shape.margin for side in size)
    yield (f"Net: GA + CA for 19 classes, fc6 and fc7 of {shape.fc} channels, input {height} x "
           f"{width}, labels {size[0]} x {size[1]}, random images and weights. A step is forward, "
           f"backward and update. The engines take turns; median of {repeats} turns, ratios of "
           "pairs with the smallest and the largest."
           + ("" if settings.gpu is not None else
              " Small sizes on the CPU check the command: the times say nothing about speed.")
           + ("" if settings.torch else f" PyTorch is left out: {settings.no_torch}."))
    for tf32 in (False,) if settings.gpu is None else (False, True):
        if tf32 and not source_builds.has_patch(source_builds.TF32_OPTION):
            yield "TF32 is left out: the Caffe in use has no such option."
            continue
        caffe = caffe_engine(shape, size, settings.gpu, tf32=tf32)
        results, word = None, None
        if settings.torch:
            torch = torch_engine(shape, size, settings.gpu, settings.torch, running_engine()[1],
                                 tf32)
            try:
                results = take_turns([caffe, torch], images, repeats)
            except InputError as problem:
                # which of the two it was shows when Caffe steps alone
                word = f"Not together with PyTorch: {problem.what}"
        results = results or take_turns([caffe], images, repeats)
        settings.results.extend(results)
        yield Table(STEPS, step_rows(results), notes=[word] if word else [])


def larger_steps(settings):
    """Yields the Tables of the largest batch of LARGER whose steps succeed."""
    sizes = LARGER if settings.gpu is not None else LARGER[-1:]
    for images in sizes:
        try:
            yield from compared_steps(settings, images)
            return
        except InputError as problem:
            if images == sizes[-1]:
                raise
            yield f"{images} + {images} images: {problem.what}"


def layer_table(settings):
    """Table of the milliseconds of each layer, one column a precision, in the net's order."""
    results = [result for result in settings.results if result.images == 1 and result.layers]
    if not results:
        raise InputError("no step of 1 + 1 images was measured")
    rows = [[name] + [f"{1e3 * result.layers[name][0]:.2f}" for result in results]
            for name in results[0].layers]
    total = ["all layers"] + [f"{1e3 * sum(found[0] for found in result.layers.values()):.2f}"
                              for result in results]
    return Table(["layer, forward and backward, ms"] + [result.label for result in results],
                 rows + [total], rules=[len(rows)],
                 notes=["Each layer is timed on its own, after all other work; median of 3."])


def _sizes(settings, images):
    """(shape, (height, width) of the labels, turns)."""
    if settings.gpu is None:
        return SLIM, SLIM_SIZE, 2
    return GTA.shape, FULL_SIZE, 8 if images == 1 else 4
