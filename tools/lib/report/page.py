"""The report as one HTML file: everything in it, nothing from a network."""
import base64
import datetime
import hashlib
import os

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from data.errors import InputError
from data.files import write_whole
from tools.lib.report import class_sizes, curves, facts
from tools.lib.report.run_files import groups
from tools.lib.report.score_tables import test_sets
from tools.lib.report.strips import filmstrips
from tools.lib.tables import cell

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
#: Colours of groups in the style sheet; a further group takes the first again.
COLOURS = 10
#: Bytes: mail and chat programs refuse larger files.
LARGEST = 10_000_000


def html(runs, pictures, command, renewed=None):
    """The page's text.

    pictures: of frames.draw_pictures().  command: the command line, for the page's foot.
    renewed: seconds after which the browser reads the file again; None: never.
    """
    found = groups(runs)
    colours = {group: number % COLOURS for number, group in enumerate(found)}
    strips = filmstrips(runs)
    script = _read("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(cell=cell, number=_number, sentence=_sentence, images=_images)
    return environment.get_template("report.html").render(
        title=_title(runs, found), summary=facts.summary(runs), notes=_notes(runs), runs=runs,
        groups=found, colours=colours,
        tests=test_sets(runs), pictures=pictures, sizes=class_sizes.class_sizes(runs, pictures),
        charts=curves.charts(runs, colours), run_table=facts.run_table(runs),
        facts=[facts.run_facts(run) for run in runs], going=[r for r in runs if not r.finished],
        written=datetime.datetime.now().astimezone(), command=command, renewed=renewed,
        chart=curves, palette=_palette(pictures.space, strips), strips=strips,
        model_colours=[colours.get(title, len(found) % COLOURS) for title in pictures.models],
        style=Markup(_read("report.css")), script=Markup(script), digest=digest)


def write(path, text):
    """Writes the page; InputError when it would be larger than LARGEST."""
    # a path may hold bytes that are no text
    content = text.encode("utf-8", "replace")
    if len(content) > LARGEST:
        raise InputError(f"the page would have {len(content) / 1e6:.1f} MB; expected at most "
                         f"{LARGEST / 1e6:.0f} MB", "show fewer frames: --frames 2")
    write_whole(path, content)


def _title(runs, found):
    names = ", ".join(found)
    experiments = {run.experiment.name if run.experiment else None for run in runs}
    if len(experiments) == 1 and None not in experiments:
        return f"{experiments.pop()}: {names}"
    return names


def _notes(runs):
    """What a reader of the experiments' results has to know, each once."""
    notes = [run.experiment.note for run in runs if run.experiment and run.experiment.note]
    return list(dict.fromkeys(notes))


def _palette(space, strips):
    """[(class, colour of the style sheet)] of the frames' LabelSpace, else of the filmstrips."""
    classes = zip(space.classes, space.palette) if space else strips[0].classes if strips else []
    return [(name, "rgb({}, {}, {})".format(*map(int, rgb))) for name, rgb in classes]


def _number(text):
    """The number that a cell's text begins with, or None."""
    try:
        return float(str(text).split(" ")[0])
    except (ValueError, IndexError):
        return None


def _sentence(text):
    """The text with a capital letter at its start; the name of an output stays as it is."""
    return text if "_" in text else text[:1].upper() + text[1:]


def _images(count):
    return "1 image" if count == 1 else f"{count} images"


def _read(name):
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return file.read()
