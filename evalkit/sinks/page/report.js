"use strict";
// Tables sort by a click on a title: numbers from the largest, words from A; what is absent stays last.
const ABSENT = "–";
const NUMBER = /^(?:< )?([+-]?\d+(?:\.\d+)?)(?: %| ms| to [+-].*|\/.*)?$/;
const words = new Intl.Collator("en", { numeric: true });
for (const table of document.querySelectorAll("table.sortable")) {
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title.textContent;
    title.replaceChildren(button);
    button.addEventListener("click", () => sort(table.tBodies[0], titles, column));
  });
}
function sort(body, titles, column) {
  const cells = [...body.rows].map((row) => [row.cells[column].textContent.trim(), row]);
  const known = cells.filter(([text]) => text !== ABSENT);
  const numeric = known.every(([text]) => NUMBER.test(text));
  const before = titles[column].getAttribute("aria-sort");
  const rising = before === null ? !numeric : before === "descending";
  titles.forEach((other) => other.removeAttribute("aria-sort"));
  titles[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
  const compare = numeric ? (one, other) => valueOf(one) - valueOf(other) : words.compare;
  known.sort(([one], [other]) => (rising ? 1 : -1) * compare(one, other));
  const absent = cells.filter(([text]) => text === ABSENT);
  body.append(...[...known, ...absent].map(([, row]) => row));
}
function valueOf(text) {
  // "< 0.001" lies below 0.001, but above anything that is printed as less.
  return Number(NUMBER.exec(text)[1]) - (text.startsWith("<") ? 1e-9 : 0);
}
for (const field of document.querySelectorAll("input[data-filters]")) {
  const entries = [...document.getElementById(field.dataset.filters).children];
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const entry of entries) entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
    const shown = entries.filter((entry) => !entry.hidden).length;
    field.nextElementSibling.value = wanted ? `${shown} of ${entries.length}` : "";
  });
  field.parentElement.hidden = false;
}
// On paper everything lies open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const entry of opened) entry.open = true;
});
addEventListener("afterprint", () => {
  for (const entry of opened) entry.open = false;
});
