// The page: it draws the model that the server sends, and changes only what has changed.
import { acts, setUpActs } from "./acts.js";

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const MARKS = {
  good: "M5 12.5l4.5 4.5L19 7.5",
  busy: "M12 6v6.5l4 2.5",
  bad: "M7 7l10 10M17 7L7 17",
};

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function set(element, text) {
  const words = text ?? "";
  if (element.textContent !== words) element.textContent = words;
}

function tone(element, value) {
  if (element.dataset.tone !== value) element.dataset.tone = value;
}

// Keep a list's items by key, in order: what stays is changed, not made anew, so focus and scrolling stay.
function keyed(list, items, key, make, update) {
  const known = (list.known ??= new Map());
  const wanted = new Set();
  let place = list.firstElementChild;
  for (const item of items) {
    const name = key(item);
    wanted.add(name);
    let element = known.get(name);
    if (!element) {
      element = make(item);
      known.set(name, element);
    }
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
    update(element, item);
  }
  for (const [name, element] of known) {
    if (!wanted.has(name)) {
      element.remove();
      known.delete(name);
    }
  }
}

function mark(kind, dashed) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  const circle = document.createElementNS(SVG, "circle");
  for (const [name, value] of [["cx", 12], ["cy", 12], ["r", 10]]) circle.setAttribute(name, value);
  if (dashed) circle.setAttribute("class", "gap");
  svg.append(circle);
  if (!dashed) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", MARKS[kind]);
    path.setAttribute("transform", "translate(3.6 3.6) scale(.7)");
    svg.append(path);
  }
  return svg;
}

// -- nodes ---------------------------------------------------------------------------------------

function makeCard() {
  const card = el("li", { class: "card" });
  card.name = el("h3");
  card.duty = el("span", { class: "chip role" });
  card.state = el("span", { class: "chip state" });
  card.why = el("p", { class: "why" });
  card.ends = el("p", { class: "ends", hidden: "" });
  card.command = el("code");
  card.ends.append("What ends it: ", card.command);
  card.figures = el("dl", { class: "figures" });
  card.spark = el("div");
  card.evidence = el("ul");
  card.seen = el("details", {}, el("summary", {}, "What it rests on"), card.evidence);
  card.acts = el("div", { class: "acts" });
  card.append(el("header", {}, card.name, card.duty, card.state), card.why, card.ends, card.seen, card.figures, card.spark, card.acts);
  return card;
}

function updateCard(card, node) {
  tone(card, node.tone);
  set(card.name, node.name);
  set(card.duty, node.role === node.state || node.role === "member" ? "" : node.role);
  card.duty.hidden = !card.duty.textContent;
  card.duty.className = node.role === "writer" ? "chip writer" : "chip role";
  set(card.state, node.state === "synced" && !node.open ? "synced, closed" : node.state);
  const stage = node.progress && !node.reason.includes(node.progress) ? ` (${node.progress})` : "";
  set(card.why, (node.reason || "Nothing has been decided yet.") + stage);
  card.ends.hidden = !node.remedy;
  set(card.command, node.remedy);
  card.seen.hidden = !node.evidence.length;
  keyed(card.evidence, node.evidence.map((text, at) => ({ text, at })), (one) => one.at, () => el("li"), (line, one) => set(line, one.text));
  keyed(card.figures, figures(node), (one) => one[0], ([label]) => el("div", {}, el("dt", {}, label), el("dd")), (line, one) => set(line.lastChild, one[1]));
  drawSpark(card.spark, node);
  acts(card.acts, node);
}

function figures(node) {
  const found = [];
  if (node.seqno !== null) found.push(["seqno", node.seqno.toLocaleString("en")]);
  const check = node.check;
  if (check && check.queue !== null) found.push(["to apply", check.queue.toLocaleString("en")]);
  if (check && check.flow_control !== null) found.push(["paused", `${Math.round(check.flow_control * 100)} %`]);
  if (check && check.code !== 200 && node.tone === "good") found.push(["health", check.reason]);
  if (node.address) found.push(["at", node.address]);
  return found;
}

