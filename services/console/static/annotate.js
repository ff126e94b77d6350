"use strict";
// The annotator's page. Every answer lies in the browser's own store until the server has said that it arrived; an answer is
// named by its task and revision, so that it may be sent as often as it takes. The last one waits, so that it can be taken back.
const $ = (id) => document.getElementById(id);
const TEXT = JSON.parse($("texts").textContent), PLACE = JSON.parse($("place").textContent);
const FORM = document.querySelector("meta[name=form]").content;
const KEEP = "concord/" + PLACE.key + "/", SOON_MS = 3000, LOOK_MS = 1500, EXTEND_MS = 60000, AWAKE_MS = 300000;
const CHOICES = {1: "left", 2: "right", 0: "tie", B: "bad"};
// One entry each, so that two windows of one person never write over each other's.
let kept = Object.keys(localStorage).filter((key) => key.startsWith(KEEP)).map((key) => JSON.parse(localStorage.getItem(key)));
// What was answered here: an answer of the server that was on its way meanwhile must not bring it again.
const answered = new Set();
let queue = [], done = [], shownAt = 0, hiddenMs = 0, hiddenAt = 0, active = Date.now(), progress = {}, times = [];
let sending = null, loading = false, over = false, closed = false, view = "whole", skipped = null, holdTimer = 0, holdAt = 0, lookTimer = 0, failures = 0;

const fill = (text, said) => text.replace(/\{(\w+)\}/g, (_, name) => said[name]);
const keyOf = (one) => KEEP + one.task_id + "/" + one.revision;
for (const one of kept) answered.add(keyOf(one));
const keep = (one) => { kept.push(one); answered.add(keyOf(one)); localStorage.setItem(keyOf(one), JSON.stringify(one)); };
const drop = (these) => { for (const one of these) localStorage.removeItem(keyOf(one)); kept = kept.filter((one) => !these.some((other) => same(one, other))); };
const same = (a, b) => a.task_id === b.task_id && a.revision === b.revision;

async function call(path, said, keepalive) {
  const options = said === undefined ? {} : {
    method: "POST", keepalive: !!keepalive, body: JSON.stringify(said),
    headers: {"content-type": "application/json", "x-concord-form": FORM},
  };
  const answer = await fetch(PLACE.base + path, options);
  const body = await answer.json();
  if (answer.status === 403 || answer.status === 404) {
    closed = true;
    wait(fill(TEXT.closed, {why: body.why + "."}));
  }
  if (!answer.ok) throw Object.assign(new Error(body.why), {status: answer.status});
  return body;
}

function say(text) {
  $("said").textContent = text;
  $("said").hidden = !text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { $("said").hidden = true; }, 4000);
}

function wait(text) {
  $("task").hidden = $("choices").hidden = true;
  $("waiting").hidden = false;
  $("waiting").textContent = text;
}

function online(yes) {
  if (yes && failures && !kept.length) say(TEXT.back);
  failures = yes ? 0 : failures + 1;
  $("offline").hidden = yes;
  $("offline").textContent = yes ? "" : TEXT.kept;
}

// ── what is shown ──

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function compared(side, sentences) {
  const place = $(side + "-compared");
  place.replaceChildren();
  for (const one of sentences || []) {
    const made = element(one.code ? "pre" : "span", one.text, one.link ? "same" : "own");
    if (one.link) made.dataset.link = one.link;
    place.append(made, ...(one.code ? [] : one.ends_line ? [element("br")] : [" "]));
  }
}

function show() {
  const task = queue[0];
  if (!task) return;
  $("waiting").hidden = true;
  $("task").hidden = $("choices").hidden = false;
  $("harmful").hidden = !task.harmful;
  $("criteria").hidden = !task.criteria;
  $("criteria").querySelector("div").innerHTML = task.criteria;
  $("prompt").replaceChildren(...task.prompt.map((turn) => {
    const made = element("div", "", "turn");
    made.append(element("p", turn.role, "kind"), element("div"));
    made.lastChild.innerHTML = turn.html;
    return made;
  }));
  for (const [side, at] of [["left", 0], ["right", 1]]) {
    $(side).innerHTML = task[side];
    compared(side, task.compared && task.compared[at]);
  }
  lay();
  for (const input of document.querySelectorAll("#more input[value='']")) input.checked = true;
  $("reason").value = "";
  window.scrollTo(0, 0);
  shownAt = performance.now();
  hiddenMs = 0;
  tell();
}

