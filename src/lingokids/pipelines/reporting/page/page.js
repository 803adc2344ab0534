"use strict";

// The filters choose among answers that were decided before: nothing is added up here, because
// hidden groups are not in the page; rates are quotients of two numbers shown. The key of an answer
// is its sorted dimensions, joined by bars; its rows begin with their week and the dimensions' values.

const content = JSON.parse(document.getElementById("content").textContent);
const { activity, registration, retention } = content.subjects;
const METRICS = Object.keys(content.metrics).filter((name) => subjectOf(name) === activity);
const HEADLINE = ["active_users", "activities_played", "completion_rate", "capped_time_per_user"];
const MOST_LINES = 8, MOST_BARS = 14, MOST_PLAYED = 10;
const MOST_NAMES = 2; // the longest split that is shared
const MARKS = [["circle", "●"], ["square", "■"], ["triangle", "▲"], ["diamond", "◆"]];
const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("--")) made.style.setProperty(key, value); // which the policy allows
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// --- words ----------------------------------------------------------------------------------

const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "code" });
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const words = (name) => capital(name.replace(/_(code|id)$/, "").replace(/^os_(name)?/, "system ").trim().replaceAll("_", " "));

// an app left in the background counts for days in what is not capped
const isUncapped = (name) => [name, ...(content.metrics[name].quotient || [])].slice(0, 2).includes("total_time_spent");
const titleOf = (metric) => words(metric) + (isUncapped(metric) ? " (not capped)" : "");

function label(dimension, value) {
  if (dimension === "activity_id") return content.activities[value] || value;
  if (dimension === "country_code" && /^[a-z]{2}$/.test(value)) return regions.of(value.toUpperCase());
  return value;
}

const unitOf = (metric) => content.metrics[metric].unit;

function written(metric, value) {
  if (value === null || value === undefined) return "–";
  if (unitOf(metric) === "0 to 1") return (100 * value).toFixed(1) + " %";
  if (unitOf(metric) === "s") return duration(value);
  return value.toLocaleString("en", { maximumFractionDigits: 1 });
}

function duration(seconds) {
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 5400) return (seconds / 60).toFixed(1) + " min";
  return (seconds / 3600).toLocaleString("en", { maximumFractionDigits: 1 }) + " h";
}

const dateOf = (day) => new Date(day + "T00:00:00Z");
const dayFormat = (options) => (day) => dateOf(day).toLocaleDateString("en-GB", { timeZone: "UTC", ...options });
const short = dayFormat({ day: "numeric", month: "short" });
const long = dayFormat({ day: "numeric", month: "short", year: "numeric" });
const sunday = (monday) => new Date(dateOf(monday).getTime() + 6 * 864e5).toISOString().slice(0, 10);

// --- answers --------------------------------------------------------------------------------

function subjectOf(metric) {
  const parts = content.metrics[metric].quotient || [metric];
  return Object.values(content.subjects).find(({ numbers }) => numbers.includes(parts[0]));
}

function valueOf(group, metric) {
  const parts = content.metrics[metric].quotient;
  if (!parts) return group[metric] ?? null;
  const [part, whole] = parts.map((name) => valueOf(group, name));
  return part === null || !whole ? null : part / whole;
}

const splitOf = (names, only) => [...new Set([...names, ...Object.keys(only)])].sort();

// the groups of an answer as objects, of the values asked for
function groups(subject, names, only = {}) {
  const split = splitOf(names, only);
  return (subject.answers[split.join("|")] || [])
    .map((row) => Object.fromEntries(["week", ...split, ...subject.numbers].map((name, place) => [name, row[place]])))
    .filter((group) => Object.entries(only).every(([name, value]) => group[name] === value));
}

const weeks = [...new Set(Object.values(activity.answers).flat().map((row) => row[0]))].sort();
const days = groups(activity, ["day"]).map((one) => one.day).sort();
// the first may be partial, and would look like a rise
const isPartial = (week) => !days.length || week < days[0];