function drawSpark(box, node) {
  const values = node.spark;
  const text = values.join();
  if (box.drawn === text) return;
  box.drawn = text;
  box.replaceChildren();
  const real = values.filter((value) => value !== null);
  if (real.length < 2) return;
  const top = Math.max(...real, 1);
  const step = 100 / 59;
  const from = 60 - values.length;
  let path = "";
  let pen = "M";
  values.forEach((value, at) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${((from + at) * step).toFixed(2)} ${(30 - (28 * value) / top).toFixed(2)}`;
      pen = "L";
    }
  });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 31");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${node.name}: commits a second in the last hour, now ${real.at(-1)}, at most ${top}`);
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  box.append(svg);
}

// -- the rest of the page ------------------------------------------------------------------------

function makeLane() {
  const lane = el("li", { class: "lane" });
  lane.icon = el("span");
  lane.name = el("span", { class: "name" });
  lane.reach = el("div", { class: "reach" });
  lane.words = el("span", { class: "words" });
  lane.append(lane.icon, lane.name, el("div", { class: "track" }, lane.reach), lane.words);
  return lane;
}

function updateLane(lane, one) {
  const kind = !one.reported ? (one.awaited ? "bad" : "busy") : one.behind === 0 ? "good" : "busy";
  tone(lane, kind);
  const look = `${kind} ${one.reported}`;
  if (lane.look !== look) lane.icon.replaceChildren(mark(kind, !one.reported));
  lane.look = look;
  set(lane.name, one.node);
  lane.reach.style.width = !one.reported || one.behind === null ? "0" : `${Math.max(8, 100 - Math.min(92, 12 * Math.log2(1 + one.behind)))}%`;
  lane.reach.hidden = !one.reported;
  set(lane.words, one.words + (one.claims ? "; it has claimed the bootstrap" : ""));
}

function makeWait() {
  const row = el("li");
  row.who = el("strong");
  row.words = el("p", { class: "soft" });
  row.command = el("code");
  row.append(el("p", { class: "head" }, row.who), row.words, row.command);
  return row;
}

function makeProxy() {
  const row = el("li");
  row.name = el("strong");
  row.ports = el("span", { class: "soft" });
  row.words = el("p", { class: "soft" });
  row.trouble = el("p", { class: "trouble" });
  row.append(el("p", { class: "head" }, row.name, row.ports), row.words, row.trouble);
  return row;
}

function updateProxy(row, proxy) {
  set(row.name, proxy.name);
  set(row.ports, `at ${proxy.host}: write ${proxy.write_port}, read ${proxy.read_port}${proxy.all_port ? `, all ${proxy.all_port}` : ""}`);
  const writes = proxy.writing.length ? `Writes go to ${proxy.writing.join(", ")}` : "Writes go to nobody";
  const sessions = proxy.serving.length ? `sessions on ${proxy.serving.join(", ")}` : "no sessions now";
  set(row.words, `${writes}; ${sessions}.`);
  row.trouble.hidden = !proxy.error;
  set(row.trouble, proxy.error);
}

function makeEvent(event) {
  const time = el("time", { datetime: event.time }, clock(event.time));
  const row = el("li", {}, time, el("span", { class: "who" }, event.node), el("span", {}, event.sentence));
  if (event.action === "order") row.className = "order";
  return row;
}

function clock(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return text;
  const same = when.toDateString() === new Date().toDateString();
  return same ? when.toLocaleTimeString("en-GB") : `${when.toLocaleDateString("en-CA")} ${when.toLocaleTimeString("en-GB")}`;
}

export let model = null;

