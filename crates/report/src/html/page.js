(() => {
  "use strict";
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
    tip.style.left = `${Math.max(4, Math.min(left, innerWidth - box.width - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - box.height - 4))}px`;
  };
  const hide = () => { tip.hidden = true; };
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Points tell what they are.
  for (const circle of document.querySelectorAll("circle:has(title)")) {
    const title = circle.querySelector("title");
    const text = title.textContent;
    title.remove();
    circle.setAttribute("role", "img");
    circle.setAttribute("aria-label", text);
    circle.addEventListener("pointerenter", (event) => show(text, event.clientX, event.clientY));
    circle.addEventListener("pointerleave", hide);
    circle.addEventListener("focus", () => {
      const box = circle.getBoundingClientRect();
      show(text, box.right, box.bottom);
    });
    circle.addEventListener("blur", hide);
  }

  // The row of a chart's data that is nearest to the pointer, or chosen with the arrow keys.
  for (const figure of document.querySelectorAll("figure.chart")) {
    const names = [...figure.querySelectorAll(".data th")].map((cell) => cell.textContent);
    const rows = [...figure.querySelectorAll(".data tbody tr")];
    if (rows.length === 0) continue;
    const places = rows.map((row) => Number(row.dataset.at));
    const told = (index) => [...rows[index].cells].map((cell, n) => `${names[n]}: ${cell.textContent}`).join("\n");
    for (const svg of figure.querySelectorAll("svg")) {
      const { left, right, top, bottom } = svg.dataset;
      const cursor = document.createElementNS(svg.namespaceURI, "path");
      cursor.setAttribute("class", "cursor");
      let chosen = 0;
      const choose = (index, y) => {
        chosen = index;
        const x = Number(left) + places[index] * (right - left);
        cursor.setAttribute("d", `M${x},${top}V${bottom}`);
        svg.append(cursor);
        const box = svg.getBoundingClientRect();
        show(told(index), box.left + x * box.width / svg.viewBox.baseVal.width, y ?? box.top + box.height / 3);
      };
      const leave = () => { cursor.remove(); hide(); };
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
        const place = (x - left) / (right - left);
        let nearest = 0;
        places.forEach((other, n) => {
          if (Math.abs(other - place) < Math.abs(places[nearest] - place)) nearest = n;
        });
        choose(nearest, event.clientY);
      });
      svg.addEventListener("pointerleave", leave);
      svg.tabIndex = 0;
      svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) choose(chosen); });
      svg.addEventListener("blur", leave);
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        choose(Math.max(0, Math.min(rows.length - 1, chosen + step)));
      });
    }
  }

  // Columns sort.
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const text = (row) => row.cells[column].textContent;
        const number = (row) => Number(row.cells[column].dataset.key ?? Number.MAX_VALUE);
        const compare = head.classList.contains("n")
          ? (a, b) => number(a) - number(b)
          : (a, b) => text(a).localeCompare(text(b), "en", { numeric: true });
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b))));
      });
    });
  }
})();
