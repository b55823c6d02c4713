"use strict";
/* The page of `makertaker explore`. A market is a scenario, numbers that differ from it, and curves that were dragged;
   the address holds them, the server solves them, and Charts draws them. */

const { draw, figure, fixed, range, swatch } = Charts;
const CHARTS = [["inventories", "Inventories, shares"], ["rate", "Rates, shares / time"], ["ask", "Asks above the reference price, currency"], ["bid", "Bids below the reference price, currency"]];
const OPEN = ["Inventories", "Competition", "Price impact", "Penalties"];
const PREFIX = { A: "", B: "b." };  // of a market's keys in the address
const markets = {};

const make = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const text = (value) => (value === null ? "none" : String(value));
const painted = () => new Promise((done) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = done;
  channel.port2.postMessage(null);
}));

/* The server's answer; what it refuses, and a server that is gone, are errors with a message to show. */
async function ask(path, query) {
  let answer;
  try {
    answer = await fetch(`${path}?${query}`);
  } catch {
    throw new Error("the command that serves this page has ended: 'makertaker explore' starts it again");
  }
  const found = await answer.json().catch(() => ({ error: `the server failed (${answer.status}); its terminal says more` }));
  if (!answer.ok || found.error) throw new Error(found.error || `the server failed (${answer.status})`);
  return found;
}

class Market {
  constructor(letter, given) {
    this.letter = letter;
    this.scenario = given.get("scenario");
    this.changes = {};
    this.drags = {};
    for (const [key, value] of given) {
      if (key.startsWith("drag.")) this.drags[key.slice(5)] = value.split(",").map(Number);
      else if (key !== "scenario") this.changes[key] = value;
    }
    this.busy = false;
    this.wanted = null;
    this.root = document.getElementById("market").content.firstElementChild.cloneNode(true);
    this.root.setAttribute("aria-label", `Market ${letter}`);
    this.$("h2").textContent = `Market ${letter}`;
    this.figures = Object.fromEntries(CHARTS.map(([key, title]) => [key, figure(title)]));
    this.$(".charts").append(...Object.values(this.figures));
    this.$(".agents").parentElement.setAttribute("aria-label", `Payoffs and gains of market ${letter}`);
    this.$(".paths .scroll").setAttribute("aria-label", `All numbers of market ${letter}`);
    this.$(".scenario select").addEventListener("change", (event) => {
      this.scenario = event.target.value;
      this.changes = {};
      this.drags = {};
      this.describe();
    });
    this.$(".reset").addEventListener("click", () => { this.changes = {}; this.drags = {}; this.describe(); });
    this.$(".drag select").addEventListener("change", () => redraw());
    this.$(".back").addEventListener("click", () => { this.drags = {}; this.update(); });
    this.$(".paths").addEventListener("toggle", () => this.paths());
  }

  $(selector) { return this.root.querySelector(selector); }

  query(prefix = "") {
    const found = new URLSearchParams();
    if (this.scenario) found.append(`${prefix}scenario`, this.scenario);
    for (const [key, value] of Object.entries(this.changes)) found.append(prefix + key, value);
    for (const [key, value] of Object.entries(this.drags)) {
      if (value.some((each) => each !== 0)) found.append(`${prefix}drag.${key}`, value.map((each) => Number(each.toPrecision(6))).join(","));
    }
    return found;
  }

  /* Sliders of the scenario, and its equilibrium. */
  async describe() {
    try {
      const found = await ask("api/scenario", new URLSearchParams(this.scenario ? { scenario: this.scenario } : {}));
      this.scenario = found.name;
      this.described = found;
      this.sliders();
    } catch (error) {
      this.refuse(error);
      if (!this.described) this.listed(["acas"]);
      return;
    }
    await this.update();
  }

  listed(names) {
    this.$(".scenario select").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    this.$(".scenario select").value = this.scenario;
  }

  sliders() {
    const { description, names, facts, groups, sliders } = this.described;
    this.listed(names);
    this.$(".description").textContent = description;
    this.$(".facts").textContent = Object.entries(facts).map(([key, value]) => `${key}: ${value}`).join(", ");
    const made = groups.map((group) => {
      const own = sliders.filter((each) => each.group === group);
      const details = make("details", OPEN.includes(group) && own.length <= 12 ? { open: "" } : {}, make("summary", {}, group));
      details.append(make("div", { class: "inner" }, ...own.map((each) => this.slider(each))));
      return own.length ? details : "";
    });
    this.$(".groups").replaceChildren(...made);
  }