function lay() {
  const able = queue[0] && queue[0].compared, differs = view === "differences" && able;
  $("differences").setAttribute("aria-pressed", String(!!differs));
  $("differences").disabled = !able;
  for (const side of ["left", "right"]) {
    $(side).hidden = differs;
    $(side + "-compared").hidden = !differs;
  }
}

function apart() {
  const able = queue[0] && queue[0].compared;
  if (view === "differences" && able && !able[0].some((one) => one.link)) say(TEXT.apart);
}

function tell() {
  const waiting = kept.length;
  const said = [fill(TEXT.answered, {n: (progress.answered || 0) + waiting}), fill(TEXT.left, {n: Math.max(0, (progress.left || 0) - waiting)})];
  if (times.length > 2) said.push(fill(TEXT.pace, {s: Math.round(times.reduce((a, b) => a + b) / times.length)}));
  $("progress").textContent = said.join(" · ");
  $("undo").disabled = !done.length;
}

// ── tasks come ──

async function load() {
  if (loading || closed) return;
  loading = true;
  clearTimeout(lookTimer);
  try {
    const said = await call("/tasks" + (kept.length ? "?unsent=1" : ""));
    online(true);
    progress = said;
    const mine = (task) => answered.has(keyOf({task_id: task.id, revision: task.revision}));
    const known = new Set(queue.map((task) => task.id));
    const was = queue[0];
    for (const task of said.tasks) if (!known.has(task.id) && !mine(task)) queue.push(task);
    if (!was && queue.length) show();
    if (!queue.length) {
      over = !!said.over && !kept.length;
      wait(kept.length ? TEXT.held : said.standing || "");
      if (kept.length) soon();
    }
    tell();
  } catch (error) {
    if (!closed && !(error.status && error.status < 500 && error.status !== 429)) online(false);
  }
  loading = false;
  if (queue.length < 2 && !over && !closed) lookTimer = setTimeout(load, LOOK_MS * Math.min(8, (queue.length ? 3 : 1) + failures));
}

// ── answers go ──

function answer(choice, why) {
  const task = queue.shift();
  if (!task) return;
  const field = (name) => document.querySelector(`#more input[name=${name}]:checked`).value;
  const seconds = Math.max(0, (performance.now() - shownAt - hiddenMs) / 1000);
  keep({
    task_id: task.id, revision: task.revision, choice, why: why || "", view: task.compared ? view : "whole",
    seconds: Math.round(seconds * 10) / 10, strength: field("strength"), left_mark: field("left_mark"),
    right_mark: field("right_mark"), reason: $("reason").value,
  });
  done.push(task);
  done.splice(0, done.length - 20);
  times.push(seconds);
  times.splice(0, times.length - 20);
  say(TEXT.noted);
  document.activeElement.blur();
  if (queue.length) show();
  else wait(TEXT.held);
  tell();
  hold(PLACE.hold * 1000);
  flush(1).then(load);
}

function hold(ms) {
  clearTimeout(holdTimer);
  holdAt = Date.now() + ms;
  holdTimer = setTimeout(() => { holdAt = 0; flush(0).then(() => { if (!queue.length) load(); }); }, ms);
}

// Never later than it was to be: whoever looks again and again for a question must not put it off each time.
function soon() {
  const ms = Math.min(SOON_MS, PLACE.hold * 1000);
  if (!holdAt || holdAt > Date.now() + ms) hold(ms);
}

// Sends all but the last `back` of what is kept, one request at a time.
async function flush(back, keepalive) {
  const out = kept.slice(0, kept.length - back).slice(0, 16);
  if (sending || closed || !out.length) return;
  for (const one of out) one.sent = true;
  sending = send(out, keepalive);
  await sending;
  sending = null;
  if (kept.length > back && !failures && !closed) return flush(back);
}

async function send(out, keepalive) {
  try {
    const {taken} = await call("/answers", {answers: out}, keepalive);
    for (const one of taken) if (one.refused) say(fill(TEXT.gone, {why: one.refused}));
    drop(taken);
    online(true);
  } catch (error) {
    if (!closed && error.status && error.status < 500 && error.status !== 429) {
      // No second try can help: what the server will never take is not kept for ever.
      drop(out);
      say(error.message);
    } else if (!closed) {
      online(false);
      hold(Math.min(15000, 1000 * 2 ** failures));
    }
  }
}

