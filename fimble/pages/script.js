"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && !head.classList.contains("n"));
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        const order = head.classList.contains("n") ? Number(x) - Number(y) : x < y ? -1 : Number(x > y);
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}
for (const table of document.querySelectorAll("table.searchable")) {
  const input = document.createElement("input");
  input.type = "search";
  input.className = "search";
  input.placeholder = "Find in this table";
  input.setAttribute("aria-label", "Find in this table");
  table.closest(".tall").before(input);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