  slider({ path, value, stops }) {
    const id = `${this.letter}-${path}`;
    const box = make("input", { type: "text", id, inputmode: "decimal", autocomplete: "off", spellcheck: "false" });
    const bar = make("input", { type: "range", min: 0, max: stops.length - 1, step: 1, "aria-label": path, "data-path": path });
    const row = make("div", { class: "number" }, make("label", { for: id }, path), box, bar);
    const show = (said) => {
      bar.value = nearest(stops, said);
      bar.setAttribute("aria-valuetext", said);
      row.classList.toggle("changed", said !== text(value));
    };
    const set = (said) => {
      if (said === text(value)) delete this.changes[path];
      else this.changes[path] = said;
      show(said);
      this.update();
    };
    const now = path in this.changes ? this.changes[path] : text(value);
    bar.addEventListener("input", () => { box.value = text(stops[bar.value]); set(box.value); });
    box.addEventListener("change", () => set(box.value.trim()));
    box.value = now;
    show(now);
    return row;
  }

  /* Ask for the market as it is now; what is asked meanwhile waits, the newest only. */
  async update() {
    this.wanted = performance.now();
    if (this.busy) return;
    this.busy = true;
    const asked = performance.now();
    const clock = setInterval(() => {
      this.$(".status").textContent = `solving… ${Math.round((performance.now() - asked) / 1000)} s`;
    }, 1000);
    while (this.wanted !== null) {
      const began = this.wanted;
      this.wanted = null;
      this.exports();
      try {
        const found = await ask("api/market", this.query());
        this.found = { ...found, profile: found.profile || { pending: true } };
        this.refuse(null);
        redraw();
        if (this.query().toString() !== this.indexed) this.$(".index").textContent = "…";
        await painted();
        const took = performance.now() - began;
        this.root.dataset.redrawn = took.toFixed(1);
        this.$(".status").textContent = `solved in ${fixed(found.solve_ms, 1)} ms, redrawn ${took.toFixed(0)} ms after the change`;
      } catch (error) {
        this.refuse(error);
      }
      remember();
    }
    clearInterval(clock);
    this.busy = false;
    this.later();
  }

  refuse(error) {
    const place = this.$(".error");
    place.hidden = !error;
    place.textContent = error ? error.message : "";
    for (const box of this.root.querySelectorAll(".number input[type=text]")) {
      const path = box.id.slice(this.letter.length + 1);
      box.setAttribute("aria-invalid", Boolean(error && [path, path.replace(/\.\d+$/, "")].includes(error.message.split(":")[0])));
    }
    this.$(".found").classList.toggle("stale", Boolean(error));
    this.$(".found").classList.toggle("empty", !this.found);
    this.$(".exports").hidden = Boolean(error);
    if (error) this.$(".status").textContent = this.found ? "shown is the last market that was solved" : "";
  }

  exports() {
    for (const [kind, ending] of [["toml", "toml"], ["python", "py"]]) {
      const link = this.$(`.exports .${kind}`);
      link.href = `export.${ending}?${this.query()}`;
      link.download = `${this.scenario || "market"}.${ending}`;
    }
  }

