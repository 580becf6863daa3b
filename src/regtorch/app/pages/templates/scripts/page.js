"use strict";
// Without these scripts the page has its plots and tables, and says that charts, filters and sorting are missing.
const status = document.querySelector(".status");

function sort(table, column, head, down = head.getAttribute("aria-sort") !== "descending") {
  const value = (row) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  };
  const text = (row) => row.cells[column].firstChild?.textContent ?? "";
  const body = table.tBodies[0];
  const numeric = [...body.rows].some((row) => value(row) !== null);
  const compare = (a, b) => {
    if (!numeric) return (down ? 1 : -1) * text(b).localeCompare(text(a), "en", { numeric: true });
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what has no number stays below
    return down ? y - x : x - y;
  };
  body.append(...[...body.rows].sort(compare));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.dispatchEvent(new CustomEvent("sorted", { detail: { column, down } }));
  status.textContent = `Sorted by ${head.textContent}, ${down ? "largest" : "smallest"} first`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(table, column, head));
    head.replaceChildren(button);
  });
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code); // no clipboard here: what is selected can be copied by hand
    return false;
  }
}

for (const command of document.querySelectorAll(".command")) {
  const code = command.querySelector("code");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy this command");
  button.addEventListener("click", async () => {
    const done = await copy(code);
    button.textContent = done ? "Copied" : "Selected";
    status.textContent = done ? "Copied" : "Selected; copy it with your keyboard";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  command.append(button);
}

addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details.wide")) part.open = true;
});
