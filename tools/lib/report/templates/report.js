"use strict";
// Sorting: the rows of the body by the numbers that their cells begin with, else by their text.
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => {
    const title = button.parentElement, row = title.parentElement, table = title.closest("table");
    const column = [...row.children].indexOf(title);
    const down = title.getAttribute("aria-sort") !== "descending" && column > 0
      || title.getAttribute("aria-sort") === "ascending";
    for (const other of row.children) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map(line => {
      const text = line.cells[column].textContent.trim();
      return {line, text, number: parseFloat(text)};
    });
    rows.sort((a, b) => {
      const [na, nb] = [Number.isNaN(a.number), Number.isNaN(b.number)];
      if (na !== nb) return na ? 1 : -1;      // what has no number comes last, either way
      const order = na ? a.text.localeCompare(b.text) : a.number - b.number;
      return down ? -order : order;
    });
    body.append(...rows.map(entry => entry.line));
  });
}
// The line between before and after.
for (const range of document.querySelectorAll(".stack input")) {
  range.addEventListener("input", () =>
    range.parentElement.style.setProperty("--wipe", range.value + "%"));
}
// Which net is left and which is right.
for (const select of document.querySelectorAll("select[data-side]")) {
  select.addEventListener("change", () => {
    const side = select.dataset.side;
    for (const stack of document.querySelectorAll(".stack"))
      for (const image of stack.querySelectorAll("img"))
        image.classList.toggle(side, image.dataset.model === select.value);
    for (const name of document.querySelectorAll(`[data-name="${side}"]`))
      name.textContent = select.selectedOptions[0].textContent;
  });
}