  /* The collusion index, whose search may take long: when nothing has moved for a while. */
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const query = this.query().toString();
      if (query === this.indexed || this.searching || !this.found || !this.$(".error").hidden) return;
      if (this.found.profile.pending) return this.gains(query);
      if (!Object.keys(this.found.curves).length) return;
      this.searching = true;  // one at a time: it takes the processor from the redraws
      const said = await ask("api/collusion", query).then(
        ({ name, index, note }) => (index === null ? `not defined: ${note}` : `${Number(index.toPrecision(4))} (0: equilibrium, 1: ${name})`),
        (error) => `not defined: ${error.message}`,
      );
      this.searching = false;
      if (query === this.query().toString()) this.index(said, query);
      else this.later();
    }, 400);
  }

  /* Gains in a market with noise, which are simulated. */
  async gains(query) {
    this.searching = true;
    const profile = await ask("api/gains", query).catch((error) => ({ error: error.message }));
    this.searching = false;
    if (query !== this.query().toString()) return this.later();
    this.found.profile = profile;
    redraw();
    this.index("not computed where the market is random", query);
  }

  index(said, query) {
    this.indexed = query;
    this.$(".index").textContent = said;
  }

  get curve() { return this.$(".drag select").value; }

  /* What a chart shows: the profile, and the equilibrium as a ghost where it was dragged away from it. */
  series(key) {
    const { agents, inventories, controls, profile } = this.found;
    const who = key === "inventories" ? agents : agents.filter((each) => (each.role === "trader") === (key === "rate"));
    const nash = key === "inventories" ? inventories : controls[key];
    if (!nash || !who.length) return [];
    const played = key === "inventories" ? profile.inventories : profile.controls?.[key];
    const step = key !== "inventories";
    const ghosts = played ? who.map((agent, i) => ({ agent, values: nash[i], dashed: true, step })) : [];
    const chosen = this.curve.split(".")[0];
    const lines = who.map((agent, i) => ({ agent, values: (played || nash)[i], step, thin: !agent.marker && agent.name !== chosen }));
    return [...ghosts, ...lines.filter((each) => each.thin), ...lines.filter((each) => !each.thin)];
  }

  handles(key) {
    const info = this.found.curves[this.curve];
    if (!info || info.kind !== key) return null;
    const count = this.described.knots, { times, controls } = this.found;
    const agent = this.found.agents.find((each) => each.name === this.curve.split(".")[0]);
    const start = times[0], span = times[times.length - 1] - start;
    const at = Array.from({ length: count }, (_, i) => start + (span * i) / (count - 1));
    const nash = at.map((t) => between(times, controls[info.kind][info.index], t));
    const curve = this.curve;
    const offsets = () => this.drags[curve] || Array(count).fill(0);  // now, which may be later than what is drawn
    const within = (value) => Math.min(Math.max(value, info.low ?? -Infinity), info.high ?? Infinity);
    const values = at.map((_, i) => within(nash[i] + offsets()[i]));
    const onMove = (i, value) => {
      const next = [...offsets()];
      next[i] = Number((within(value) - nash[i]).toPrecision(6));
      this.drags[curve] = next;
      this.update();
    };
    const onStep = (i, step) => onMove(i, within(nash[i] + offsets()[i]) + step);
    const onHold = (limits) => {
      this.held = limits;  // axes stay where they are while a point is held
      if (!limits) redraw();
    };
    return { onHold, label: this.curve, color: agent.color, times: at, values, low: info.low, high: info.high, unit: info.unit, onMove, onStep };
  }

  /* The curves that can be dragged, to choose from. */
  choose() {
    const curves = Object.keys(this.found.curves);
    const select = this.$(".drag select"), chosen = select.value || Object.keys(this.drags)[0];
    if ([...select.options].map((each) => each.value).join() !== curves.join()) {
      select.replaceChildren(...curves.map((each) => make("option", { value: each }, each.replace(".", ", "))));
      const ask = curves.find((each) => each.endsWith(".ask"));
      select.value = curves.includes(chosen) ? chosen : ask || curves[0];
    }
    this.$(".drag").hidden = !curves.length;
  }

  /* Values that a chart leaves room for, so that its points can be dragged. */
  room(key) {
    const handles = this.handles(key);
    if (!handles) return [];
    const { values, low, high, unit } = handles;
    return [Math.max(Math.min(...values) - unit, low ?? -Infinity), Math.min(Math.max(...values) + unit, high ?? Infinity)];
  }

  draw(limits) {
    const { agents, times } = this.found;
    this.legend();
    for (const [key] of CHARTS) {
      const series = this.series(key);
      this.figures[key].hidden = !series.length;
      if (series.length) draw(this.figures[key], { title: this.figures[key].firstElementChild.textContent, times, series, limits: limits[key], handles: this.handles(key), digits: 4 });
    }
    this.table(agents);
    this.paths();
  }

  legend() {
    const { legend, agents, dragged } = this.found;
    const named = Object.entries(legend).map(([name, color]) => ({ name, color, marker: agents.find((each) => each.name === name)?.marker }));
    const parts = named.map((agent) => make("span", {}, swatch(agent), agent.name));
    if (dragged) parts.push(make("span", {}, swatch({ color: "#000000" }, true), "equilibrium"));
    this.$(".legend").replaceChildren(...parts);
  }

  table(agents) {
    const { payoffs, payoffs_se: errors, inventories, profile, dragged, notes } = this.found;
    const head = ["agent", "equilibrium payoff", ...(dragged ? ["payoff, dragged"] : []), "gain of best response", "inventory at T"];
    this.$(".agents thead").replaceChildren(make("tr", {}, ...head.map((each) => make("th", { scope: "col" }, each))));
    const many = agents.length > 24 ? agents.slice(0, 24) : agents;
    const rows = many.map(({ name }, i) => {
      const path = (profile.inventories || inventories)[i];
      const cells = [fixed(payoffs[i], 4) + (errors ? ` ± ${gain(errors[i])}` : "")];
      if (dragged) cells.push(profile.payoffs ? fixed(profile.payoffs[i], 4) : "–");
      cells.push(profile.gains ? gain(profile.gains[i]) : "–", fixed(path[path.length - 1], 4));
      return make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((each) => make("td", {}, each)));
    });
    this.$(".agents tbody").replaceChildren(...rows);
    mark(this.$(".agents").parentElement);
    const list = this.$(".numbers");
    if (!list.children.length) {
      for (const [name, label] of [["nash-conv", "NashConv"], ["relative", "relative NashConv"], ["index", "collusion index"]]) {
        list.append(make("dt", {}, label), make("dd", { class: name }, "…"));
      }
    }
    if (profile.pending) {
      for (const name of ["nash-conv", "relative"]) this.$(`.${name}`).textContent = "simulated, which takes some seconds…";
    } else this.$(".nash-conv").textContent = profile.error || gain(profile.nash_conv);
    if (!profile.pending) this.$(".relative").textContent = profile.error ? "–" : profile.relative === null ? "not defined: all payoffs are zero" : percent(profile.relative);
    const more = agents.length > many.length ? [`the table leaves out ${agents.length - many.length} agents`] : [];
    this.$(".notes").replaceChildren(...[...notes, ...more].map((each) => make("li", {}, each)));
  }

  paths() {
    if (!this.$(".paths").open || !this.found) return;
    const { agents, times, inventories, controls, profile } = this.found;
    const columns = agents.map(({ name }, i) => [`${name}: inventory`, (profile.inventories || inventories)[i]]);
    for (const [key, { kind, index }] of Object.entries(this.found.curves)) columns.push([key.replace(".", ": "), (profile.controls || controls)[kind][index]]);
    const head = make("tr", {}, ...["time", ...columns.map(([name]) => name)].map((each) => make("th", { scope: "col" }, each)));
    const rows = times.map((t, k) => make("tr", {}, make("th", { scope: "row" }, fixed(t, 3)), ...columns.map(([, values]) => make("td", {}, k < values.length ? fixed(values[k], 4) : ""))));
    this.$(".paths thead").replaceChildren(head);
    this.$(".paths tbody").replaceChildren(...rows);
    mark(this.$(".paths .scroll"));
  }
}