// groups hidden in weeks; the counts are by at most one filter
function notShown(subject, names, only, isMeant) {
  const filters = Object.entries(only);
  return (subject.hidden[splitOf(names, only).join("|")] || [])
    .filter((row) => isMeant(row[0]))
    .filter((row) => (filters.length === 1 ? row.length === 4 && row[1] === filters[0][0] && row[2] === filters[0][1] : row.length === 2))
    .reduce((sum, row) => sum + row.at(-1), 0);
}

function note(subject, names, only, isMeant, more = []) {
  const hidden = Object.keys(only).length < 2 ? notShown(subject, names, only, isMeant) : 0;
  const why = `fewer than ${content.smallest_group} users, mostly one user's, or needed to protect such a group.`;
  const counted = hidden ? [`${hidden.toLocaleString("en")} ${hidden === 1 ? "group is" : "groups are"} not shown: ${why}`] : [];
  return [...counted, ...more].join(" ");
}

// --- filters --------------------------------------------------------------------------------

const dimensions = Object.keys(content.dimensions).filter((name) => name in activity.answers && name !== "activity_id");
const FIRST = {
  ...{ metric: "completion_rate", by: "", grain: "week", from: weeks[0] || "", to: weeks.at(-1) || "" },
  ...Object.fromEntries(dimensions.map((name) => [name, ""])),
};

const option = (value, text) => element("option", { value }, text);

function fillFilters() {
  byId("metric").append(...METRICS.map((name) => option(name, titleOf(name))));
  byId("by").append(option("", "nothing"), ...dimensions.map((name) => option(name, words(name))));
  byId("grain").append(option("week", "Week"), option("day", "Day"));
  byId("from").append(...weeks.map((week) => option(week, long(week))));
  byId("to").append(...weeks.map((week) => option(week, long(sunday(week)))));
  for (const name of dimensions) {
    const values = [...new Set(groups(activity, [name]).map((one) => one[name]))];
    values.sort((a, b) => label(name, a).localeCompare(label(name, b), "en", { numeric: true }));
    const select = element("select", { id: name }, option("", "all"), ...values.map((value) => option(value, label(name, value))));
    byId("only").append(element("label", {}, words(name) + " ", select));
  }
}

function read() {
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const chosen = { ...FIRST };
  for (const name of Object.keys(FIRST)) {
    const offered = [...byId(name).options].map((one) => one.value);
    if (offered.includes(asked[name])) chosen[name] = asked[name];
  }
  return settle(chosen);
}

const onlyOf = (chosen) => Object.fromEntries(dimensions.filter((name) => chosen[name]).map((name) => [name, chosen[name]]));

// what is shared: splits of weeks by two dimensions at most, and days of everyone
function settle(chosen) {
  if (chosen.by && chosen[chosen.by]) chosen.by = "";
  const active = Object.keys(onlyOf(chosen));
  for (const name of active.slice(MOST_NAMES - (chosen.by ? 1 : 0))) chosen[name] = "";
  if (chosen.by || active.length) chosen.grain = "week";
  if (chosen.from > chosen.to) [chosen.from, chosen.to] = [chosen.to, chosen.from];
  return chosen;
}

let current;

function show(chosen) {
  current = chosen;
  const only = onlyOf(chosen);
  const used = Object.keys(only).length + (chosen.by ? 1 : 0);
  for (const name of Object.keys(FIRST)) byId(name).value = chosen[name];
  for (const name of dimensions) {
    byId(name).classList.toggle("active", Boolean(chosen[name]));
    byId(name).disabled = !chosen[name] && used >= MOST_NAMES;
  }
  for (const one of byId("by").options) one.disabled = one.value in only;
  byId("by").disabled = !chosen.by && used >= MOST_NAMES;
  byId("grain").options[1].disabled = used > 0;
  byId("hint").textContent = used < MOST_NAMES ? "" : TOO_MANY.replace("a filter back", "one back to choose another");
  drawHeadline(chosen, only);
  drawTrend(chosen, only);
  drawHeat(chosen, only);
  drawMostPlayed("by-count", "activities_played", chosen, only);
  drawMostPlayed("by-time", "capped_time_spent", chosen, only);
  drawFunnel(chosen, only);
  drawRetention(chosen, only);
}

