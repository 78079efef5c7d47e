for (const head of document.querySelectorAll("th button")) {
  head.addEventListener("click", () => {
    const th = head.closest("th"), body = th.closest("table").tBodies[0];
    const sign = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const value = (row) => row.cells[th.cellIndex].dataset.value;
    const rows = [...body.rows].sort((one, other) => {
      const a = value(one), b = value(other);
      if (a === "" || b === "") return (a === "") - (b === "");
      const gap = Number(a) - Number(b);
      return sign * (Number.isNaN(gap) ? a.localeCompare(b, undefined, {numeric: true}) : gap);
    });
    for (const other of th.parentElement.cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    body.append(...rows);
  });
}
