// What a page can do beyond being read: search, the map, rules by verdict, the picture of lineage.
"use strict";
const root = document.body.dataset.root;
const byId = (id) => document.getElementById(id);

function load(file) {  // a script, because a page opened from a folder may fetch nothing
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = root + file;
    script.onload = resolve;
    document.head.append(script);
  });
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// --- search ---

const KINDS = ["table", "metric", "column", "dimension", "parameter", "rule"];
const input = byId("site-search"), found = byId("site-found");
let chosen = -1;

function rank([kind, name, what], words) {
  const low = name.toLowerCase(), last = low.slice(low.lastIndexOf(".") + 1), text = what.toLowerCase();
  let sum = KINDS.indexOf(kind) / 10;
  for (const word of words) {
    if (last === word || low === word) sum += 0;
    else if (low.startsWith(word) || last.startsWith(word)) sum += 1;
    else if (low.includes(word)) sum += 2;
    else if (text.includes(word)) sum += 4;
    else return Infinity;
  }
  return sum + low.length / 1000;
}

function marked(text, words) {
  const low = text.toLowerCase();
  const at = words.map((word) => [low.indexOf(word), word.length]).find(([start]) => start >= 0);
  if (!at) return [text];
  const [start, length] = at;
  return [text.slice(0, start), element("mark", {}, text.slice(start, start + length)), text.slice(start + length)];
}

function choose(number) {
  const all = [...found.querySelectorAll("[role=option]")];
  chosen = all.length ? (number + all.length) % all.length : -1;
  all.forEach((each, place) => each.setAttribute("aria-selected", place === chosen));
  if (chosen < 0) return input.removeAttribute("aria-activedescendant");
  input.setAttribute("aria-activedescendant", all[chosen].id);
  all[chosen].scrollIntoView({ block: "nearest" });
}

function show(is_open) {
  found.hidden = !is_open;
  input.setAttribute("aria-expanded", is_open);
}

async function search() {
  if (!window.SEARCH) await load("search.js");
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const ranked = window.SEARCH.map((each) => [rank(each, words), each]).filter(([sum]) => sum < Infinity);
  ranked.sort(([one], [other]) => one - other);
  found.replaceChildren(...ranked.slice(0, 30).map(([, [kind, name, what, address]], number) => {
    const option = element("li", { role: "option", id: `found-${number}`, "data-address": address },
      element("span", { class: "of" }, kind), element("code", {}, ...marked(name, words)), element("span", { class: "what" }, what));
    option.addEventListener("mousedown", () => { location.href = root + address; });
    return option;
  }));
  if (words.length && !ranked.length) found.append(element("li", { role: "option", "aria-disabled": "true" }, "Nothing is called so."));
  show(words.length > 0);
  choose(0);
}

input.addEventListener("input", search);
input.addEventListener("blur", () => show(false));
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") choose(chosen + 1);
  else if (event.key === "ArrowUp") choose(chosen - 1);
  else if (event.key === "Escape") { input.value = ""; show(false); }
  else if (event.key === "Enter") {
    const option = found.querySelector("[aria-selected=true][data-address]");
    if (option && !found.hidden) { location.href = root + option.dataset.address; show(false); }
  } else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  input.focus();
});

// --- what the address names: its lineage is open ---

function reveal() {
  const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
  const details = target && target.querySelector("details");
  if (details) details.open = true;
}
reveal();
window.addEventListener("hashchange", reveal);

// --- how long ago ---

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
for (const time of document.querySelectorAll("time")) {
  const days = (new Date(time.dateTime) - Date.now()) / 86400e3;
  time.title = Math.abs(days) < 1 ? relative.format(Math.round(days * 24), "hour") : relative.format(Math.round(days), "day");
}

// --- the map: what a table is made from, and what from it ---

