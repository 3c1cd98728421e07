// What the tablet's pages do beyond links and forms: they save while somebody types, take the place once when asked, and show
// news. Nothing here is needed to work. Written for the first browsers that know modules (2017).

const base = document.body.dataset.base;
const SAVE_AFTER_MS = 400;
const AGAIN_AFTER_MS = 3000;

// ---- a form that saves itself ----

const form = document.querySelector("#fill");
let due = null;
let saving = Promise.resolve();
let isLeaving = false;

function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

/** Takes from the page as it is now what follows from the answers: what is asked, what is wrong, what is to be looked at. */
function takeForm(page) {
  for (const there of page.querySelectorAll("#fill [data-path], #fill .part, #fill [data-repeat]")) {
    const here = document.getElementById(there.id);
    if (!here) continue;
    here.hidden = there.hidden;
    if (!there.dataset.path) continue;
    const [mine, theirs] = [here.querySelector(".said"), there.querySelector(".said")];
    if (mine && theirs && mine.innerHTML !== theirs.innerHTML) {
      mine.textContent = "";
      mine.append(...theirs.childNodes);
    }
  }
  const [said, saved] = [document.querySelector("#saved"), page.querySelector("#saved")];
  if (said && saved) {
    said.textContent = saved.textContent;
    said.classList.remove("unsaved");
  }
}

async function save() {
  const body = new URLSearchParams(new FormData(form));
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { "x-quietly": "1" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = parsed(await answer.text());
    if (!isLeaving) takeForm(page);
  } catch (error) {
    // The program may have been ended, or the tablet's memory be full: what is on the page stays there until it is saved.
    if (isLeaving) return;
    const said = document.querySelector("#saved");
    said.textContent = said.dataset.unsaved;
    said.classList.add("unsaved");
    saveSoon(AGAIN_AFTER_MS);
  }
}

function saveSoon(wait) {
  clearTimeout(due);
  due = setTimeout(() => {
    saving = saving.then(save);
  }, wait);
}

if (form) {
  form.addEventListener("input", () => saveSoon(SAVE_AFTER_MS));
  form.addEventListener("change", () => saveSoon(0));
  // The key that ends a line goes to the next question, as the keyboard of a tablet says; it hands nothing in.
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches("input")) return;
    event.preventDefault();
    const all = Array.from(form.querySelectorAll("input:not([type=hidden]), textarea, button"));
    const next = all.slice(all.indexOf(event.target) + 1).find((one) => one.offsetParent && one.name !== event.target.name);
    if (next) next.focus();
  });
  form.addEventListener("submit", () => {
    isLeaving = true;
    clearTimeout(due);
  });
}

// ---- the place, once ----

for (const button of document.querySelectorAll("[data-locate]")) {
  if (!navigator.geolocation) continue;
  button.hidden = false;
  const said = button.parentElement.querySelector("[data-located]");
  button.addEventListener("click", () => {
    said.textContent = "…";
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        const put = (name, value) => {
          const field = form.querySelector(`[name="a.${name}"]`);
          if (field) field.value = value;
        };
        // Positions of browsers are by WGS 84.
        const system = form.querySelector('[name="a.coord_system"][value="wgs84"]');
        if (system) system.checked = true;
        put("lat", coords.latitude.toFixed(6));
        put("lon", coords.longitude.toFixed(6));
        put("accuracy_m", coords.accuracy.toFixed(1));
        said.textContent = `± ${Math.round(coords.accuracy)} m`;
        saveSoon(0);
      },
      () => {
        said.textContent = button.dataset.nowhere;
      },
      { enableHighAccuracy: true, timeout: 20000, maximumAge: 0 },
    );
  });
}

// ---- news ----

async function look() {
  const state = document.querySelector("#state");
  if (!state || state.contains(document.activeElement)) return;
  try {
    const answer = await fetch(`${base}/state`);
    if (!answer.ok) return;
    const fresh = parsed(await answer.text()).querySelector("#state");
    if (fresh && fresh.innerHTML !== state.innerHTML) state.replaceWith(document.importNode(fresh, true));
  } catch (error) {
    // It is looked at again with the next news.
  }
}

// A page that is left gives its stream back: a browser has six connections to us, and may keep left pages for the way back.
let source = null;

function listen() {
  source = new EventSource(`${base}/events`);
  source.addEventListener("news", look);
}

if (window.EventSource && document.querySelector("#state")) {
  listen();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    listen();
    look();
  });
  setInterval(look, 60000);
}
