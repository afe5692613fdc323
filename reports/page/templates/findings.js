// The table: pages of rows, drawn anew whenever the view changes. One finding is open at most.

const PAGE = 50, MOST_PRINTED = 1000;
let shown = [];
const boxes = (more = "") => [...document.querySelectorAll(`#finder input[type=checkbox]${more}`)];
const opener = (id) => $(`finding-${id}`)?.querySelector("a.opens");
const clipped = (text) => make("bdi", {class: "clipped"}, text);  // whole in the evidence
const under = (...children) => make("span", {class: "under"}, ...children);
const cell = (kind, ...children) => make("td", {role: "cell", class: kind}, ...children);

const lines = new Map();  // by finding: most of a page is still there after one letter more

function line(one) {
  if (!lines.has(one.id)) lines.set(one.id, made(one));
  const open = one.id === view.open, link = lines.get(one.id).querySelector("a.opens");
  link.setAttribute("href", address({...view, open: open ? "" : one.id}));
  link.setAttribute("aria-expanded", open);
  return lines.get(one.id);
}

function made(one) {
  const at = one.place, others = (one.elsewhere ?? "").split(",").filter(Boolean).length;
  const bits = MEASURES.filter(({name}) => isKnown(one[name])).map(({title, of, name}) =>
    make("div", null, `${title} ${one[name]}`, make("span", {class: "quiet"}, ` of ${of}`)));
  return make("tr", {role: "row", id: `finding-${one.id}`, class: one.counts ? "" : "aside"},
    cell("grade", make("span", {class: `severity ${one.severity}`}, one.severity), under(one.state + explained(one))),
    cell("", make("a", {class: "opens"}, clipped(at.name)),
      under(name(at.family ?? "unknown"), ` ${(at.kind ?? "").replaceAll("_", " ")}`,
        others > 0 && `; the same weights at ${many(others, "other place", "other places")}`)),
    cell("", clipped(one.ref_id), under(name(one.set), one.mirrored ? ", mirrored" : "")),
    isKnown(one.similarity)
      ? cell("gauged", likeness(one), under(`${decimal(one.similarity)}, control ${decimal(one.control_similarity)}`))
      : cell("gauged quiet", "hash only"),
    cell("bits", ...bits), cell("since", (one.first_seen ?? "").slice(0, 10), under(code(one.id))));
}

function draw(most = PAGE) {
  const pages = Math.max(1, Math.ceil(shown.length / PAGE)), page = Math.min(view.page, pages);
  const first = most > PAGE ? 0 : (page - 1) * PAGE, part = shown.slice(first, first + most);
  $("pictures")?.append(...document.querySelectorAll("#rows .picture"));
  $("rows").replaceChildren(...part.flatMap((one) => one.id !== view.open ? [line(one)]
    : [line(one), make("tr", {role: "row", class: "evidence"}, make("td", {role: "cell", colspan: 6}, evidence(one)))]));
  $("shown").textContent = (shown.length < count ? `${shown.length.toLocaleString("en")} of ` : "")
    + many(count, "finding", "findings") + (part.length < shown.length ? `; ${first + 1} to ${first + part.length} are listed` : "");
  $("all").hidden = shown.length === count;
  $("pager").hidden = pages === 1;
  $("page").textContent = `Page ${page} of ${pages}`;
  $("before").disabled = page === 1;
  $("after").disabled = page === pages;
}

// Shows a view, and writes it to the address: no letter that is typed makes a step in the browser's history.
function show(next) {
  const at = (list) => list.findIndex((one) => one.id === next.open);
  view = next;
  if (next.open && at(matching(next)) < 0) view = {...EMPTY, open: at(all) < 0 ? "" : next.open};
  shown = matching(view);
  if (view.open) view = {...view, page: Math.floor(at(shown) / PAGE) + 1};
  draw();
  for (const id of ["q", "set", "hub"]) $(id).value = view[id];
  for (const box of boxes()) box.checked = view[box.name].includes(box.value);
  for (const head of document.querySelectorAll("th button")) head.parentElement.setAttribute("aria-sort",
    {[head.dataset.sort]: "ascending", ["-" + head.dataset.sort]: "descending"}[view.sort] ?? "none");
  history.replaceState(null, "", address(view));
}

function filter() {
  const ticked = (name) => boxes(`[name=${name}]:checked`).map((box) => box.value);
  show({...EMPTY, sort: view.sort, q: $("q").value, severity: ticked("severity"), state: ticked("state"), set: $("set").value, hub: $("hub").value});
}

function sort(name) {
  const best = ["severity", "likeness", "seen"].includes(name) ? "-" + name : name, other = best === name ? "-" + name : name;
  show({...view, open: "", page: 1, sort: view.sort === best ? other : view.sort === other ? "" : best});
}

function turn(by) {
  show({...view, open: "", page: view.page + by});
  $("findings").scrollIntoView();
}

// Goes where the address says: to the finding that is open, or was until now, or to the table's heading.
function follow(block = "nearest") {
  const asked = read(location.hash), before = view.open;
  if (asked === null) return;
  show(asked);
  const opened = opener(view.open || before);
  opened?.focus({preventScroll: true});
  (opened?.closest("tr") ?? $("findings")).scrollIntoView({block: opened ? block : "start"});
}

function press(event) {
  const links = [...document.querySelectorAll("a.opens")], at = links.indexOf(document.activeElement);
  if (event.key === "Escape" && view.open) {
    const before = view.open;
    show({...view, open: ""});
    opener(before)?.focus();
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && (at >= 0 || event.target === $("q"))) {
    event.preventDefault();
    (links[event.key === "ArrowDown" ? at + 1 : at - 1] ?? (at > 0 ? links[at] : $("q"))).focus();
  }
}

if (count) {
  for (const id of ["finder", "tally", "browser", "keys"]) $(id).hidden = false;
  for (const number of document.querySelectorAll("a[data-view]")) number.href = "#findings?" + number.dataset.view;
  for (const head of document.querySelectorAll("th button")) head.addEventListener("click", () => sort(head.dataset.sort));
  $("finder").addEventListener("input", filter);
  $("all").addEventListener("click", () => { show({...EMPTY, sort: view.sort}); $("q").focus(); });
  $("before").addEventListener("click", () => turn(-1));
  $("after").addEventListener("click", () => turn(1));
  $("rows").addEventListener("click", (event) => {
    if (!event.target.closest("a") && getSelection().isCollapsed) event.target.closest("tr[id]")?.querySelector("a.opens").click();
  });
  addEventListener("keydown", press);
  addEventListener("hashchange", () => follow());
  addEventListener("beforeprint", () => draw(MOST_PRINTED));
  addEventListener("afterprint", () => draw());
  shown = all;
  if (read(location.hash)) follow("start"); else draw();
}