const inRange = (chosen) => (week) => week >= chosen.from && week <= chosen.to;
const filtersIn = (only) => Object.entries(only).map(([name, value]) => `, only ${label(name, value)}`).join("");

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

// --- numbers of the last week ----------------------------------------------------------------

function drawHeadline({ to }, only) {
  const of = (week) => groups(activity, [], only).find((group) => group.week === week);
  const earlier = weeks[weeks.indexOf(to) - 1];
  const all = of(to), before = earlier && !isPartial(earlier) && of(earlier);
  byId("headline-title").textContent = to ? `Week of ${long(to)}${filtersIn(only)}` : "";
  byId("tiles").replaceChildren(...HEADLINE.map((metric) => {
    const value = element("strong", {}, all ? written(metric, valueOf(all, metric)) : "–");
    return element("div", { class: "tile" }, element("p", {}, words(metric)), value, element("p", {}, ...changeOf(metric, before, all)));
  }));
}

function changeOf(metric, before, last) {
  if (!before || !last) return ["no full week before"];
  const isShare = unitOf(metric) === "0 to 1";
  const [now, then] = [valueOf(last, metric), valueOf(before, metric)];
  const by = isShare ? 100 * (now - then) : 100 * (now / then - 1);
  if (!Number.isFinite(by)) return ["change not defined"];
  const text = (by >= 0 ? "▲ " : "▼ ") + Math.abs(by).toFixed(1) + (isShare ? " points" : " %");
  return [element("span", { class: by >= 0 ? "up" : "down" }, text), " from the week before"];
}

// --- trend ----------------------------------------------------------------------------------

let redraw = () => {};

function drawTrend(chosen, only) {
  const { metric, by, grain, to } = chosen;
  const names = grain === "day" ? ["day"] : by ? [by] : [];
  const found = groups(activity, names, only).filter((group) => inRange(chosen)(group.week));
  const periods = grain === "day" ? days.filter((day) => day >= chosen.from && day <= sunday(to)) : weeks.filter(inRange(chosen));
  const most = new Map();
  for (const one of found) most.set(one[by], Math.max(most.get(one[by]) ?? 0, one.active_users));
  const values = by ? [...most.keys()].sort((a, b) => most.get(b) - most.get(a)) : found.length ? [null] : [];
  const lines = values.slice(0, MOST_LINES).map((value, place) => ({
    name: by ? label(by, value) : "",
    colour: `var(--line-${place})`,
    mark: MARKS[place % MARKS.length],
    points: periods.map((period) => {
      const group = found.find((one) => one[grain] === period && (!by || one[by] === value));
      return { period, date: dateOf(period), value: group ? valueOf(group, metric) : null, isPartial: grain === "week" && isPartial(period) };
    }),
  }));
  const title = `${titleOf(metric)} per ${grain}${by ? " and " + words(by).toLowerCase() : ""}${filtersIn(only)}`;
  byId("trend-title").textContent = title;
  define("trend", metric);
  byId("trend-legend").replaceChildren(...(by ? lines : []).map(({ name, colour, mark }) => element("li", {}, element("i", { class: "mark", "--of": colour }, mark[1]), name)));
  byId("split").hidden = !by;
  byId("split").parentElement.classList.toggle("single", !by);
  redraw = () => plotTrend(title, chosen, periods, lines);
  redraw();
  if (by) {
    const last = found.filter((group) => group.week === to && valueOf(group, metric) !== null);
    last.sort((a, b) => valueOf(b, metric) - valueOf(a, metric));
    drawBars("split", `Week of ${long(to)}`, last.slice(0, MOST_BARS).map((group) => {
      const line = values.indexOf(group[by]);
      const of = line >= 0 && line < MOST_LINES ? `var(--line-${line})` : "color-mix(in srgb, var(--soft) 55%, var(--card))";
      return { name: label(by, group[by]), value: valueOf(group, metric), text: written(metric, valueOf(group, metric)), of };
    }));
  }
  const partial = grain === "week" ? periods.filter(isPartial) : [];
  byId("trend-note").textContent = note(activity, names, only, inRange(chosen), [
    ...(values.length > lines.length ? [`The ${MOST_LINES} with most users are drawn; the table has all.`] : []),
    ...partial.map((week) => `The week of ${long(week)} is partial: the data begin within it.`),
  ]);
  const keys = grain === "day" ? ["day"] : ["week", ...names];
  const shown = [metric, ...METRICS.filter((name) => name !== metric)];
  const inOrder = [...found].sort((a, b) => keys.map((key) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0)).find(Boolean) || 0);
  fillTable("numbers", [...keys, ...shown].map(words), inOrder.map((group) => [
    ...keys.map((key) => (key === "week" && isPartial(group.week) ? element("span", { class: "partial" }, group.week + " (partial)") : label(key, group[key]))),
    ...shown.map((name) => written(name, valueOf(group, name))),
  ]), keys.length);
  offer("numbers", fileOf(chosen, only, metric, ...keys), [...keys, ...shown], inOrder.map((group) => [...keys.map((key) => group[key]), ...shown.map((name) => valueOf(group, name))]));
}