async function undo() {
  await sending;
  const task = done[done.length - 1], last = kept[kept.length - 1];
  if (!task) return say(TEXT.nothing);
  if (last && last.task_id === task.id && !last.sent) {
    drop([last]);
    answered.delete(keyOf(last));
    clearTimeout(holdTimer);
    again(task);
  } else {
    try {
      const said = await call("/undo", {task_id: task.id, revision: task.revision});
      if (said.task) return again(said.task);
      if (!said.taken_back) return say(TEXT.late);
      forget();
      say(TEXT.passed);
      load();
    } catch (error) {
      if (!closed) say(error.status ? error.message : TEXT.kept);
    }
  }
}

function forget() {
  done.pop();
  times.pop();
}

function again(task) {
  forget();
  queue = [task, ...queue.filter((one) => one.id !== task.id)];
  show();
  say(TEXT.undone);
}

async function extend() {
  if (closed || !queue.length || document.hidden || Date.now() - active > AWAKE_MS) return;
  try {
    const {task_ids} = await call("/extend", {task_ids: queue.map((task) => task.id)});
    const lost = !task_ids.includes(queue[0].id);
    queue = queue.filter((task) => task_ids.includes(task.id));
    if (lost) { say(TEXT.lease); if (queue.length) show(); else wait(""); load(); }
  } catch (error) { if (!closed && !error.status) online(false); }
}

// ── keys, clicks, coming and going ──

function cycle(name) {
  const all = [...document.querySelectorAll(`#more input[name=${name}]`)], at = all.findIndex((one) => one.checked);
  const next = all[(at + 1) % all.length];
  next.checked = true;
  $("more").open = true;
  say(next.closest("fieldset").querySelector("legend").textContent + " " + next.parentNode.textContent.trim());
}

function strength(value) {
  const input = document.querySelector(`#more input[name=strength][value=${value}]`);
  input.checked = true;
  say(TEXT["strength_" + value]);
}

function press(key) {
  const asks = !$("task").hidden && queue.length;
  if (key === "?") return $("keys").showModal();
  if (key === "U") return undo();
  if (!asks) return;
  if (key in CHOICES) return answer(CHOICES[key]);
  if (key === "S") { skipped = queue[0]; return $("why").showModal(); }
  if (key === "D") { view = view === "whole" ? "differences" : "whole"; lay(); return apart(); }
  if (key === "-") return strength("slight");
  if (key === "+") return strength("much");
  if (key === "A") return cycle("left_mark");
  if (key === "K") return cycle("right_mark");
  if (key === "R") { $("more").open = true; $("reason").focus(); }
}

document.addEventListener("keydown", (event) => {
  active = Date.now();
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if ($("why").open) {
    const one = document.querySelector(`#why [data-number="${event.key}"]`);
    if (one) { event.preventDefault(); one.click(); }
    return;
  }
  if ($("keys").open) return;
  const typing = event.target.matches("input[type=text]");
  if (typing && event.key === "Escape") return event.target.blur();
  if (typing || event.timeStamp < shownAt) return;
  const key = event.key.length === 1 ? event.key.toUpperCase() : "";
  if (!(key in CHOICES) && !"SUD?AKR-+".includes(key || " ")) return;
  event.preventDefault();
  press(key);
});
document.addEventListener("click", (event) => {
  active = Date.now();
  const button = event.target.closest("[data-key]");
  // The second click of a double click was meant for what stood there before.
  if (button && event.detail < 2) press(button.dataset.key);
});
$("why").addEventListener("close", () => {
  const why = $("why").returnValue;
  $("why").returnValue = "";
  // A key that comes before this event may have answered the question that the dialog was about.
  if (why && why !== "cancel" && skipped === queue[0]) answer("skip", why);
});
for (const kind of ["mouseover", "mouseout"]) document.addEventListener(kind, (event) => {
  const one = event.target.closest ? event.target.closest(".same") : null;
  if (one) for (const other of document.querySelectorAll(`.same[data-link="${one.dataset.link}"]`)) other.classList.toggle("lit", kind === "mouseover");
});
for (const kind of ["scroll", "pointermove"]) document.addEventListener(kind, () => { active = Date.now(); }, {passive: true});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { hiddenAt = performance.now(); flush(0, true); } else { hiddenMs += performance.now() - hiddenAt; extend(); }
});
window.addEventListener("pagehide", () => {
  flush(0, true);
  if (queue.length && !closed) call("/return", {task_ids: queue.map((task) => task.id)}, true).catch(() => {});
});
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
window.addEventListener("online", () => flush(0).then(load));
setInterval(extend, EXTEND_MS);
flush(0).then(load);
