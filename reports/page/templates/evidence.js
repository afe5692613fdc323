// The evidence of one finding: what was measured, against which limits, and how to make it again.

const MEASURES = [
  {title: "PDQ, bits of 256", name: "pdq_distance", far: 128},
  {title: "pHash, bits of 64", name: "phash_distance", far: 32},
  {title: "pHash, bits of 256", name: "phash256_distance", far: 128},
];
const fixed = (value) => value == null ? "–" : Number.isInteger(value) ? String(value) : value.toFixed(2);
const day = (stamp) => stamp ? stamp.slice(0, 16).replace("T", ", ") + " UTC" : "";
const many = (number, one, more) => `${number.toLocaleString("en")} ${number === 1 ? one : more}`;
const code = (text) => make("code", null, text);
const link = (one) => one.url
  ? make("a", {href: one.url, rel: "noopener noreferrer"}, make("bdi", null, one.name)) : make("bdi", null, one.name);

// Further right is nearer. `share` puts a value on 0 to 1; limits are ticks, what is not known is not drawn.
function scale(share, own, control, others, limits) {
  const x = (value) => (6 + 124 * Math.min(1, Math.max(0, share(value)))).toFixed(1);
  const svg = make("svg", {class: "gauge", viewBox: "0 0 136 18", "aria-hidden": "true"});
  svg.append(make("path", {d: "M6 9H130M6 6v6M130 6v6", class: "rail"}));
  for (const limit of limits) svg.append(make("path", {d: `M${x(limit)} 3v12`, class: "tick"}));
  if (control != null) svg.append(
    make("path", {d: `M${x(control)} 9H${x(own)}`, class: "reach"}),
    make("circle", {cx: x(control), cy: 9, r: 4, class: "hollow"}));
  if (others != null) svg.append(make("path", {d: `M${x(others)} 5l4 4l-4 4l-4 -4z`, class: "hollow"}));
  svg.append(make("circle", {cx: x(own), cy: 9, r: 4.75, class: "dot"}));
  return svg;
}
const likeness = (one, others = null, limits = []) =>
  scale((value) => value, one.similarity, one.control_similarity, others, limits);

function measures(one) {
  const rungs = data.rungs[one.set] ?? data.rungs[""], body = make("tbody");
  const add = (title, own, control, others, limits, sign, drawn) => body.append(make("tr", null,
    make("th", {scope: "row"}, title), make("td", {class: "n"}, fixed(own)), make("td", {class: "n"}, fixed(control)),
    make("td", {class: "n"}, fixed(others)), make("td", null, drawn),
    make("td", null, Object.entries(limits).map(([grade, at]) => `${grade} ${sign} ${at}`).join(", "))));
  if (one.similarity != null) {
    const limits = rungs[one.descriptor] ?? {};
    add(`Likeness, ${one.descriptor}`, one.similarity, one.control_similarity, one.others_similarity, limits, "≥",
      likeness(one, one.others_similarity, Object.values(limits)));
  }
  for (const {title, name, far} of MEASURES) {
    const own = one[name], control = one["control_" + name], others = one["others_" + name];
    if (own == null) continue;
    add(title, own, control, others, rungs[name], "≤",
      scale((bits) => 1 - bits / far, own, control, others, Object.values(rungs[name])));
  }
  const heads = ["Measure", "Extraction", "Base alone", "Other checkpoints", "Nearer to the right", "Limits"];
  const head = make("tr", null, ...heads.map((text, n) => make("th", n && n < 4 ? {scope: "col", class: "n"} : {scope: "col"}, text)));
  return make("div", {class: "wide"}, make("table", null, make("thead", null, head), body));
}

function chance(one) {
  const others = `${many(one.others ?? 0, "wrong checkpoint", "wrong checkpoints")}${one.others_same_base ? " of the same base" : ""}`;
  if (one.p_value == null) return `not calibrated: ${others}, and it takes ${data.min_others}`;
  return `p ${one.p_value}: of ${others}, ${one.others_as_near} came as near or nearer`;
}

function history(one) {
  const settled = one.settled_by && [one.state, " by ", make("bdi", null, one.settled_by),
    one.settled_at ? ` on ${day(one.settled_at)}` : "", one.settled_until ? `, until ${day(one.settled_until)}` : "",
    one.settled_why ? ": " : "", make("bdi", null, one.settled_why ?? "")];
  const explained = one.explained_by_base ? ", and the base model alone explains it"
    : one.explained_by_others ? ", and other checkpoints explain it" : "";
  return [["State", one.state + explained + (one.counts ? "" : "; not counted")], ["What changed", one.changed],
    ["Settled", settled && make("span", null, ...settled)], ["Label", one.label], ["First seen", day(one.first_seen)],
    ["Last seen", day(one.last_seen)]];
}

function facts(title, pairs) {
  const known = pairs.filter(([, value]) => value != null && value !== "");
  return make("div", null, make("h4", null, title),
    make("dl", {class: "facts"}, ...known.flatMap(([name, value]) => [make("dt", null, name), make("dd", null, value)])));
}

// Takes the number of a finding and returns the element; its picture, if one was asked for, stays closed.
function evidence(n) {
  const one = row(found, n), at = place(one.checkpoint), elsewhere = (one.elsewhere ?? []).map(place);
  const list = elsewhere.length ? make("ul", null, ...elsewhere.map((other) => make("li", null, link(other)))) : null;
  return make("section", {"aria-label": `Evidence of finding ${one.id}`},
    make("h3", null, "Finding ", code(one.id)), measures(one), one.picture ? $(one.picture) : null,
    make("div", {class: "pair"},
      facts("Why it is a finding", [["Rule", code(one.rule)], ["By chance", chance(one)],
        ["Less the background", one.normalised_similarity == null ? null : fixed(one.normalised_similarity)],
        ["Occurrences", many(one.occurrences ?? 1, "extraction matches this reference", "extractions match this reference")],
        ["Cluster", one.cluster_size == null ? null
          : `${many(one.cluster_size, "generation", "generations")} came out nearly the same, cohesion ${fixed(one.cohesion)}`],
        ...history(one)]),
      facts("Where, and how to make it again", [["Checkpoint", link(at)], ["File", at.path && make("bdi", null, at.path)],
        ["Weights", one.checkpoint_sha256 && code(one.checkpoint_sha256)], ["The same weights", list],
        ["Reference", make("span", null, make("bdi", null, one.ref_id), " of ", make("bdi", null, one.set), one.mirrored ? ", mirrored" : "")],
        ["Prompt", one.prompt_origin && `from ${one.prompt_origin.replaceAll("_", " ")}; it is in the extractions table`],
        ["Seed", one.seed], ["Recipe", one.recipe_id && code(one.recipe_id)],
        ["Make it again", code(`leaksweep verify ${one.id}`)], ["All that is known", code(`leaksweep explain ${one.id}`)]])));
}