const gain = (value) => (value === null ? "–" : value === 0 ? "0" : Math.abs(value) < 5e-5 ? value.toExponential(1) : fixed(value, 4));
const percent = (value) => (value === 0 ? "0%" : Math.abs(value) < 5e-7 ? `${(100 * value).toExponential(1)}%` : `${fixed(100 * value, 4)}%`);

function nearest(stops, said) {
  const exact = stops.findIndex((each) => text(each) === said);
  if (exact >= 0) return exact;
  const value = said === "inf" || said === "none" ? Infinity : Number(said);
  let best = 0;
  stops.forEach((each, i) => {
    const off = (stop) => Math.abs((stop === "inf" || stop === null ? Infinity : stop) - value);
    if (off(each) < off(stops[best])) best = i;
  });
  return best;
}

/* The value of a control at a time: linear between the middles of steps, constant beyond them. */
function between(times, values, t) {
  const middle = (k) => (times[k] + times[k + 1]) / 2;
  if (t <= middle(0)) return values[0];
  for (let k = 0; k + 1 < values.length; k++) {
    if (t <= middle(k + 1)) return values[k] + ((values[k + 1] - values[k]) * (t - middle(k))) / (middle(k + 1) - middle(k));
  }
  return values[values.length - 1];
}

/* All markets that are there, on the same axes. */
function redraw() {
  const shown = Object.values(markets).filter((each) => each.found && each.described);
  const limits = {};
  for (const each of shown) each.choose();
  for (const [key] of CHARTS) {
    const held = shown.find((each) => each.held && each.handles(key));
    limits[key] = held ? held.held : range(shown.flatMap((each) => [...each.series(key).map((line) => line.values), each.room(key)]));
  }
  for (const each of shown) each.draw(limits);
}

let remembering = null;
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const parts = Object.values(markets).map((each) => each.query(PREFIX[each.letter]).toString());
    history.replaceState(null, "", `?${parts.join("&")}`);
  }, 150);
}

/* The pairs of the address that belong to a market. */
function given(letter) {
  const all = [...new URLSearchParams(location.search)];
  const second = ([key]) => key.startsWith(PREFIX.B);
  return new URLSearchParams(letter === "B" ? all.filter(second).map(([key, value]) => [key.slice(2), value]) : all.filter((each) => !second(each)));
}

function add(letter, query) {
  markets[letter] = new Market(letter, query);
  document.getElementById("markets").append(markets[letter].root);
  const two = "B" in markets;
  document.getElementById("markets").className = two ? "two" : "one";
  document.getElementById("compare").setAttribute("aria-pressed", two);
  return markets[letter].describe();
}

document.getElementById("compare").addEventListener("click", () => {
  if (!("B" in markets)) return add("B", markets.A.query());
  markets.B.root.remove();
  delete markets.B;
  document.getElementById("markets").className = "one";
  document.getElementById("compare").setAttribute("aria-pressed", false);
  redraw();
  remember();
});

document.getElementById("link").addEventListener("click", async () => {
  const said = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(location.href);
    said.textContent = "copied";
  } catch {
    said.textContent = "the browser does not let pages copy: take the address";
  }
});

let resizing = null;
addEventListener("resize", () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(redraw); });

document.getElementById("markets").replaceChildren();
add("A", given("A"));
if (given("B").size) add("B", given("B"));
