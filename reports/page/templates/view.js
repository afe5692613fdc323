// What is shown, as the address says it: #findings?severity=high&sort=-likeness, or #finding-ID?...
// Strangers' words enter the page as text only; the page's policy forbids anything else.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const unpacked = (columns) => Object.fromEntries(Object.entries(columns).map(
  ([name, column]) => [name, column.words ? column.at.map((at) => column.words[at]) : column]));
const places = unpacked(data.checkpoints), found = unpacked(data.findings);
const count = found.id ? found.id.length : 0;

const row = (columns, n) => Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[n]]));
const place = (n) => {
  const one = row(places, n);
  return {...one, name: (one.hub === "civitai" ? "Civitai model " : "") + (one.repo ?? "unknown checkpoint")};
};

function make(tag, attributes, ...children) {
  const svg = ["svg", "path", "circle"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const empty = () => ({open: null, q: "", severity: [], state: [], set: "", hub: "", sort: "", page: 1});
let view = empty();

// Returns null for an address that is not about the findings, such as #coverage.
function read(address) {
  const [anchor, query = ""] = address.replace(/^#/, "").split(/\?(.*)/s);
  if (anchor !== "findings" && !anchor.startsWith("finding-")) return null;
  const asked = new URLSearchParams(query), list = (name) => (asked.get(name) ?? "").split(",").filter(Boolean);
  return {
    open: anchor === "findings" ? null : anchor.slice("finding-".length),
    q: asked.get("q") ?? "", severity: list("severity"), state: list("state"),
    set: asked.get("set") ?? "", hub: asked.get("hub") ?? "", sort: asked.get("sort") ?? "",
    page: Math.max(1, parseInt(asked.get("page")) || 1),
  };
}

function address(of) {
  const query = new URLSearchParams();
  for (const name of ["q", "severity", "state", "set", "hub", "sort"])
    if (of[name].length) query.set(name, [of[name]].flat().join(","));
  if (of.page > 1) query.set("page", of.page);
  const text = query.toString().replaceAll("%2C", ",");
  return "#" + (of.open === null ? "findings" : "finding-" + of.open) + (text && "?" + text);
}

const GRADES = ["low", "medium", "high", "critical"];
const SORTS = {
  severity: (n) => GRADES.indexOf(found.severity[n]),
  checkpoint: (n) => (places.repo?.[found.checkpoint[n]] ?? "").toLowerCase(),
  reference: (n) => (found.set[n] + " " + found.ref_id[n]).toLowerCase(),
  likeness: (n) => found.similarity?.[n],
  hash: (n) => found.pdq_distance?.[n] ?? (found.phash_distance?.[n] == null ? null : 4 * found.phash_distance[n]),
  seen: (n) => found.first_seen?.[n],
};
const hay = Array.from({length: count}, (_, n) => {
  const at = found.checkpoint[n], own = ["id", "ref_id", "set", "rule", "checkpoint_sha256", "label"];
  return [...own.map((name) => found[name]?.[n]), places.repo?.[at], places.path?.[at], places.family?.[at]]
    .join("\n").toLowerCase();
});

// The numbers of the findings that a view shows, in its order; the page's own order is strongest first.
function matching(of) {
  const words = of.q.toLowerCase().split(/\s+/).filter(Boolean), shown = [];
  for (let n = 0; n < count; n++) {
    if (of.severity.length && !of.severity.includes(found.severity[n])) continue;
    if (of.state.length && !of.state.includes(found.standing[n])) continue;
    if (of.set && of.set !== found.set[n]) continue;
    if (of.hub && of.hub !== places.hub?.[found.checkpoint[n]]) continue;
    if (words.every((word) => hay[n].includes(word))) shown.push(n);
  }
  const name = of.sort.replace(/^-/, ""), key = SORTS[name];
  if (!key) return shown;
  const keys = new Map(shown.map((n) => [n, key(n) ?? null])), sign = of.sort.startsWith("-") ? -1 : 1;
  return shown.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === null || y === null) return (x === null) - (y === null);  // what has no value comes last
    return x < y ? -sign : x > y ? sign : 0;
  });
}
