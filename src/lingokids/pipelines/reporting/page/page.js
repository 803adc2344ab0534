"use strict";

// The filters choose among precomputed answers: nothing is summed here, because hidden groups are
// not in the page. The key of an answer is its sorted dimensions, joined by bars; its rows begin with
// their week, and the dimensions' values.

const content = JSON.parse(document.getElementById("content").textContent);
const METRICS = Object.keys(content.metrics);
const MOST_LINES = 8;
const MOST_PLAYED = 10;
const HEADLINE = ["active_users", "activities_played", "completion_rate", "time_per_user"];
const look = content.look;
const element = (id) => document.getElementById(id);

// --- words ----------------------------------------------------------------------------------

const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "code" });
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const words = (name) => capital(name.replace(/_(code|id)$/, "").replace(/^os_(name)?/, "system ").trim().replaceAll("_", " "));

function label(dimension, value) {
  if (dimension === "activity_id") return content.activities[value] || value;
  if (dimension === "country_code" && /^[a-z]{2}$/.test(value)) return regions.of(value.toUpperCase());
  return value;
}

// Plotly renders some HTML in its texts, and a value may contain anything
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function written(metric, value) {
  if (value === null || value === undefined) return "–";
  const unit = content.metrics[metric].unit;
  if (unit === "0 to 1") return (100 * value).toFixed(1) + " %";
  if (unit === "s") return duration(value);
  return value.toLocaleString("en", { maximumFractionDigits: 1 });
}

function duration(seconds) {
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 5400) return (seconds / 60).toFixed(1) + " min";
  return (seconds / 3600).toLocaleString("en", { maximumFractionDigits: 1 }) + " h";
}

// --- answers --------------------------------------------------------------------------------

const nameOf = (names) => [...names].sort().join("|");

// the groups of an answer as objects, filtered if there is a filter
function groups(names, only) {
  const all = (only ? [...names, only.name] : [...names]).sort();
  return (content.answers[all.join("|")] || [])
    .map((row) => Object.fromEntries(["week", ...all, ...METRICS].map((name, place) => [name, row[place]])))
    .filter((group) => !only || group[only.name] === only.value);
}

const groupsOf = (week, names, only) => groups(names, only).filter((group) => group.week === week);
const weeks = [...new Set(Object.values(content.answers).flat().map((row) => row[0]))].sort();
const days = groups(["day"]).map((one) => one.day).sort();
// the first may be partial, and would look like a rise
const wholeWeeks = weeks.filter((week) => days.length && week >= days[0]);
const sunday = (monday) => new Date(Date.parse(monday) + 6 * 86400000).toISOString().slice(0, 10);
const FIRST = { metric: "completion_rate", by: "", grain: "week", week: weeks.at(-1) || "", only: "" };

// hidden groups of a week; of all weeks without one
function notShown(names, only, week) {
  const rows = content.hidden[nameOf(only ? [...names, only.name] : names)] || [];
  return rows
    .filter((row) => !week || row[0] === week)
    .filter((row) => (only ? row.length === 4 && row[1] === only.name && row[2] === only.value : row.length === 2))
    .reduce((sum, row) => sum + row.at(-1), 0);
}

function note(names, only, more = "", week = "") {
  const hidden = notShown(names, only, week);
  if (!hidden) return more;
  const one = hidden === 1;
  return `${hidden.toLocaleString("en")} ${one ? "group is" : "groups are"} not shown: fewer than ${content.smallest_group} users, mostly one user's, or needed to protect such a group. ${more}`;
}

// --- filters --------------------------------------------------------------------------------

const dimensions = Object.keys(content.answers)
  .filter((name) => name in content.dimensions && name !== "activity_id")
  .sort((a, b) => Object.keys(content.dimensions).indexOf(a) - Object.keys(content.dimensions).indexOf(b));

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

function fillFilters() {
  element("metric").append(...METRICS.map((name) => option(name, words(name))));
  element("by").append(option("", "nothing"), ...dimensions.map((name) => option(name, words(name))));
  element("grain").append(option("day", "Day"), option("week", "Week"));
  element("week").append(...[...weeks].reverse().map((week) => option(week, week)));
  element("only").append(option("", "everyone"));
  for (const name of dimensions) {
    const group = document.createElement("optgroup");
    group.label = words(name);
    const values = [...new Set(groups([name]).map((one) => one[name]))];
    values.sort((a, b) => label(name, a).localeCompare(label(name, b), "en", { numeric: true }));
    group.append(...values.map((value) => option(name + "=" + value, label(name, value))));
    element("only").append(group);
  }
}