// what one step of an axis is: long durations are drawn in hours or minutes
function scaleOf(metric, values) {
  const most = Math.max(...values.map(Math.abs), 0);
  if (unitOf(metric) === "0 to 1") return { by: 100, text: "%", from0: false };
  if (unitOf(metric) !== "s") return { by: 1, text: unitOf(metric), from0: true };
  if (most > 7200) return { by: 1 / 3600, text: "hours", from0: true };
  return most > 240 ? { by: 1 / 60, text: "minutes", from0: true } : { by: 1, text: "seconds", from0: true };
}

function plotTrend(title, { metric, grain }, periods, lines) {
  const place = byId("trend"), width = place.clientWidth;
  const values = lines.flatMap(({ points }) => points.map(({ value }) => value)).filter((value) => value !== null);
  if (!values.length || !width) return place.replaceChildren(nothing());
  const { by, text, from0 } = scaleOf(metric, values);
  const points = lines.flatMap(({ points, ...line }) => points.filter(({ value }) => value !== null).map((point) => ({ ...point, ...line })));
  const y = ({ value }) => (value === null ? NaN : value * by);
  const step = Math.ceil(periods.length / Math.max(2, Math.floor((width - 90) / 62)));
  const ticks = periods.filter((_, number) => (periods.length - 1 - number) % step === 0);
  const years = new Set();
  const named = new Map(ticks.map((tick) => {
    const year = tick.slice(0, 4), isFirst = !years.has(year);
    years.add(year);
    return [dateOf(tick).getTime(), isFirst ? `${short(tick)}\n${year}` : short(tick)];
  }));
  const quiet = { ariaHidden: "true" }; // the drawing has one name, and the table its numbers
  const figure = Plot.plot({
    ...{ width, height: 320, marginLeft: 52, marginRight: 16, marginTop: 28, marginBottom: 50, insetLeft: 12, insetRight: 12 },
    ariaLabel: `${title}. The table below has its numbers.`,
    style: { background: "none", fontSize: "12.5px", fontFamily: "inherit" },
    x: { type: "utc", domain: d3.extent(periods, dateOf) },
    y: { nice: true, zero: from0, label: text },
    marks: [
      Plot.gridY({ ...quiet, ticks: 5, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisY({ ...quiet, ticks: 5, tickSize: 0, tickFormat: "~s", label: text, labelArrow: "none", labelAnchor: "top", fill: "var(--soft)" }),
      Plot.axisX(ticks.map(dateOf), { ...quiet, tickSize: 0, tickPadding: 14, tickFormat: (date) => named.get(date.getTime()) ?? "", label: null, fill: "var(--soft)" }),
      Plot.ruleX(points, Plot.pointerX({ ...quiet, x: "date", stroke: "var(--soft)", strokeOpacity: 0.5 })),
      ...lines.flatMap(({ points, colour, mark }) => [
        Plot.lineY(points, { ...quiet, x: "date", y, stroke: colour, strokeWidth: 2.25, curve: "linear" }),
        ...(grain === "week" || lines.length > 1 || points.length < 60
          ? [Plot.dot(points.filter(({ value }) => value !== null), { ...quiet, x: "date", y, r: grain === "day" ? 2.5 : 4, symbol: mark[0], stroke: colour, fill: (point) => (point.isPartial ? "var(--card)" : colour), strokeWidth: 1.75 })]
          : []),
      ]),
      Plot.tip(points, Plot.pointerX({
        ...{ ...quiet, x: "date", y, fill: "var(--card)", stroke: "var(--line)", textPadding: 10, fontSize: 13, lineHeight: 1.3 },
        title: (point) => [point.name, (grain === "week" ? "week of " : "") + long(point.period) + (point.isPartial ? ", partial" : ""), written(metric, point.value)].filter(Boolean).join("\n"),
      })),
    ],
  });
  figure.setAttribute("role", "img");
  place.replaceChildren(figure);
}

// --- by country and week ----------------------------------------------------------------------

const heading = (week) => element("span", { class: isPartial(week) ? "partial" : "", title: isPartial(week) ? "partial week" : "" }, short(week), ...(isPartial(week) ? [element("br"), "partial"] : []));

function drawHeat(chosen, only) {
  const { metric } = chosen, name = chosen.by || "country_code";
  const found = groups(activity, [name], only).filter((group) => inRange(chosen)(group.week));
  const of = (one) => found.filter((group) => group[name] === one);
  const most = (one) => Math.max(...of(one).map((group) => group.active_users));
  const values = [...new Set(found.map((group) => group[name]))].sort((a, b) => most(b) - most(a) || (a < b ? -1 : 1));
  const columns = weeks.filter(inRange(chosen));
  byId("heat-title").textContent = `${titleOf(metric)} by week and ${words(name).toLowerCase()}${filtersIn(only)}`;
  define("heat", metric);
  drawHeatTable("heat", metric, [words(name), ...columns.map(heading)], values.map((value) => ({
    name: label(name, value),
    cells: columns.map((week) => {
      const group = of(value).find((one) => one.week === week);
      return group ? { value: valueOf(group, metric) } : null;
    }),
  })), splitOf([name], only).length > MOST_NAMES ? TOO_MANY : NOBODY);
  byId("heat-note").textContent = note(activity, [name], only, inRange(chosen), found.length < values.length * columns.length ? ["A hatched cell is a hidden group, or nobody played."] : []);
  const rows = found.map((group) => [group.week, group[name], valueOf(group, metric)]);
  offer("heat", fileOf(chosen, only, metric, "week", name), ["week", name, metric], rows.sort((a, b) => (a[0] + a[1] < b[0] + b[1] ? -1 : 1)));
}

// --- most played ------------------------------------------------------------------------------

function drawMostPlayed(id, metric, chosen, only) {
  const { to } = chosen;
  const rows = groups(activity, ["activity_id"], only)
    .filter((group) => group.week === to)
    .sort((a, b) => b[metric] - a[metric] || (a.activity_id < b.activity_id ? -1 : 1))
    .slice(0, MOST_PLAYED);
  drawBars(id, "", rows.map((group) => ({ name: label("activity_id", group.activity_id), value: group[metric], text: written(metric, group[metric]) })),
    Object.keys(only).length < MOST_NAMES ? NOBODY : TOO_MANY);
  define(id, metric);
  const isWeek = (week) => week === to;
  const more = notShown(activity, ["activity_id"], only, isWeek) ? ["A greater one may be among them."] : [];
  byId(id + "-title").textContent = `Most played, by ${id === "by-count" ? "count" : "time"}, week of ${to ? short(to) : "–"}${filtersIn(only)}`;
  byId(id + "-note").textContent = note(activity, ["activity_id"], only, isWeek, more);
  offer(id, fileOf(chosen, only, metric, "activity_id"), ["week", "activity_id", "activity_name", metric], rows.map((group) => [group.week, group.activity_id, content.activities[group.activity_id] ?? "", group[metric]]));
}

// --- cohorts: funnel and retention -------------------------------------------------------------

// cohorts are by country alone; a range from the first to the last week is all there are
function cohortsOf(subject, names, chosen, only) {
  const of = only.country_code ? { country_code: only.country_code } : {};
  const isMeant = (week) => (chosen.from === FIRST.from || week >= chosen.from) && (chosen.to === FIRST.to || week <= chosen.to);
  const others = Object.keys(only).filter((name) => name !== "country_code");
  const found = groups(subject, names, of).filter((group) => isMeant(group.week));
  const more = others.length ? [`The filter of ${others.map((name) => words(name).toLowerCase()).join(" and ")} does not apply to cohorts.`] : [];
  return { of, found, text: note(subject, names, of, isMeant, more), where: filtersIn(of) };
}

const NO_COHORT = "No cohort of this span yet: each is shared four weeks after its week, if it has users enough.";
const STEPS = [["registered_users", "Registered"], ["trials_started", "Started a trial"], ["trials_converted", "Subscribed after a trial"], ["subscriptions_started", "Subscribed, with or without"]];
const RATES = ["trial_rate", "trial_conversion_rate", "subscription_rate"];

function drawFunnel(chosen, only) {
  const { of, found, text, where } = cohortsOf(registration, [], chosen, only);
  found.sort((a, b) => (a.week < b.week ? -1 : 1));
  const last = found.at(-1);
  byId("funnel-title").textContent = `Funnel${last ? `, registered in the week of ${short(last.week)}` : ""}${where}`;
  byId("funnel-definition").textContent = "How far the users who registered in a week have come, as it was four weeks later.";
  drawBars("funnel", "", last ? STEPS.map(([name, text], place) => ({
    name: text, value: last[name], text: last[name].toLocaleString("en"),
    more: place ? `${Math.round((100 * last[name]) / last.registered_users)} %` : "",
    of: place === 3 ? "var(--line-5)" : "var(--line-0)",
  })) : [], NO_COHORT);
  byId("funnel-note").textContent = text;
  const columns = [...STEPS.map(([name]) => name), ...RATES];
  fillTable("cohorts", ["week", ...columns].map(words), found.map((group) => [group.week, ...columns.map((name) => written(name, valueOf(group, name)))]));
  byId("cohorts").closest("details").hidden = !found.length;
  offer("cohorts", fileOf(chosen, of, "funnel"), ["week", ...columns], found.map((group) => [group.week, ...columns.map((name) => valueOf(group, name))]));
}

function drawRetention(chosen, only) {
  const after = "weeks_after_registration";
  const { of, found, text, where } = cohortsOf(retention, [after], chosen, only);
  const cohorts = [...new Set(found.map((group) => group.week))].sort();
  const furthest = Math.max(-1, ...found.map((group) => Number(group[after])));
  const columns = [...Array(furthest + 1).keys()];
  byId("retention-title").textContent = `Retention by week of registration${where}`;
  define("retention", "retention_rate");
  drawHeatTable("retention", "retention_rate", ["Registered", "Users", ...columns.map((number) => `Week ${number}`)], cohorts.map((week) => {
    const rows = new Map(found.filter((group) => group.week === week).map((group) => [Number(group[after]), group]));
    const last = Math.max(...rows.keys());
    return {
      name: short(week), of: Math.max(...[...rows.values()].map((group) => group.cohort_users)).toLocaleString("en"),
      cells: columns.map((number) => (rows.has(number) ? { value: valueOf(rows.get(number), "retention_rate") } : number > last ? undefined : null)),
    };
  }), NO_COHORT);
  byId("retention-note").textContent = text;
  const numbers = ["retained_users", "cohort_users", "retention_rate"];
  const rows = found.map((group) => [group.week, Number(group[after]), ...numbers.map((name) => valueOf(group, name))]);
  offer("retention", fileOf(chosen, of, "retention"), ["week", after, ...numbers], rows.sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1)));
}

