// How a card shows rows: as a table, bars or shaded cells, and as a file.

// --- tables, bars and their files -----------------------------------------------------------

const exports = {};

// text for a spreadsheet: one that it would take for a formula gets an apostrophe in front
function csvCell(value) {
  if (typeof value !== "string") return value === null || value === undefined ? "" : String(value);
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? "'" + value : value;
  return /[,"\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function offer(id, file, head, rows) {
  exports[id] = { file, text: [head, ...rows].map((cells) => cells.map(csvCell).join(",")).join("\n") + "\n" };
  document.querySelector(`[data-csv="${id}"]`).hidden = !rows.length;
}

function save(id) {
  const { file, text } = exports[id];
  const link = element("a", { download: file, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const fileOf = (chosen, only, ...names) =>
  [...names, ...Object.entries(only).map((pair) => pair.join("=")), chosen.from, sunday(chosen.to || chosen.from || "1970-01-05")].join("_").replace(/[^\w.=-]+/g, "-") + ".csv";

function cellOf(tag, text, attributes = {}) {
  return element(tag, attributes, ...(text instanceof Node ? [text] : [text ?? ""]));
}

function fillTable(id, head, rows, first = 1) {
  const number = (place) => (place >= first ? { class: "n" } : {});
  const top = element("tr", {}, ...head.map((text, place) => cellOf("th", text, { scope: "col", ...number(place) })));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((text, place) => cellOf(place ? "td" : "th", text, { ...(place ? {} : { scope: "row" }), ...number(place) }))));
  byId(id).replaceChildren(element("thead", {}, top), element("tbody", {}, ...body));
}

const NOBODY = "Too few users to be shown.";
const TOO_MANY = "No more than two dimensions are shared together: take a filter back.";
const nothing = (text = NOBODY) => element("p", { class: "empty" }, text);

// bars are a table: its rows are read aloud, wrap, and are as wide as the place they stand in
function drawBars(id, title, rows, otherwise) {
  const most = Math.max(...rows.map((one) => one.value ?? 0));
  const lines = rows.map(({ name, value, text, more, of }) =>
    element("tr", {},
      cellOf("th", name, { scope: "row" }),
      cellOf("td", element("i", { "--share": most ? (value ?? 0) / most : 0, ...(of ? { "--of": of } : {}) })),
      element("td", { class: "n" }, text, ...(more ? [element("small", {}, " " + more)] : []))));
  const table = element("table", { class: "bars" }, ...(title ? [element("caption", {}, title)] : []), element("tbody", {}, ...lines));
  byId(id).replaceChildren(rows.length ? table : nothing(otherwise));
}

// a table whose cells are coloured from the least to the greatest
function drawHeatTable(id, metric, head, rows, otherwise = NOBODY) {
  const values = rows.flatMap(({ cells }) => cells.map((cell) => cell?.value)).filter((value) => value !== null && value !== undefined);
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  const share = (value) => (greatest > least ? (value - least) / (greatest - least) : 0.5);
  const top = element("tr", {}, ...head.map((text) => cellOf("th", text, { scope: "col" })));
  const body = rows.map(({ name, of, cells }) =>
    element("tr", {}, cellOf("th", name, { scope: "row", title: name }),
      ...(of === undefined ? [] : [cellOf("td", of, { class: "of" })]),
      ...cells.map((cell) => {
        if (cell === undefined) return element("td", { class: "none" });
        if (cell === null || cell.value === null) return element("td", { class: "hidden" }, element("span", { title: "not shown" }, "–"));
        return cellOf("td", written(metric, cell.value), { "--share": share(cell.value) });
      })));
  byId(id).replaceChildren(...(rows.length ? [element("thead", {}, top), element("tbody", {}, ...body)] : [element("caption", { class: "empty" }, otherwise)]));
  const swatch = (kind, text) => element("li", {}, element("i", { class: kind }), text);
  byId(id + "-legend").replaceChildren(...(values.length
    ? [element("li", {}, written(metric, least) + " ", element("i", { class: "scale" }), written(metric, greatest)), swatch("hidden", "not shown")]
    : []));
}

function define(id, metric) {
  const { formula, unit, caveat } = content.metrics[metric];
  byId(id + "-definition").textContent = `${words(metric)}: ${formula} [${unit}]. ${caveat}`;
}
