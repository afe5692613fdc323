// The table: pages of rows, drawn anew whenever the view changes. One finding's evidence is open at most.

const PAGE = 100, MOST_PRINTED = 1000;
let shown = [];

function under(...children) { return make("span", {class: "under"}, ...children); }

function line(n) {
  const one = row(found, n), at = place(one.checkpoint), open = one.id === view.open;
  const explained = one.standing === "explained" ? (one.explained_by_base ? ", explained by the base" : ", explained by other checkpoints") : "";
  const bits = MEASURES.filter(({name}) => one[name] != null).map(({title, name}) => `${title.split(",")[0]} ${one[name]}`);
  const to = address({...view, open: open ? null : one.id});
  const cell = (attributes, ...children) => make("td", {role: "cell", ...attributes}, ...children);
  return make("tr", {role: "row", id: `finding-${one.id}`, class: one.counts ? "" : "aside"},
    cell({class: "grade"}, make("span", {class: `severity ${one.severity}`}, one.severity), under(one.state + explained)),
    cell(null, make("a", {class: "opens", href: to, "aria-expanded": open}, make("bdi", null, at.name)),
      under(`${at.family ?? "unknown"} ${(at.kind ?? "").replaceAll("_", " ")}`, one.elsewhere ? `; the same weights at ${many(one.elsewhere.length, "other place", "other places")}` : "")),
    cell(null, make("bdi", null, one.ref_id), under(make("bdi", null, one.set), one.mirrored ? ", mirrored" : "")),
    cell({class: "gauged"}, one.similarity == null ? make("span", {class: "quiet"}, "hash only") : likeness(one),
      under(one.similarity == null ? "" : `${fixed(one.similarity)}, control ${fixed(one.control_similarity)}`)),
    cell({class: "bits"}, ...bits.flatMap((text, at) => at ? [make("br"), text] : [text])),
    cell({class: "since"}, (one.first_seen ?? "").slice(0, 10), under(code(one.id))));
}

function draw(most = PAGE) {
  const last = Math.max(1, Math.ceil(shown.length / PAGE)), whole = most !== PAGE;
  view.page = Math.min(view.page, last);
  const first = whole ? 0 : (view.page - 1) * PAGE, part = shown.slice(first, first + most);
  const kept = document.querySelector("#rows details.picture");
  if (kept) $("pictures").append(kept);
  $("rows").replaceChildren(...part.flatMap((n) => found.id[n] !== view.open ? [line(n)]
    : [line(n), make("tr", {role: "row", class: "evidence"}, make("td", {role: "cell", colspan: 6}, evidence(n)))]));
  const some = part.length < shown.length ? `; ${first + 1} to ${first + part.length} are listed` : "";
  $("shown").textContent = (shown.length < count ? `${shown.length.toLocaleString("en")} of ` : "") + many(count, "finding", "findings") + some;
  $("all").hidden = address({...empty(), open: view.open, page: view.page, sort: view.sort}) === address(view);
  $("pager").hidden = last === 1;
  $("page").textContent = `Page ${view.page} of ${last}`;
  $("before").disabled = view.page === 1;
  $("after").disabled = view.page === last;
}

// Shows a view; `write` keeps it in the address, without a step in the browser's history for every letter.
function show(next, write = true) {
  view = next;
  shown = matching(view);
  if (view.open !== null) {
    let at = shown.findIndex((n) => found.id[n] === view.open);
    if (at < 0) {
      view = {...empty(), open: view.open};
      shown = matching(view);
      at = shown.findIndex((n) => found.id[n] === view.open);
    }
    if (at >= 0) view.page = Math.floor(at / PAGE) + 1;
    else view.open = null;
  }
  draw();
  $("q").value = view.q;
  $("set").value = view.set;
  $("hub").value = view.hub;
  for (const box of document.querySelectorAll("#finder input[type=checkbox]")) box.checked = view[box.name].includes(box.value);
  for (const head of document.querySelectorAll("th button")) {
    const way = {[head.dataset.sort]: "ascending", ["-" + head.dataset.sort]: "descending"}[view.sort] ?? "none";
    head.parentElement.setAttribute("aria-sort", way);
  }
  if (write) history.replaceState(null, "", address(view));
}

function filter() {
  const boxes = (name) => [...document.querySelectorAll(`#finder [name=${name}]:checked`)].map((box) => box.value);
  show({...view, open: null, page: 1, q: $("q").value, severity: boxes("severity"), state: boxes("state"), set: $("set").value, hub: $("hub").value});
}

const opener = (id) => $(`finding-${id}`)?.querySelector("a.opens");

function close() {
  const id = view.open;
  show({...view, open: null});
  opener(id)?.focus();
}

function turn(by) {
  show({...view, open: null, page: view.page + by});
  $("findings").scrollIntoView();
}

// Goes where the address says: to the finding that is open, or was until now, or to the table's heading.
function follow(block = "nearest") {
  const asked = read(location.hash), before = view.open;
  if (asked === null) return;
  show(asked, false);
  const line = opener(view.open ?? before);
  if (line) line.focus({preventScroll: true});
  (line ?? $("findings")).scrollIntoView({block: line ? block : "start"});
}

if (count) {
  for (const id of ["finder", "tally", "browser", "keys"]) $(id).hidden = false;
  for (const part of document.querySelectorAll("[data-view]")) part.href = "#findings?" + part.dataset.view;
  $("finder").addEventListener("input", filter);
  $("all").addEventListener("click", () => { show({...empty(), sort: view.sort}); $("q").focus(); });
  $("before").addEventListener("click", () => turn(-1));
  $("after").addEventListener("click", () => turn(1));
  for (const head of document.querySelectorAll("th button")) head.addEventListener("click", () => {
    const name = head.dataset.sort, best = ["severity", "likeness", "seen"].includes(name) ? "-" + name : name;
    const other = best === name ? "-" + name : name;
    show({...view, open: null, page: 1, sort: view.sort === best ? other : view.sort === other ? "" : best});
  });
  $("rows").addEventListener("click", (event) => {
    const line = event.target.closest("tr[id]");
    if (line && !event.target.closest("a") && getSelection().isCollapsed) line.querySelector("a.opens").click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view.open !== null) close();
    const links = [...document.querySelectorAll("a.opens")], at = links.indexOf(document.activeElement);
    const to = {ArrowDown: at + 1, ArrowUp: at - 1}[event.key];
    if (to === undefined || (at < 0 && !(event.target === $("q") && to === 0))) return;
    event.preventDefault();
    (links[to] ?? (to < 0 ? $("q") : document.activeElement)).focus();
  });
  addEventListener("hashchange", () => follow());
  addEventListener("beforeprint", () => draw(MOST_PRINTED));
  addEventListener("afterprint", () => draw());
  show(read(location.hash) ?? empty(), false);
  if (view.open) follow("start");
}