function read() {
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const chosen = { ...FIRST };
  for (const name of Object.keys(FIRST)) {
    const offered = [...element(name).options].map((one) => one.value);
    if (offered.includes(asked[name])) chosen[name] = asked[name];
  }
  return settle(chosen);
}

// by day there is neither split nor filter; no split by the filtered dimension
function settle(chosen) {
  const only = parse(chosen.only);
  if (only && only.name === chosen.by) chosen.by = "";
  if (chosen.grain === "day" && (only || chosen.by)) chosen.grain = "week";
  return chosen;
}

function parse(text) {
  const place = text.indexOf("=");
  return place < 0 ? null : { name: text.slice(0, place), value: text.slice(place + 1) };
}

function show(chosen) {
  const only = parse(chosen.only);
  for (const name of Object.keys(FIRST)) element(name).value = chosen[name];
  for (const one of element("by").options) one.disabled = Boolean(only) && one.value === only.name;
  element("grain").options[0].disabled = Boolean(only || chosen.by);
  drawHeadline(chosen.week, only);
  drawTrend(chosen, only);
  drawMostPlayed("by-count", "activities_played", chosen.week, only);
  drawMostPlayed("by-time", "total_time_spent", chosen.week, only);
}

// --- drawings -------------------------------------------------------------------------------

const settings = { displayModeBar: false, responsive: true };

function draw(id, traces, layout) {
  const place = element(id);
  if (!traces.some((trace) => trace.y.length)) {
    Plotly.purge(place);
    const empty = document.createElement("div");
    empty.className = "empty";
    empty.textContent = "Too few users to be shown.";
    place.replaceChildren(empty);
    return;
  }
  if (place.querySelector(".empty")) place.replaceChildren();
  Plotly.react(place, traces, { ...structuredClone(look), title: undefined, ...layout }, settings);
}

// the axis label; long durations are drawn in hours
function axisOf(metric, traces) {
  const unit = content.metrics[metric].unit;
  const values = traces.flatMap((trace) => trace.y).filter((value) => value !== null);
  if (unit === "0 to 1") return { ...look.yaxis, tickformat: ".0%" };
  const inHours = unit === "s" && Math.max(...values) > 7200;
  if (inHours) for (const trace of traces) trace.y = trace.y.map((value) => (value === null ? null : value / 3600));
  const text = inHours ? "hours" : unit === "s" ? "seconds" : unit;
  return { ...look.yaxis, title: { ...look.yaxis.title, text }, rangemode: "tozero", tickformat: ",~s" };
}

function drawHeadline(week, only) {
  const [all] = groupsOf(week, [], only);
  const [before] = groupsOf(wholeWeeks[wholeWeeks.indexOf(week) - 1], [], only);
  const cards = HEADLINE.map((metric) => {
    const card = document.createElement("div");
    card.className = "number";
    const name = document.createElement("p");
    name.textContent = words(metric);
    const value = document.createElement("strong");
    value.textContent = all ? written(metric, all[metric]) : "–";
    const change = document.createElement("p");
    change.append(...changeOf(metric, before, all));
    card.append(name, value, change);
    return card;
  });
  element("headline").replaceChildren(...cards);
}

function changeOf(metric, before, last) {
  if (!before || !last) return ["no full week before"];
  const isShare = content.metrics[metric].unit === "0 to 1";
  const by = isShare ? 100 * (last[metric] - before[metric]) : 100 * (last[metric] / before[metric] - 1);
  if (!Number.isFinite(by)) return ["change not defined"];
  const change = document.createElement("span");
  change.className = by >= 0 ? "up" : "down";
  change.textContent = (by >= 0 ? "▲ " : "▼ ") + Math.abs(by).toFixed(1) + (isShare ? " points" : " %");
  return [change, " from the week before"];
}

