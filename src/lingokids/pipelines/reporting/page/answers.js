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
