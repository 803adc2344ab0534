// What each card shows of the choice.

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
  const zones = subject.time_zones.join(", then "), isOther = found.length && zones !== activity.time_zones.join(", then ");
  const more = isOther ? [`Days in ${zones}.`] : [];
  if (others.length) more.push(`The filter of ${others.map((name) => words(name).toLowerCase()).join(" and ")} does not apply to cohorts.`);
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
    ? `${long(days[0] || weeks[0])} to ${long(until)}, closed weeks. Days in ${activity.time_zones.join(", then ")}. Activities that users left, each counted once.`
    : "No closed week with enough users to be shown.";
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