const map = document.querySelector(".map svg");
if (map) {
  const edges = [...map.querySelectorAll(".edges path")], boxes = [...map.querySelectorAll(".box")];
  const follow = (start, near, far, on) => {
    const reached = new Set([start]);
    for (const name of reached) for (const edge of edges) if (edge.dataset[near] === name) { on.add(edge); reached.add(edge.dataset[far]); }
    return reached;
  };
  const light = (name) => {
    const on = new Set();
    const reached = name ? new Set([...follow(name, "to", "from", on), ...follow(name, "from", "to", on)]) : new Set();
    map.classList.toggle("asked", Boolean(name));
    edges.forEach((edge) => edge.classList.toggle("on", on.has(edge)));
    boxes.forEach((box) => box.classList.toggle("on", reached.has(box.dataset.name)));
  };
  for (const box of boxes) {
    for (const event of ["mouseenter", "focus"]) box.addEventListener(event, () => light(box.dataset.name));
    for (const event of ["mouseleave", "blur"]) box.addEventListener(event, () => light(null));
  }
}

// --- rules by verdict ---

const filter = document.querySelector(".filter");
if (filter) {
  filter.hidden = false;
  filter.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") === "false");
    const shown = new Set([...filter.querySelectorAll("[aria-pressed=true]")].map((each) => each.dataset.verdict));
    for (const row of document.querySelectorAll("tr[data-verdict]")) row.hidden = !shown.has(row.dataset.verdict);
    for (const section of document.querySelectorAll("main section")) section.hidden = !section.querySelector("tr[data-verdict]:not([hidden])");
  });
}

// --- the picture of the lineage ---

const ROWS = "*", CELL = 24, HEAD = 30, GAP = 90, APART = 18, LETTER = 7.3, TITLE = 7.6;
const nameOf = (column) => column === ROWS ? "(rows)" : column;

function closure(start, links, near, far) {
  const reached = new Map([[start.join("\n"), start]]), steps = [];
  for (const [, column] of reached) {
    for (const link of links) {
      if (link[near] !== column[0] || link[near + 1] !== column[1]) continue;
      steps.push(link);
      const other = [link[far], link[far + 1]];
      if (!reached.has(other.join("\n"))) reached.set(other.join("\n"), other);
    }
  }
  return [reached, steps];
}

