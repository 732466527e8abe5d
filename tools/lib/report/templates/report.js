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
      return {line, text, number: /^-?[\d.]+( |$)/.test(text) ? parseFloat(text) : NaN};
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
// Reading a chart: the values of every line at the pointer, or at the arrow keys' place.
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg"), reading = chart.querySelector(".reading");
  const [left, right, bottom, top] = svg.dataset.extent.split(" ").map(Number);
  const [x0, x1, y0, y1] = svg.dataset.box.split(" ").map(Number);
  const lines = [...svg.querySelectorAll("path")].map(path => ({
    path, points: path.getAttribute("d").slice(1).split("L").map(pair => pair.split(" ").map(Number))
  }));
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.classList.add("cursor");
  cursor.setAttribute("y1", y1);
  cursor.setAttribute("y2", y0);
  let place = x1;
  const show = x => {
    place = Math.min(x1, Math.max(x0, x));
    const iteration = left + (place - x0) / (x1 - x0) * (right - left);
    const title = document.createElement("b");
    title.textContent = "iteration " + Math.round(iteration);
    reading.replaceChildren(title);
    for (const {path, points} of lines) {
      const near = points.reduce((best, point) =>
        Math.abs(point[0] - place) < Math.abs(best[0] - place) ? point : best);
      if (Math.abs(near[0] - place) > (x1 - x0) / 20) continue;     // the run ends before
      const value = bottom + (near[1] - y0) / (y1 - y0) * (top - bottom);
      const [stroke, name, number] = ["span", "span", "span"].map(tag => document.createElement(tag));
      stroke.className = "stroke " + path.getAttribute("class");
      name.textContent = path.dataset.name;
      number.textContent = Number(value.toPrecision(3));
      reading.append(stroke, name, number);
    }
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    svg.append(cursor);
    reading.hidden = false;
  };
  const hide = () => { reading.hidden = true; cursor.remove(); };
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    show((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) show(place); });
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    show(place + step * (x1 - x0) / 50);
  });
}
