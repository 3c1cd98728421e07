// What the pages do beyond what links and forms do: keys, and news while a page is open. Nothing here is needed to work.
// Written for the first browsers that know modules (2017): an older one leaves a module alone, and a word that one of them did
// not know would take all of this away.

const typing = (target) => target.closest("input:not([type=checkbox]), textarea, select") !== null;
const byKey = (key) => document.querySelector(`[data-key="${key}"]`);
const isDeskNote = (target) => target instanceof Element && target.matches("#desk textarea");

function on(node, does) {
  if (node) does(node);
}

// ---- keys ----

const rows = () => [...document.querySelectorAll(".records .what a")];

function move(step) {
  const link = byKey(step > 0 ? "j" : "k");
  if (link) return link.click();
  const all = rows();
  if (all.length === 0) return;
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  all[next].focus();
}

// A key that is held, or pressed twice, must not decide on the record that comes next, which nobody has seen yet.
const LOOK_MS = 600;
const desk = document.querySelector("#desk");
setTimeout(() => desk && desk.setAttribute("data-ready", ""), LOOK_MS);

function act(kind) {
  if (!desk || !desk.hasAttribute("data-ready")) return;
  const button = document.querySelector(`#desk button[name=kind][value=${kind}]`);
  if (button) button.click();
}

function writeReturn() {
  const note = document.querySelector("#desk textarea[name=note]");
  if (note && document.querySelector("#desk button[value=return]")) {
    note.dataset.act = "return";
    note.focus();
  }
}

// To say something of an answer, the page need not be fetched again: what was typed stays.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest(".say");
  const choice = document.querySelector("#desk select[name=field]");
  if (!link || !choice) return;
  choice.value = link.dataset.field;
  if (choice.value !== link.dataset.field) return;
  event.preventDefault();
  on(document.querySelector("#desk [name=field_note]"), (note) => note.focus());
});

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (isDeskNote(target) && key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (event.repeat) return;
    return act(target.dataset.act || "comment");
  }
  if (key === "Escape" && typing(target)) return target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || typing(target)) return;
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    a: () => act("approve"),
    r: writeReturn,
    u: () => on(byKey("u"), (link) => link.click()),
    "/": () => on(document.querySelector("input[type=search]"), (box) => box.focus()),
  };
  const does = keys[key.toLowerCase()];
  if (does) {
    event.preventDefault();
    does();
  }
});

// ---- what is typed ----

// A session may end, or a page be left by mistake, with a note half written: it is kept in this tab until an act is done.
const KEPT = "qianmo note ";
const keptFields = () => [...document.querySelectorAll("#desk textarea, #desk input[name=field_note], #desk select[name=field]")];
const noteKey = (path) => KEPT + path.replace(/\/(act|settle)$/, "");

function withTab(does) {
  try {
    does(window.sessionStorage);
  } catch (error) {
    // A browser that keeps nothing works as before.
  }
}

withTab((tab) => {
  const key = noteKey(location.pathname);
  const sent = tab.getItem(KEPT);
  const isDone = document.querySelector("main > .notice.info[role=status]:not([hidden])");
  if (sent && isDone) tab.removeItem(sent);
  tab.removeItem(KEPT);
  const fields = keptFields();
  if (fields.length === 0) return;
  const kept = JSON.parse(tab.getItem(key) || "{}");
  for (const field of fields) {
    if (field.value === "" && kept[field.name]) field.value = kept[field.name];
  }
  const form = document.querySelector("#decision");
  form.addEventListener("input", () => {
    const values = {};
    for (const field of keptFields()) values[field.name] = field.value;
    withTab(() => tab.setItem(key, JSON.stringify(values)));
  });
  form.addEventListener("submit", () => withTab(() => tab.setItem(KEPT, key)));
});

for (const button of document.querySelectorAll("[data-untick]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    for (const box of document.querySelectorAll(".sweep input[type=checkbox]")) box.checked = false;
  });
}

// ---- news ----

async function fetched() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function address(row) {
  const link = row.querySelector("a");
  return link && link.getAttribute("href");
}

function fill(node, parts) {
  node.textContent = "";
  node.append(...parts);
}

/** Puts in what came, where it belongs, and leaves everything else in its place. */
function takeRows(page) {
  const here = document.querySelector(".records tbody");
  const there = page.querySelector(".records tbody");
  if (!here || !there) return here !== there;
  const known = new Map([...here.children].map((row) => [address(row), row]));
  let last = null;
  for (const row of [...there.children]) {
    const mine = known.get(address(row));
    if (mine) {
      const [marks, news] = [mine.querySelector(".marks"), row.querySelector(".marks")];
      if (marks && news && marks.innerHTML !== news.innerHTML) fill(marks, news.childNodes);
      last = mine;
    } else {
      const added = document.importNode(row, true);
      added.classList.add("new");
      if (last) last.after(added);
      else here.prepend(added);
      last = added;
    }
  }
  return false;
}

function takeCounts(page) {
  for (const part of [".total", "nav.chips"]) {
    const [here, there] = [document.querySelector(part), page.querySelector(part)];
    if (here && there && !here.contains(document.activeElement)) fill(here, there.childNodes);
  }
}

function heads(page) {
  const field = page.querySelector("#desk input[name=heads], [data-heads]");
  return field ? field.value : null;
}

async function news() {
  const page = await fetched();
  if (!page) return;
  const notice = document.querySelector("#news");
  if (document.querySelector(".total")) {
    takeCounts(page);
    if (takeRows(page) && notice) notice.hidden = false;
  } else if (notice && heads(page) !== null && heads(page) !== heads(document)) {
    notice.hidden = false;
  }
}

if (document.querySelector("#news") && "EventSource" in window) {
  let waiting = null;
  const source = new EventSource("/events");
  source.addEventListener("news", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => news().catch(() => {}), 300);
  });
  addEventListener("pagehide", () => source.close());
}