// --- independent of filters -------------------------------------------------------------------

function drawHead() {
  const until = weeks.length ? sunday(weeks.at(-1)) : "";
  byId("span").textContent = weeks.length
    ? `${long(days[0] || weeks[0])} to ${long(until)}, closed weeks. Days in ${content.time_zones.join(", then ")}. Activities that users left, each counted once.`
    : `No closed week with enough users to be shown. Days in ${content.time_zones.join(", then ")}.`;
  const { run_id, started_at, verdicts } = content.run;
  const { held = 0, warned = 0, failed = 0 } = verdicts, all = held + warned + failed;
  const verdict = element("span", { class: failed ? "failed" : warned || !all ? "warned" : "held" }, all ? `${held} of ${all} rules hold` : "none recorded");
  const others = [...(failed ? [`${failed} failed`] : []), ...(warned ? [`${warned} warned`] : [])];
  byId("run").append("Data as of ", element("time", { datetime: started_at }, started_at.replace("T", " ").replace(/:\d\dZ$/, " UTC")), ` (run ${run_id}). Checks: `, verdict, others.length ? `, ${others.join(", ")}.` : ".");
}

const PAIR = ["before", "after subscribing"];

function drawQuestions() {
  for (const [id, { meaning, columns, rows }] of Object.entries(content.questions)) {
    const names = Object.keys(columns), isPair = names.length > 1;
    const said = (value) => (value === null ? "–" : value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }) + (id === "q1" ? " %" : ""));
    drawBars(id, "", rows.flatMap(([key, ...values]) => values.map((value, place) => ({
      name: place ? element("span", { class: "aside" }, `${key}, ${PAIR[place]}`) : key, value, text: said(value), of: `var(--line-${place})`,
    }))));
    if (isPair) byId(id + "-legend").append(...PAIR.map((text, place) => element("li", {}, element("i", { class: "mark", "--of": `var(--line-${place})` }, "■"), text)));
    byId(id + "-definition").textContent = `${meaning} Groups of ${content.smallest_group} users or more.`;
    byId(id + "-definition").title = Object.entries(columns).map(([name, text]) => `${words(name)}: ${text}`).join("\n");
  }
}

