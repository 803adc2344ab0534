// The filters, and what happens when they change.

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

// --- begin -----------------------------------------------------------------------------------

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