function drawPage(page) {
  model = page;
  if (!page.cluster) return;
  document.title = `${{ good: "✓", busy: "…", bad: "✗" }[page.tone]} ${page.cluster}`;
  set($("cluster"), page.cluster);
  set($("about"), page.about);
  $("about").title = page.uuid ? `generation ${page.generation_id}, uuid ${page.uuid}` : "";
  tone($("hero"), page.tone);
  set($("headline"), page.headline);
  set($("detail"), page.detail);
  $("command").hidden = !page.command;
  set($("command-text"), page.command);
  keyed($("nodes"), page.nodes, (node) => node.name, makeCard, updateCard);
  $("recovery").hidden = !page.recovery;
  if (page.recovery) {
    const found = page.recovery;
    set($("recovery-lead"), found.members.length ? `The last Primary Component had ${found.members.join(", ")}. All of them must have reported; then the newest starts.` : "");
    keyed($("lanes"), found.lanes, (lane) => lane.node, makeLane, updateLane);
  }
  const repeated = page.waits.length > 1 || (page.waits.length === 1 && page.waits[0].remedy !== page.command);
  $("waits-section").hidden = !repeated;
  keyed($("waits"), page.waits, (one) => one.sentence + one.remedy, makeWait, (row, one) => {
    set(row.who, one.nodes.join(", "));
    set(row.words, one.sentence);
    set(row.command, one.remedy);
  });
  const none = page.proxies.length ? [] : [{ name: "", none: true }];
  keyed($("proxies"), [...page.proxies, ...none], (one) => one.name, (one) => (one.none ? el("li", { class: "none" }, "No proxy reports.") : makeProxy()), (row, one) => one.none || updateProxy(row, one));
  acts($("cluster-acts"), null);
}

function drawHistory(events) {
  const numbered = new Map();
  keyed($("log"), events.length ? events : [{ none: true }], (event) => {
    const base = event.none ? "" : `${event.time} ${event.node} ${event.sentence}`;
    const count = (numbered.get(base) ?? 0) + 1;
    numbered.set(base, count);
    return `${base}#${count}`;
  }, (event) => (event.none ? el("li", { class: "none" }, "Nothing has been decided yet.") : makeEvent(event)), () => {});
}

// -- live ----------------------------------------------------------------------------------------

function link(fine, words) {
  $("link").classList.toggle("away", !fine);
  set($("link-words"), words);
}

function follow() {
  let last = performance.now();
  const stream = new EventSource("/stream");
  const heard = (draw) => (event) => {
    last = performance.now();
    link(true, "live");
    draw(JSON.parse(event.data));
  };
  stream.addEventListener("page", heard(drawPage));
  stream.addEventListener("history", heard(drawHistory));
  stream.addEventListener("error", () => {
    link(false, "not connected, trying again");
    if (stream.readyState === EventSource.CLOSED) {
      stream.close();
      setTimeout(poll, 3000);
    }
  });
}

// Too many browsers look, or something between does not let streams through.
async function poll() {
  try {
    const [page, events] = await Promise.all(["/page.json", "/history.json"].map(async (path) => (await fetch(path)).json()));
    drawPage(page);
    drawHistory(events);
    link(true, "every 5 s");
    setTimeout(poll, 5000);
  } catch {
    link(false, "not connected, trying again");
    setTimeout(follow, 3000);
  }
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* not allowed to remember */ }
  const apply = () => { document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", apply);
  $("theme").addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", chosen); } catch { /* only until the page is left */ }
    apply();
  });
  apply();
}

$("copy").addEventListener("click", async () => {
  const text = $("command-text").textContent;
  try {
    await navigator.clipboard.writeText(text);
    set($("copy"), "Copied");
  } catch {
    getSelection().selectAllChildren($("command-text"));
    set($("copy"), "Selected");
  }
  setTimeout(() => set($("copy"), "Copy"), 2000);
});

theme();
drawPage(JSON.parse($("page-data").textContent));
drawHistory(JSON.parse($("history-data").textContent));
await setUpActs(() => model && drawPage(model));
follow();
