// What is shown, as the address says it: #findings?severity=high&sort=-likeness, or #finding-ID?...
// Strangers' words enter the page as text only; the page's policy forbids anything else.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const unpack = (column) => !column.words ? (n) => column[n]
  : column.at ? (n) => column.words[column.at[n]] : () => column.words[0];
const table = (columns) => Object.entries(columns).map(([name, column]) => [name, unpack(column)]);
const row = (columns, n) => Object.fromEntries(columns.map(([name, at]) => [name, at(n)]));
const count = data.count, places = table(data.checkpoints), found = table(data.findings);
const all = Array.from({length: count}, (_, n) => {
  const one = row(found, n);
  return {...one, n, place: place(one.checkpoint), counts: ["new", "changed", "known"].includes(one.standing)};
});

function place(n) {
  const one = row(places, n);
  return {...one, name: (one.hub === "civitai" ? "Civitai model " : "") + (one.repo ?? "unknown checkpoint")};
}

const EMPTY = {open: "", q: "", severity: [], state: [], set: "", hub: "", sort: "", page: 1};
let view = EMPTY;

// Returns null for an address that is not about the findings, such as #coverage.
function read(address) {
  const [, anchor, query] = address.match(/^#?([^?]*)\??(.*)/s), asked = new URLSearchParams(query);
  if (anchor !== "findings" && !anchor.startsWith("finding-")) return null;
  const one = (name) => asked.get(name) ?? "", list = (name) => one(name).split(",").filter(Boolean);
  return {
    open: anchor.slice("finding-".length), q: one("q"), severity: list("severity"), state: list("state"),
    set: one("set"), hub: one("hub"), sort: one("sort"), page: Math.max(1, parseInt(one("page")) || 1),
  };
}

function address(of) {
  const query = new URLSearchParams();
  for (const name of ["q", "severity", "state", "set", "hub", "sort"]) if (of[name].length) query.set(name, of[name]);
  if (of.page > 1) query.set("page", of.page);
  const text = query.toString().replaceAll("%2C", ",");
  return "#" + (of.open ? "finding-" + of.open : "findings") + (text && "?" + text);
}

const GRADES = ["low", "medium", "high", "critical"];
const SORTS = {
  severity: (one) => GRADES.indexOf(one.severity), checkpoint: (one) => one.place.name.toLowerCase(),
  reference: (one) => `${one.set} ${one.ref_id}`.toLowerCase(), likeness: (one) => one.similarity,
  hash: (one) => one.pdq_distance ?? (one.phash_distance == null ? null : 4 * one.phash_distance),  // both of 256
  seen: (one) => one.first_seen,
};
const hay = all.map((one) => [one.id, one.ref_id, one.set, one.rule, one.label, one.place.name, one.place.path,
  one.place.family, one.place.checkpoint_sha256].join("\n").toLowerCase());

// The findings that a view shows, in its order; without a sort they stand as the report has them, strongest first.
function matching(of) {
  const words = of.q.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (one) => (!of.severity.length || of.severity.includes(one.severity))
    && (!of.state.length || of.state.includes(one.standing)) && (!of.set || of.set === one.set)
    && (!of.hub || of.hub === one.place.hub) && words.every((word) => hay[one.n].includes(word));
  const shown = all.filter(fits), key = SORTS[of.sort.replace(/^-/, "")], sign = of.sort.startsWith("-") ? -1 : 1;
  if (!key) return shown;
  const keys = new Map(shown.map((one) => [one, key(one) ?? null]));
  return shown.sort((a, b) => {
    const x = keys.get(a), y = keys.get(b);
    if (x === null || y === null) return (x === null) - (y === null);  // what has no value comes last, always
    return x < y ? -sign : x > y ? sign : 0;
  });
}