function drawTrend({ metric, by, grain, week }, only) {
  element("split").hidden = !by;
  element("split").parentElement.classList.toggle("single", !by);
  const names = grain === "day" ? ["day"] : by ? [by] : [];
  const found = groups(names, only);
  const periods = grain === "day" ? days : weeks;
  const most = new Map();
  for (const one of found) most.set(one[by], Math.max(most.get(one[by]) ?? 0, one.active_users));
  const values = by ? [...most.keys()].sort((a, b) => most.get(b) - most.get(a)) : [null];
  const traces = values.slice(0, MOST_LINES).map((value, place) => {
    const line = periods.map((period) => found.find((one) => one[grain] === period && (!by || one[by] === value)));
    return {
      type: "scatter",
      mode: "lines+markers",
      name: by ? plain(label(by, value)) : "",
      x: periods,
      y: line.map((one) => (one ? one[metric] : null)),
      text: line.map((one) => (one ? written(metric, one[metric]) : "")),
      hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
      line: { color: look.colorway[place % look.colorway.length], width: 2.5 },
      marker: { size: grain === "day" ? 4 : 7 },
    };
  });
  const axis = axisOf(metric, traces);
  draw("trend", found.length ? traces : [{ y: [] }], {
    xaxis: { ...look.xaxis, type: "category", showgrid: false, tickangle: 0, nticks: Math.max(2, Math.min(8, Math.floor(element("trend").clientWidth / 90))), title: { ...look.xaxis.title, text: grain === "week" ? "week, from its Monday" : "" } },
    yaxis: axis,
    hovermode: "x unified",
    showlegend: Boolean(by),
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    margin: { t: 24, r: 12, b: 52, l: 56 },
  });
  drawSplit(metric, by, week, groupsOf(week, names, only));
  const filter = only ? `, only ${label(only.name, only.value)}` : "";
  element("trend-title").textContent = `${words(metric)} per ${grain}${by ? " and " + words(by).toLowerCase() : ""}${filter}`;
  define("trend", metric);
  const left = values.length - traces.length;
  const partial = grain === "week" && weeks.length && weeks[0] !== wholeWeeks[0];
  const more = [
    ...(left > 0 ? [`The ${MOST_LINES} with most users are drawn; the table has all.`] : []),
    ...(partial ? [`The week of ${weeks[0]} is partial.`] : []),
  ];
  element("trend-note").textContent = note(names, only, more.join(" "));
  drawNumbers(grain === "day" ? names : ["week", ...names], metric, found);
}

function drawSplit(metric, by, week, found) {
  if (!by) return;
  const rows = [...found].sort((a, b) => (b[metric] ?? 0) - (a[metric] ?? 0)).slice(0, 14);
  const ids = rows.map((one) => one[by]);
  draw("split", [bars(metric, by, rows)], {
    xaxis: { ...look.xaxis, visible: false, range: [0, 1.35 * Math.max(...rows.map((one) => one[metric] ?? 0))] },
    yaxis: { ...look.yaxis, type: "category", autorange: "reversed", showgrid: false, tickvals: ids, ticktext: ids.map((id) => plain(label(by, id)) + "  ") },
    annotations: [{ text: `week of ${week}`, xref: "paper", yref: "paper", x: 0, y: 1.02, yanchor: "bottom", showarrow: false, font: { color: "#6b7191", size: 12 } }],
    margin: { t: 24, r: 8, b: 8, l: 60 },
    showlegend: false,
    bargap: 0.3,
  });
}

function bars(metric, dimension, rows) {
  return {
    type: "bar",
    orientation: "h",
    x: rows.map((one) => one[metric]),
    y: rows.map((one) => one[dimension]),
    text: rows.map((one) => written(metric, one[metric])),
    textposition: "outside",
    cliponaxis: false,
    marker: { color: look.colorway[0] },
    hovertemplate: "%{text}<extra></extra>",
  };
}

