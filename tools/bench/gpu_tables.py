"""Tables of a step in every engine: times, ratios to PyTorch, memory, and the Python layers."""
import statistics

from tools.bench.timing import milliseconds, paired_ratio, ratio_text

MIB = 2.0 ** 20
STEPS = [
    "engine", "images", "a step", "images a second", "step / PyTorch's",
    "images a second / PyTorch's", "memory", "in Python layers"
]
LAYERS = [
    "engine", "images", "layer", "forward and backward", "share of the step", "touched forward",
    "touched backward"
]
LAYER_NOTES = ["Touched: the blobs that the layer's Python code reads or fills. On a GPU they come "
               "to the host and may go back, so at most twice these bytes are moved; all other "
               "blobs stay on the GPU."]


def step_rows(results):
    """Rows of the first table.

    A step is compared with PyTorch's step of the same batch and precision. Images a second are
    compared with PyTorch's at one image of each domain, or at the largest batch of each engine.
    """
    torch = [result for result in results if result.layers is None]
    torch_times = {(result.images, result.tf32): result.times for result in torch}
    torch_rates = {(result.images > 1, result.tf32): images_a_second(result) for result in torch}
    rows = []
    for result in results:
        rate = images_a_second(result)
        step_ratio = rate_ratio = ""
        if result.layers is not None:
            times = torch_times.get((result.images, result.tf32))
            if times is not None:
                step_ratio = ratio_text(paired_ratio(result.times, times))
            torch_rate = torch_rates.get((result.images > 1, result.tf32))
            if torch_rate is not None:
                rate_ratio = f"{rate / torch_rate:.3f}"
        rows.append([
            result.label, images_text(result), milliseconds(result.times), f"{rate:.2f}",
            step_ratio, rate_ratio, f"{result.memory / MIB:.0f} MiB", python_share(result.layers)
        ])
    return rows


def images_a_second(result):
    """Images of both domains a second, at the median of the steps."""
    return 2 * result.images / statistics.median(result.times)


def images_text(result):
    """The batch as a table shows it: source + target."""
    return f"{result.images} + {result.images}"


def python_share(layers):
    """Share of the layers' time that the Python layers take, as a table shows it."""
    if layers is None:
        return ""
    python = sum(seconds for seconds, touched, _ in layers.values() if touched is not None)
    return f"{100 * python / _all_seconds(layers):.2f} %"


def layer_rows(results):
    """Rows of the second table."""
    rows = []
    for result in results:
        layers = result.layers or {}
        for name, (seconds, *touched) in sorted(layers.items()):
            if None not in touched:
                rows.append([result.label, images_text(result), name, milliseconds([seconds]),
                             f"{100 * seconds / _all_seconds(layers):.3f} %"]
                            + [f"{size / MIB:.2f} MiB" for size in touched])
    return rows


def _all_seconds(layers):
    return sum(found[0] for found in layers.values())
