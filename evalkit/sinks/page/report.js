"use strict";
// Tables sort by a click on a title; every number on the page reads from the front of its cell.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title.textContent;
    title.replaceChildren(button);
    button.addEventListener("click", () => {
      const falling = title.getAttribute("aria-sort") !== "descending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [keyOf(row.cells[column].textContent), row]);
      rows.sort(([one], [other]) => (falling ? -1 : 1) * compare(one, other));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
function keyOf(text) {
  const found = text.replace(/^[^\d+-]*(?=[+-]?\d)/, "").match(/^[+-]?\d+(\.\d+)?/);
  return found ? Number(found[0]) : text;
}
function compare(one, other) {
  if (typeof one === typeof other) return one < other ? -1 : one > other ? 1 : 0;
  return typeof one === "number" ? 1 : -1;
}
for (const field of document.querySelectorAll("input[data-filters]")) {
  const entries = [...document.getElementById(field.dataset.filters).children];
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const entry of entries) entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
  });
}
// On paper everything lies open.
addEventListener("beforeprint", () => document.querySelectorAll("#examples details").forEach((entry) => { entry.open = true; }));