function drawMostPlayed(id, metric, week, only) {
  const rows = groupsOf(week, ["activity_id"], only)
    .sort((a, b) => b[metric] - a[metric] || (a.activity_id < b.activity_id ? -1 : 1))
    .slice(0, MOST_PLAYED);
  const ids = rows.map((one) => one.activity_id);
  draw(id, [bars(metric, "activity_id", rows)], {
    xaxis: { ...look.xaxis, visible: false, range: [0, 1.25 * Math.max(...rows.map((one) => one[metric]))] },
    yaxis: { ...look.yaxis, type: "category", autorange: "reversed", showgrid: false, tickvals: ids, ticktext: ids.map((one) => plain(label("activity_id", one)) + "  ") },
    margin: { t: 8, r: 8, b: 8, l: 110 },
    showlegend: false,
    bargap: 0.3,
  });
  define(id, metric);
  const more = notShown(["activity_id"], only, week) ? "A greater one may be among them." : "";
  element(id + "-title").textContent = `Most played, by ${id === "by-count" ? "count" : "time"}, week of ${week}`;
  element(id + "-note").textContent = note(["activity_id"], only, more, week);
}

function define(id, metric) {
  const { formula, unit, caveat } = content.metrics[metric];
  element(id + "-definition").textContent = `${words(metric)}: ${formula} [${unit}]. ${caveat}`;
}

// --- tables ---------------------------------------------------------------------------------

function row(tag, cells, isNumber = () => false) {
  const made = document.createElement("tr");
  made.append(...cells.map((text, place) => {
    const cell = document.createElement(tag);
    cell.textContent = text;
    if (isNumber(place)) cell.className = "n";
    return cell;
  }));
  return made;
}

function fillTable(id, head, rows, isNumber) {
  const top = document.createElement("thead");
  top.append(row("th", head, isNumber));
  const body = document.createElement("tbody");
  body.append(...rows.map((cells) => row("td", cells, isNumber)));
  element(id).replaceChildren(top, body);
}

function drawNumbers(names, metric, found) {
  const shown = [metric, ...METRICS.filter((name) => name !== metric)];
  const rows = found.map((one) => [
    ...names.map((name) => label(name, one[name])),
    ...shown.map((name) => written(name, one[name])),
  ]);
  fillTable("numbers", [...names.map(words), ...shown.map(words)], rows, (place) => place >= names.length);
}

// --- independent of filters -------------------------------------------------------------------

function drawOnce() {
  element("span").textContent = weeks.length
    ? `${days[0] || weeks[0]} to ${sunday(weeks.at(-1))}, days in ${content.time_zones.join(", then ")}, closed weeks. Activities left by users, each counted once.`
    : "No closed week with enough users to be shown.";
  for (const [id, figure] of Object.entries(content.figures)) {
    for (const trace of figure.data) {
      if (trace.type === "heatmap") trace.y = trace.y.map((code) => plain(label("country_code", code)));
    }
    Plotly.newPlot(element(id), figure.data, figure.layout, settings);
  }
  define("weekly_completion", "completion_rate");
  element("weekly_completion-note").textContent = note(["country_code"], null);
  for (const [id, { meaning, columns }] of Object.entries(content.meanings)) {
    const measures = Object.entries(columns).map(([name, text]) => `${words(name)}: ${text}`);
    element(id + "-definition").textContent = `${meaning} Groups of ${content.smallest_group} users or more.`;
    element(id + "-definition").title = measures.join("\n");
  }
  fillTable(
    "definitions",
    ["", "Formula", "Unit", "Owner", "Caveat"],
    METRICS.map((name) => {
      const { formula, unit, owner, caveat } = content.metrics[name];
      return [words(name), formula, unit, owner, caveat];
    }).concat(dimensions.map((name) => [words(name), content.dimensions[name].meaning, "", "", content.dimensions[name].caveat.replaceAll("`", "")])),
  );
  element("small-groups").textContent =
    `The app's users are families with children. A group of fewer than ${content.smallest_group} users, or of which one user has ` +
    `more than ${100 * content.largest_share} % of what is summed, is not in this file, nor is one that would reveal it by subtraction: ` +
    "across all filters, or from another day's page. So what is shown of a week was decided when it closed, and events that came " +
    "later do not change it; kedro metrics --restricted has the exact figures.";
}

fillFilters();
drawOnce();
show(read());
element("filters").addEventListener("change", () => {
  const chosen = Object.fromEntries(Object.keys(FIRST).map((name) => [name, element(name).value]));
  location.hash = new URLSearchParams(settle(chosen)).toString();
});
element("filters").addEventListener("reset", (event) => {
  event.preventDefault();
  location.hash = new URLSearchParams(FIRST).toString();
});
window.addEventListener("hashchange", () => show(read()));
