"""One table, four renderings: text, Markdown, CSV and LaTeX."""
import csv
import io
import math

from data.errors import InputError
from tools.lib.outputs import require_file

FORMATS = ("text", "markdown", "csv", "latex")
#: Rendering that an output file's ending asks for.
ENDINGS = {".txt": "text", ".md": "markdown", ".csv": "csv", ".tex": "latex"}
_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


class Table:
    """header: column titles; rows: lists of str or float (percent) of the same length;
    rules: numbers of the rows that open a new block; notes: lines under the table."""

    def __init__(self, header, rows, title="", rules=(), notes=()):
        self.header, self.rows, self.title = list(header), [list(r) for r in rows], title
        self.rules, self.notes = set(rules), list(notes)
        wrong = [r for r in self.rows if len(r) != len(self.header)]
        if wrong:
            raise ValueError(f"a row has {len(wrong[0])} cells under {len(self.header)} "
                             f"titles: {wrong[0]!r}")


def cell(value):
    """Text of a cell: one decimal for a number, "nan" for a score that does not exist, "" for
    None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.1f}"
    return str(value)


def render(table, form):
    """The table as one string ending in a newline; form is one of FORMATS."""
    cells = [[cell(value) for value in row] for row in table.rows]
    return {"text": _text, "markdown": _markdown, "csv": _csv, "latex": _latex}[form](table, cells)


def format_of(path, form=None):
    """The format for the file of --output: `form` if given, else what the ending of `path` says.

    Raises InputError for an ending that says none, and when no file can be written there: commands
    ask before they compute.
    """
    require_file(path, "--output")
    if form:
        return form
    for ending, name in ENDINGS.items():
        if str(path).endswith(ending):
            return name
    raise InputError(f"--output {path}: the ending names no table format; expected "
                     f"{', '.join(ENDINGS)}", "or give --format")


def _text(table, cells):
    widths = [max(len(row[i]) for row in [table.header] + cells) for i in range(len(table.header))]

    def line(row):
        first = row[0].ljust(widths[0])
        return "  ".join([first] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]).rstrip()

    rule = "-" * len("  ".join(" " * w for w in widths))
    out = ([table.title] if table.title else []) + [line(table.header), rule]
    for number, row in enumerate(cells):
        out += ([rule] if number in table.rules else []) + [line(row)]
    return "\n".join(out + table.notes) + "\n"


def _markdown(table, cells):
    def line(row):
        return "| " + " | ".join(c.replace("|", "\\|") for c in row) + " |"

    out = [table.title, ""] if table.title else []
    out += [line(table.header), "|---" + "|---:" * (len(table.header) - 1) + "|"]
    out += [line(row) for row in cells]
    if table.notes:
        out += [""] + table.notes
    return "\n".join(out) + "\n"


def _csv(table, cells):
    # a CSV file is read by programs: the notes stay out, the title stands in the corner
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([table.title or table.header[0]] + table.header[1:])
    writer.writerows(["" if v is None else repr(v) if isinstance(v, float) else v for v in row]
                     for row in table.rows)
    return out.getvalue()


def _latex(table, cells):
    def line(row):
        return " & ".join("".join(_LATEX.get(c, c) for c in text) for text in row) + r" \\"

    out = [
        r"\begin{tabular}{l%s}" % ("r" * (len(table.header) - 1)), r"\hline",
        line(table.header), r"\hline"
    ]
    for number, row in enumerate(cells):
        out += ([r"\hline"] if number in table.rules else []) + [line(row)]
    out += [r"\hline", r"\end{tabular}"]
    if table.title:
        out.insert(0, "% " + table.title)
    out += ["% " + note for note in table.notes]
    return "\n".join(out) + "\n"