function draw({ tables, links, of_values: ofValues }, table, column) {
  const values = links.filter((link) => ofValues.includes(link[4]));
  const [up, stepsUp] = closure([table, column], values, 2, 0);
  const [down, stepsDown] = closure([table, column], values, 0, 2);
  const steps = [...new Set([...stepsUp, ...stepsDown])], cards = new Map();
  for (const [of, name] of [...up.values(), ...down.values()]) {
    if (!cards.has(of)) cards.set(of, { name: of, columns: new Set(), rank: 0 });
    cards.get(of).columns.add(name);
  }
  for (let changed = true, rounds = 0; changed && rounds < cards.size; rounds++) {
    changed = false;
    for (const [source, , target] of steps) {
      const least = cards.get(source).rank + 1;
      if (source !== target && cards.get(target).rank < least) { cards.get(target).rank = least; changed = true; }
    }
  }
  const ranks = [];
  for (const card of cards.values()) (ranks[card.rank] ||= []).push(card);
  let x = 1, height = 0;
  for (const rank of ranks) {
    const widths = rank.flatMap((card) => [card.name.length * TITLE, ...[...card.columns].map((each) => nameOf(each).length * LETTER)]);
    const width = Math.max(...widths) + 24;
    let y = 1;
    for (const card of rank) {
      Object.assign(card, { x, y, width, height: HEAD + CELL * card.columns.size + 6 });
      y += card.height + APART;
    }
    height = Math.max(height, y - APART);
    x += width + GAP;
  }
  for (const rank of ranks) {
    const last = rank[rank.length - 1], shift = (height - last.y - last.height) / 2;
    for (const card of rank) card.y += shift;
  }
  const width = x - GAP + 1;
  const picture = svg("svg", { width, height: height + 1, viewBox: `0 0 ${width} ${height + 1}`, role: "group", "aria-label": `Lineage of ${table}.${column}: ${up.size - 1} columns it comes from, ${down.size - 1} it goes into` });
  const middle = (of, name) => cards.get(of).y + HEAD + CELL * ([...cards.get(of).columns].indexOf(name) + .5);
  for (const [source, from, target, to, kind, node] of steps) {
    const x1 = cards.get(source).x + cards.get(source).width, x2 = cards.get(target).x, y1 = middle(source, from), y2 = middle(target, to);
    const half = Math.max(30, (x2 - x1) / 2);
    picture.append(svg("path", { class: `step ${kind}`, d: `M${x1} ${y1} C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}` },
      svg("title", {}, `${kind}${node ? `, by ${node}` : ""}`)));
  }
  for (const card of cards.values()) {
    const { layer, page } = tables[card.name];
    picture.append(svg("a", { class: `box ${layer}`, href: page },
      svg("rect", { x: card.x, y: card.y, width: card.width, height: card.height, rx: 8 }),
      svg("text", { x: card.x + 12, y: card.y + 20 }, card.name)));
    [...card.columns].forEach((name, number) => {
      const y = card.y + HEAD + CELL * number, isChosen = card.name === table && name === column;
      picture.append(svg("a", { class: `cell${isChosen ? " chosen" : ""}`, href: `#${card.name}.${encodeURIComponent(name)}`, "aria-label": `${card.name}.${nameOf(name)}`, ...(isChosen ? { "aria-current": "true" } : {}) },
        svg("rect", { x: card.x + 4, y, width: card.width - 8, height: CELL, rx: 5 }),
        svg("text", { x: card.x + 12, y: y + 16 }, nameOf(name))));
    });
  }
  byId("picture").replaceChildren(picture);
  picture.querySelector(".chosen").scrollIntoView({ block: "nearest", inline: "center" });

  const deciding = links.filter((link) => !ofValues.includes(link[4]));
  const list = (title, chosenLinks, far) => {
    if (!chosenLinks.length) return [];
    const kinds = Map.groupBy(chosenLinks, (link) => link[4]);
    const items = [...kinds].map(([kind, of]) => {
      const ends = [...new Map(of.map((link) => [`${link[far]}.${link[far + 1]}`, link])).entries()];
      return element("li", {}, element("span", { class: "kind" }, kind), " ",
        ...ends.flatMap(([address, link], number) => [number ? ", " : "", element("a", { href: `#${encodeURI(address)}` }, element("code", {}, `${link[far]}.${nameOf(link[far + 1])}`))]));
    });
    return [element("dt", {}, title), element("dd", {}, element("ul", {}, ...items))];
  };
  const own = deciding.filter((link) => link[2] === table && (link[3] === column || link[3] === ROWS));
  const parts = [...list("Decided on, in this step, by", own, 0), ...list("Decides, in the next step, on", deciding.filter((link) => link[0] === table && link[1] === column), 2)];
  byId("influence").replaceChildren(...(parts.length ? [element("h2", {}, "What decides"), element("dl", { class: "lineage" }, ...parts)] : []));
}

async function explore() {
  await load("lineage.js");
  const { tables } = window.LINEAGE, ofTable = byId("of-table"), ofColumn = byId("of-column");
  for (const name of Object.keys(tables).sort()) ofTable.append(element("option", { value: name }, name));
  const go = () => {
    const [, table, column] = decodeURIComponent(location.hash.slice(1)).match(/^([^.]+)\.(.+)$/) || [null, "metrics", "completion_rate"];
    if (!tables[table]) return;
    ofTable.value = table;
    ofColumn.replaceChildren(...[...tables[table].columns, ROWS].map((name) => element("option", { value: name }, nameOf(name))));
    ofColumn.value = column;
    byId("to-page").href = `${tables[table].page}#${column === ROWS ? "the-rows" : encodeURIComponent(column.replaceAll(" ", "-"))}`;
    draw(window.LINEAGE, table, column);
  };
  ofTable.addEventListener("change", () => { location.hash = `${ofTable.value}.${encodeURIComponent(tables[ofTable.value].columns[0] || ROWS)}`; });
  ofColumn.addEventListener("change", () => { location.hash = `${ofTable.value}.${encodeURIComponent(ofColumn.value)}`; });
  window.addEventListener("hashchange", go);
  byId("choose").hidden = false;
  go();
}
if (byId("picture")) explore();
