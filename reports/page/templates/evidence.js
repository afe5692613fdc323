// One finding in words: what was measured, against which limits, and how to make it again.

const MEASURES = [
  {title: "PDQ", of: 256, name: "pdq_distance"}, {title: "pHash", of: 64, name: "phash_distance"},
  {title: "pHash", of: 256, name: "phash256_distance"},
];
const decimal = (value) => value == null ? "–" : value.toFixed(2);
const day = (stamp) => stamp ? stamp.slice(0, 16).replace("T", ", ") + " UTC" : "";
const many = (number, one, more) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
const isKnown = (value) => value !== null && value !== undefined && value !== "" && value !== false;

function make(tag, attributes, ...children) {
  const drawn = ["svg", "path", "circle"].includes(tag);
  const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.filter(isKnown));
  return element;
}
const code = (text) => isKnown(text) ? make("code", null, text) : null;
const name = (text) => make("bdi", null, text);  // whichever way it reads, what is around it stays in order
const link = (at) => at.url ? make("a", {href: at.url, rel: "noopener noreferrer"}, name(at.name)) : name(at.name);

// Further right is nearer. `share` puts a value on 0 to 1; limits are ticks, and what is not known is not drawn.
function scale(share, own, control, others, limits) {
  const x = (value) => (6 + 124 * Math.min(1, Math.max(0, share(value)))).toFixed(1);
  const svg = make("svg", {class: "gauge", viewBox: "0 0 136 18", "aria-hidden": "true"},
    make("path", {d: "M6 9H130M6 6v6M130 6v6", class: "rail"}),
    ...limits.map((limit) => make("path", {d: `M${x(limit)} 3v12`, class: "tick"})));
  if (isKnown(others)) svg.append(make("path", {d: `M${x(others)} 4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z`, class: "hollow"}));
  if (isKnown(control)) svg.append(make("path", {d: `M${x(control)} 9H${x(own)}`, class: "reach"}),
    make("circle", {cx: x(control), cy: 9, r: 4, class: "hollow"}));
  svg.append(make("circle", {cx: x(own), cy: 9, r: 4.75, class: "dot"}));
  return svg;
}
const likeness = (one, others, limits = []) =>
  scale((value) => value, one.similarity, one.control_similarity, others, limits);

function measures(one) {
  const rungs = data.rungs[one.set] ?? data.rungs[""], body = make("tbody");
  const add = (title, values, sign, limits, drawn) => body.append(make("tr", null, make("th", {scope: "row"}, title),
    ...values.map((value) => make("td", {class: "n"}, value)), make("td", null, drawn),
    make("td", null, Object.entries(limits).map(([grade, at]) => `${grade} ${sign} ${at}`).join(", "))));
  if (isKnown(one.similarity)) {
    const limits = rungs[one.descriptor], values = [one.similarity, one.control_similarity, one.others_similarity];
    add(`Likeness (${one.descriptor})`, values.map(decimal), "≥", limits,
      likeness(one, one.others_similarity, Object.values(limits)));
  }
  for (const {title, of, name} of MEASURES) {
    const values = [one[name], one["control_" + name], one["others_" + name]], limits = rungs[name];
    if (isKnown(values[0])) add(`${title} distance, bits of ${of}`, values.map((value) => value ?? "–"), "≤", limits,
      scale((bits) => 1 - 2 * bits / of, ...values, Object.values(limits)));  // half the bits: strangers
  }
  const heads = ["Measure", "Extraction", "Base alone", "Other checkpoints", "Nearer to the right", "Limits"];
  return make("div", {class: "wide", role: "region", "aria-label": "Measures", tabindex: 0}, make("table", null, make("thead", null, make("tr", null, ...heads.map(
    (text, n) => make("th", {scope: "col", class: n && n < 4 ? "n" : ""}, text)))), body));
}

function chance(one) {
  const others = many(one.others ?? 0, "wrong checkpoint", "wrong checkpoints") + (one.others_same_base ? " of the same base" : "");
  return isKnown(one.p_value) ? `p ${one.p_value}: of ${others}, ${one.others_as_near} came as near or nearer`
    : `not calibrated: ${others}, and it takes ${data.min_others}`;
}

function explained(one) {
  return one.explained_by_base ? ", explained by the base" : one.explained_by_others ? ", explained by other checkpoints" : "";
}

function settled(one) {
  return one.settled_by && make("span", null, name(one.settled_by), one.settled_at && `, ${day(one.settled_at)}`,
    one.settled_until && `, until ${day(one.settled_until)}`, one.settled_why && ": ", name(one.settled_why ?? ""));
}

function facts(title, pairs) {
  const known = pairs.filter(([, value]) => isKnown(value));
  return make("div", null, make("h4", null, title), make("dl", {class: "facts"},
    ...known.flatMap(([term, value]) => [make("dt", null, term), make("dd", null, value)])));
}

// A picture, where one was asked for, stays closed until it is opened by itself.
function evidence(one) {
  const at = one.place, elsewhere = (one.elsewhere ?? "").split(",").filter(Boolean).map(place);
  return make("section", {"aria-label": `Evidence of finding ${one.id}`},
    make("h3", null, "Finding ", code(one.id)), measures(one), one.picture && $(one.picture), make("div", {class: "pair"},
      facts("Why it is a finding", [["Rule", code(one.rule)], ["By chance", chance(one)],
        ["Normalised", isKnown(one.normalised_similarity) ? `likeness ${decimal(one.normalised_similarity)} above the background` : null],
        ["Occurrences", many(one.occurrences ?? 1, "extraction matches this reference", "extractions match this reference")],
        ["Cluster", isKnown(one.cluster_size) ? `${many(one.cluster_size, "generation", "generations")} nearly the same, cohesion ${decimal(one.cohesion)}` : null],
        ["State", one.state + explained(one) + (one.counts ? "" : "; not counted")], ["What changed", one.changed],
        ["Set aside by", settled(one)], ["Label", one.label], ["First seen", day(one.first_seen)], ["Last seen", day(one.last_seen)]]),
      facts("Where, and how to make it again", [["Checkpoint", link(at)], ["File", at.path && name(at.path)],
        ["Weights", code(at.checkpoint_sha256)],
        ["Also at", elsewhere.length ? make("ul", null, ...elsewhere.map((other) => make("li", null, link(other)))) : null],
        ["Reference", make("span", null, name(one.ref_id), " of ", name(one.set), one.mirrored ? ", mirrored" : "")],
        ["Prompt", one.prompt_origin && `from ${one.prompt_origin.replaceAll("_", " ")}; its words are in the extractions table`],
        ["Seed", one.seed], ["Recipe", code(one.recipe_id)],
        ["To verify", code(`leaksweep verify ${one.id}`)], ["To explain", code(`leaksweep explain ${one.id}`)]])));
}