function drawDefinitions() {
  const names = [...METRICS, ...STEPS.map(([name]) => name), ...RATES, "cohort_users", "retained_users", "retention_rate"];
  const rows = names.map((name) => {
    const { formula, unit, owner, caveat } = content.metrics[name];
    return [words(name), formula, unit, owner, caveat];
  });
  fillTable("definitions", ["Name", "Formula", "Unit", "Owner", "Caveat"], [
    ...rows,
    ...dimensions.map((name) => [words(name), content.dimensions[name].meaning, "", "", content.dimensions[name].caveat.replaceAll("`", "")]),
  ], 9);
  byId("small-groups").textContent =
    `The app's users are families with children. A group of fewer than ${content.smallest_group} users, or of which one user has ` +
    `more than ${100 * content.largest_share} % of what is summed, is not in this file, nor is one that would reveal it by subtraction: ` +
    "across all filters, or from another day's page. So what is shown of a week was decided when it closed, and events that came " +
    "later do not change it; kedro metrics --restricted has the exact figures.";
}

fillFilters();
drawHead();
drawQuestions();
drawDefinitions();
show(read());
// a split or a resize gives the trend another width
new ResizeObserver(() => {
  if (byId("trend").clientWidth !== Number(byId("trend").querySelector("svg")?.getAttribute("width"))) redraw();
}).observe(byId("trend"));
const write = (chosen) => {
  const hash = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value !== FIRST[name])).toString();
  history.replaceState(null, "", "#" + hash);
  show(chosen);
};
byId("filters").addEventListener("change", () => write(settle(Object.fromEntries(Object.keys(FIRST).map((name) => [name, byId(name).value])))));
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", (event) => {
  event.preventDefault();
  write({ ...FIRST });
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-csv]");
  if (button) save(button.dataset.csv);
});
window.addEventListener("hashchange", () => show(read()));
