"""One table, four renderings: text, Markdown, CSV and LaTeX."""
import csv
import io
import math

from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

from data.errors import InputError
from data.files import write_whole
from tools.lib.outputs import require_file

FORMATS = ("text", "markdown", "csv", "latex")
#: Format that the ending of an output file stands for.
ENDINGS = {".txt": "text", ".md": "markdown", ".csv": "csv", ".tex": "latex"}
_LATEX_ESCAPES = str.maketrans({
    "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"
})


def _markdown_rule(widths, alignments):
    return "|---" + "|---:" * (len(widths) - 1) + "|"


def _latex_top(widths, alignments):
    columns = "l" + "r" * (len(widths) - 1)
    return f"\\begin{{tabular}}{{{columns}}}\n\\hline"


#: A rule below the header and between blocks; no frame.
_TEXT = TableFormat(None, Line("", "-", "--", ""), None, None, None, DataRow("", "  ", ""), 0, None)
_MARKDOWN = TableFormat(None, _markdown_rule, None, None,
                        DataRow("|", "|", "|"), DataRow("|", "|", "|"), 1, None)
_LATEX = TableFormat(_latex_top, Line("\\hline", "", "", ""), None,
                     Line("\\hline\n\\end{tabular}", "", "", ""),
                     DataRow("", " & ", " \\\\"), DataRow("", " & ", " \\\\"), 0, None)


class Table:
    """A table: titles of the columns, rows of cells, and lines around them.

    header: column titles.  rows: lists of cells, as long as the header: str, float (percent) or
    None (empty).  title: a line above.  rules: numbers of the rows that begin a new block.
    notes: lines below.
    """

    def __init__(self, header, rows, title="", rules=(), notes=()):
        self.header, self.rows, self.title = list(header), [list(r) for r in rows], title
        self.rules, self.notes = set(rules), list(notes)
        wrong = [r for r in self.rows if len(r) != len(self.header)]
        if wrong:
            raise ValueError(f"a row has {len(wrong[0])} cells under {len(self.header)} "
                             f"titles: {wrong[0]!r}")


def cell(value):
    """Text of a cell: a float with one decimal, "nan" for an undefined score, "" for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.1f}"
    return str(value)


def render(table, form):
    """The table as one string that ends in a newline; form is one of FORMATS."""
    cells = [[cell(value) for value in row] for row in table.rows]
    return {"text": _text, "markdown": _markdown, "csv": _csv, "latex": _latex}[form](table, cells)


def format_of(path, form=None):
    """The format for the file of --output: `form` if given, else by the ending of `path`.

    Commands call this before they compute.  Raises InputError when the file cannot be written or
    its ending stands for no format.
    """
    require_file(path, "--output")
    if form:
        return form
    for ending, name in ENDINGS.items():
        if str(path).endswith(ending):
            return name
    raise InputError(f"--output {path}: the ending names no table format; expected "
                     f"{', '.join(ENDINGS)}", "or give --format")


def print_and_write(tables, path, form):
    """Prints the tables as text and writes them to the file `path` in `form`; None writes none."""
    print("\n".join(render(table, "text") for table in tables), end="")
    if path:
        write_whole(path, "\n".join(render(table, form) for table in tables))


def _text(table, cells):
    # tabulate widens titles that it gets as headers, and so they are the first row here
    rows = [table.header, SEPARATING_LINE] + _with_rules(table, cells)
    columns = ["left"] + ["right"] * (len(table.header) - 1)
    body = tabulate(rows, tablefmt=_TEXT, colalign=columns, disable_numparse=True)
    return "\n".join(([table.title] if table.title else []) + [body] + table.notes) + "\n"


def _markdown(table, cells):
    header, *rows = [[text.replace("|", "\\|") for text in row] for row in [table.header] + cells]
    body = tabulate(rows, header, _MARKDOWN, stralign=None, disable_numparse=True)
    return "\n".join(([table.title, ""] if table.title else []) + [body]
                     + ([""] + table.notes if table.notes else [])) + "\n"


def _latex(table, cells):
    header, *rows = [[text.translate(_LATEX_ESCAPES) for text in row]
                     for row in [table.header] + cells]
    body = tabulate(_with_rules(table, rows), header, _LATEX, stralign=None, disable_numparse=True)
    return "\n".join(["% " + table.title] * bool(table.title) + [body]
                     + ["% " + note for note in table.notes]) + "\n"


def _with_rules(table, rows):
    """The rows with a separating line before each row that begins a block."""
    separated = []
    for number, row in enumerate(rows):
        separated += [SEPARATING_LINE, row] if number in table.rules else [row]
    return separated


def _csv(table, cells):
    # programs read a CSV file: the notes are left out, and the title is in the corner
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([table.title or table.header[0]] + table.header[1:])
    writer.writerows(["" if v is None else repr(v) if isinstance(v, float) else v for v in row]
                     for row in table.rows)
    return out.getvalue()
