// The live page. The server sends one document with everything, whenever something has changed, and
// this draws it. docs/page.md explains the document. All text gets in as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** Sets a text, if it has changed: a screen reader or a selection is not disturbed. */
function text(id, value) {
  const node = typeof id === "string" ? $(id) : id;
  if (node.textContent !== value) node.textContent = value;
}

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Words

const PROVIDERS = {
  "pod-identity": "EKS Pod Identity",
  irsa: "IRSA",
  ecs: "ECS task role",
  environment: "Environment variables",
  profile: "Profile",
  instance: "Node role",
  unknown: "Unknown provider",
  container: "a container’s role",
};
const STATES = {
  answered: "answered",
  would_answer: "would answer",
  not_configured: "not configured",
  failed: "fails",
  not_asked: "not asked",
};
const RESOLVED = {
  never: "It stays until somebody changes something.",
  wait: "It may resolve by itself: the job tries again.",
  fresh_credentials: "The job asks for new credentials.",
};

const pad = (number) => String(number).padStart(2, "0");

/** A duration in its two largest units. */
function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A round duration, such as that of an axis. */
const round = (seconds) => duration(seconds).replace(/ 00 \w+$/, "");

/** A short time, such as that of one upload. */
function time(seconds) {
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) (bytes /= 1000), unit++;
  return `${unit && bytes < 99.5 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// State

let now = () => Date.now() / 1000; // by the server's clock
let seen = null; // the last document
let drawn = new Map(); // attempts by number
let run = 0; // when the drawn run started
let refreshes = 0;

let link = "connecting";
function setLink(state) {
  link = state;
  document.body.classList.toggle("stale", state === "lost" || state === "ended");
  drawLink();
}

function drawLink() {
  const job = seen && seen.job;
  let kind = link, words = { connecting: "connecting", lost: "connection lost, trying again" }[link];
  if (link === "live") {
    if (job.state === "waiting") (kind = "waiting"), (words = "waiting for credentials");
    else if (job.state === "ending") (kind = "waiting"), (words = "ending");
    else if (!job.ready) (kind = "failing"), (words = "live, failing");
    else words = "live";
  } else if (link === "ended") words = `the job has ended with exit code ${job.exit_code}`;
  $("link").dataset.link = kind;
  text("link-text", words);
}

let said = 0;
function say(words) {
  if (performance.now() - said < 2000) return; // a fast job would never stop talking
  said = performance.now();
  text("say", words);
}

// Drawing

function draw(doc) {
  const before = seen;
  seen = doc;
  const offset = doc.now - Date.now() / 1000;
  now = () => Date.now() / 1000 + offset;
  if (run !== doc.program.started) {
    run = doc.program.started;
    drawn.clear();
    $("attempts").replaceChildren();
    refreshes = doc.identity.refreshes.success;
  }
  text("from", doc.job.sources.join(" "));
  text("to", doc.job.destination);
  text("program", `pod-identity-demo ${doc.program.version} (${doc.program.commit})`);
  drawWrong(doc);
  drawWho(doc);
  drawWell(doc);
  drawAttempts(doc, Boolean(before));
  setLink(doc.job.state === "ended" ? "ended" : "live");
  const { success, failure } = doc.uploads;
  document.title = `${doc.job.ready ? "" : "⚠ "}${plural(success, "upload")}${failure ? `, ${plural(failure, "failure")}` : ""} – pod-identity-demo`;
  tick();
}

function drawWrong({ diagnosis, attempts, job, uploads }) {
  let shown = diagnosis;
  const last = attempts[0];
  if (!shown && uploads.consecutive_failures > 0 && last && last.result === "failure")
    shown = { id: last.reason, cause: `The last picture failed: ${last.error}` };
  $("wrong").hidden = !shown;
  if (!shown) return;
  text("cause", shown.cause);
  text("fix", shown.fix || "");
  $("fix-line").hidden = !shown.fix;
  text("wrong-id", shown.id);
  text("resolved", job.state === "ended" ? "The job has ended." : shown.fix ? RESOLVED[shown.resolved_by] : "The job goes on with the next picture.");
}

function drawWho({ identity, job, diagnosis }) {
  const { principal, pod, required, as_required, chain } = identity;
  const card = $("who");
  card.dataset.provider = principal ? principal.provider : "none";
  card.classList.toggle("wrong", as_required === false || (!principal && Boolean(diagnosis)));
  text("provider", principal ? PROVIDERS[principal.provider] : "No credentials");
  const wanted = PROVIDERS[required] || required;
  text("required",
    as_required === false ? `✕ not the required identity, which is ${wanted}`
      : required === "any" ? "any identity is accepted"
        : as_required ? "✓ as required" : `${wanted} is required`);
  const names = [
    ["Role", principal && (principal.role || principal.arn)],
    ["Account", principal && principal.account],
    ["Namespace", pod && pod.namespace],
    ["Service account", pod && pod.service_account],
    ["Pod", (pod && pod.pod) || job.pod_name],
    ["Node", pod && pod.node],
    ["Session", principal && principal.session],
    ["Access key", principal && `…${principal.access_key_ending}`],
  ].filter(([, value]) => value);
  const key = JSON.stringify(names);
  if ($("names").dataset.key !== key) {
    $("names").dataset.key = key;
    $("names").replaceChildren(...names.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
  }
  const links = chain.map((each) => `${each.provider} ${each.state}`).join();
  if ($("chain").dataset.key !== links) {
    $("chain").dataset.key = links;
    $("chain").replaceChildren(...chain.map((each) => {
      const item = element("li", "", PROVIDERS[each.provider], element("span", "", STATES[each.state]));
      item.dataset.state = each.state;
      return item;
    }));
  }
  const error = identity.refreshes.error;
  $("refresh-error").hidden = !error;
  text("refresh-error", error ? `The last refresh failed${identity.usable ? "; the credentials in use are still valid" : ""}: ${error}` : "");
  if (identity.refreshes.success > refreshes) {
    if (refreshes > 0) {
      const ring = $("ring");
      ring.classList.remove("refreshed");
      void ring.offsetWidth; // starts the animation again
      ring.classList.add("refreshed");
      say("The credentials were refreshed.");
    }
    refreshes = identity.refreshes.success;
  }
}

function drawWell({ uploads, activity, attempts }) {
  text("success", uploads.success.toLocaleString("en"));
  text("failure", uploads.failure.toLocaleString("en"));
  $("failure").classList.toggle("bad", uploads.failure > 0);
  text("bytes", size(uploads.bytes_uploaded));

  const slots = 60, width = 240 / slots, { slot_seconds } = activity;
  const end = Math.floor(now() / slot_seconds) * slot_seconds;
  const most = Math.max(1, ...activity.slots.map((slot) => slot.success + slot.failure));
  const bars = [];
  for (const slot of activity.slots) {
    const x = (slots - 1 - Math.round((end - slot.start) / slot_seconds)) * width;
    if (x < 0) continue;
    let y = 72;
    for (const [count, fill] of [[slot.success, "ok-fill"], [slot.failure, "failed-fill"]]) {
      const height = (count / most) * 70;
      y -= height;
      if (count) bars.push(shape("rect", { class: fill, x, y, width: width - 0.8, height }));
    }
  }
  $("plot-uploads").replaceChildren(...bars);
  text("ago", `${round(slots * slot_seconds)} ago`);
  text("max-uploads", `top: ${most} in ${round(slot_seconds)}`);
  label("plot-uploads", `${plural(uploads.success, "upload")} and ${plural(uploads.failure, "failure")}, at most ${most} in ${round(slot_seconds)}`);

  const stored = attempts.filter((each) => each.result === "success").reverse();
  const at = (index) => (stored.length < 2 ? 120 : 2 + (index * 236) / (stored.length - 1));
  const slowest = Math.max(0.001, ...stored.map((each) => Math.max(each.fetch_seconds, each.upload_seconds)));
  const line = (name) => stored.map((each, i) => `${i ? "L" : "M"}${at(i).toFixed(1)} ${(71 - (each[name] / slowest) * 68).toFixed(1)}`).join("") + (stored.length === 1 ? "h.1" : "");
  $("plot-times").replaceChildren(
    shape("path", { class: "fetch-line", d: line("fetch_seconds") }),
    shape("path", { class: "upload-line", d: line("upload_seconds") }));
  text("max-times", stored.length ? `top: ${time(slowest)}` : "");
  const newest = attempts.find((each) => each.result === "success");
  label("plot-times", newest ? `the newest picture took ${time(newest.fetch_seconds)} to fetch and ${time(newest.upload_seconds)} to upload, the slowest ${time(slowest)}` : "no pictures yet");

  const largest = Math.max(1, ...stored.map((each) => each.size));
  const step = Math.min(12, 240 / Math.max(1, stored.length));
  $("plot-bytes").replaceChildren(...stored.map((each, i) => {
    const height = Math.max(1, (each.size / largest) * 70);
    return shape("rect", { class: "size-fill", x: 240 - (stored.length - i) * step, y: 72 - height, width: step * 0.8, height });
  }));
  text("max-bytes", stored.length ? `top: ${size(largest)}` : "");
  label("plot-bytes", newest ? `the newest picture has ${size(newest.size)}, the largest ${size(largest)}` : "no pictures yet");
}

function label(id, words) {
  $(id).setAttribute("aria-label", words);
}

function drawAttempts({ attempts, job }, announce) {
  const list = $("attempts");
  $("nothing").hidden = attempts.length > 0;
  text("kept", job.keep_pictures ? "newest first" : "newest first; pictures are not kept");
  const slowest = Math.max(0.001, ...attempts.map((each) => Math.max(each.fetch_seconds || 0, each.upload_seconds || 0)));
  const wanted = new Set(attempts.map((each) => each.number));
  for (const [number, card] of drawn) if (!wanted.has(number)) card.node.remove(), drawn.delete(number);
  for (const attempt of [...attempts].reverse()) {
    let card = drawn.get(attempt.number);
    if (!card) {
      card = makeCard(attempt);
      drawn.set(attempt.number, card);
      if (announce) card.node.classList.add("new");
      list.prepend(card.node);
      if (announce) say(attempt.result === "success" ? `Uploaded picture ${attempt.number}, ${size(attempt.size)}.` : attempt.result === "failure" ? `Picture ${attempt.number} failed: ${(attempt.diagnosis || {}).cause || attempt.error}` : "");
    }
    card.update(attempt, slowest);
  }
}

function makeCard(attempt) {
  const success = attempt.result === "success";
  const node = element("li", `attempt ${success ? "ok" : attempt.result === "failure" ? "failed" : "cancelled"}`);
  const ago = element("time", "small");
  ago.dateTime = new Date(attempt.at * 1000).toISOString();
  ago.title = new Date(attempt.at * 1000).toLocaleString();
  const body = element("div", "body");
  let update = () => {};
  if (success) {
    const view = makeView(attempt);
    node.append(view.node);
    const slash = attempt.key.lastIndexOf("/") + 1;
    const fetch = bar("fetch", attempt.fetch_seconds), upload = bar("upload", attempt.upload_seconds);
    body.append(
      element("p", "top", element("span", "", size(attempt.size), " ", element("span", "small", attempt.kind.replace("image/", "").toUpperCase())), ago),
      fetch.node, upload.node,
      element("p", "keyname mono", attempt.key.slice(0, slash), element("b", "", attempt.key.slice(slash))));
    update = (newer, slowest) => {
      view.update(newer.picture);
      fetch.update(slowest), upload.update(slowest);
    };
  } else if (attempt.result === "failure") {
    const { diagnosis } = attempt;
    body.append(
      element("p", "top", element("span", "", diagnosis ? "✕ Not stored" : "✕ Not fetched"), ago),
      element("p", "", diagnosis ? diagnosis.cause : attempt.error));
    if (diagnosis) body.append(element("details", "", element("summary", "", "What to do"), element("p", "", diagnosis.fix)));
    body.append(element("p", "small mono", diagnosis ? diagnosis.id : attempt.reason));
  } else {
    body.append(element("p", "top", element("span", "", "Cancelled"), ago), element("p", "small", "The job ended first."));
  }
  node.append(body);
  return { node, update, ago, at: attempt.at };
}

/** The picture, or words in its place. */
function makeView({ number, picture, size: bytes, kind }) {
  const words = element("span", "", bytes > 1048576 ? `${size(bytes)}: too large to keep` : "not kept");
  if (!picture) return { node: element("div", "view", words), update() {} };
  const image = new Image();
  image.alt = `Picture ${number}`;
  image.decoding = "async";
  const node = element("a", "view", image);
  node.href = picture;
  node.target = "_blank";
  node.rel = "noopener";
  image.addEventListener("error", () => { image.remove(); text(words, `no preview of ${kind}`); node.append(words); });
  image.src = picture;
  // A picture that the server has dropped since stays to be seen, but not to be opened.
  return { node, update: (path) => { if (!path) node.removeAttribute("href"); } };
}

function bar(name, seconds) {
  const fill = element("div", name);
  const node = element("div", "bar", element("span", "", name), element("div", "", fill), element("b", "", time(seconds)));
  return { node, update: (slowest) => { fill.style.transform = `scaleX(${Math.max(0.01, seconds / slowest)})`; } };
}

// What moves between two documents

function tick() {
  if (!seen) return;
  const { identity, job } = seen, at = now();
  const { since, expires, refresh_due } = identity;
  const ring = $("ring"), due = $("due");
  let fraction = 0, words = "no credentials yet";
  if (expires) {
    const left = expires - at;
    fraction = Math.min(1, Math.max(0, left / Math.max(1, expires - (since || at))));
    const [value, ...unit] = duration(left).split(/(?<=^\d+ \S+) /);
    text("expiry", left > 0 ? value : "expired");
    text("expiry-unit", left > 0 ? `${unit.join(" ")} left`.trim() : "");
    words = left > 0 ? `the credentials expire in ${duration(left)}` : "the credentials have expired";
  } else if (identity.principal) {
    fraction = 1;
    text("expiry", "∞"), text("expiry-unit", "no expiry");
    words = "the credentials do not expire";
  } else {
    text("expiry", "–"), text("expiry-unit", "");
  }
  $("left").setAttribute("stroke-dasharray", `${(fraction * 100).toFixed(2)} 100`);
  due.toggleAttribute("hidden", !refresh_due);
  if (refresh_due && since) due.setAttribute("transform", `rotate(${(360 * (expires - refresh_due)) / Math.max(1, expires - since)} 60 60)`);
  ring.setAttribute("aria-label", words);
  const { success, failure } = identity.refreshes;
  text("refresh", since
    ? `Received ${duration(at - since)} ago${success > 1 ? `, refreshed ${plural(success - 1, "time")}` : ""}${failure ? `, ${plural(failure, "request")} failed` : ""}.${refresh_due ? ` The refresh is due ${refresh_due > at ? `in ${duration(refresh_due - at)}` : "now"}.` : ""}`
    : failure ? `${plural(failure, "request")} for credentials failed.` : "");

  let next = "–", done = 0;
  if (job.state === "ended" || link === "ended") next = "ended";
  else if (job.state === "ending") next = "no more";
  else if (job.next_tick !== null) {
    const left = job.next_tick - at;
    done = job.interval_seconds ? 1 - Math.max(0, left) / job.interval_seconds : 1;
    next = left > 0.05 ? (left < 10 ? `${left.toFixed(1)} s` : duration(left)) : "now";
  } else if (job.in_flight) next = "in flight";
  text("next", next);
  text("next-label", `Next picture${job.in_flight ? ` · ${job.in_flight} in flight` : ""}`);
  $("done").style.transform = `scaleX(${Math.min(1, Math.max(0, done))})`;
  for (const card of drawn.values()) text(card.ago, `${duration(at - card.at)} ago`);
}

// The connection. A hidden page has none: browsers allow a host only six.

let events = null, retry = 0, timer = 0;

function connect() {
  clearTimeout(timer);
  if (events || document.hidden) return;
  events = new EventSource("/events");
  events.onmessage = (message) => {
    retry = 0;
    draw(JSON.parse(message.data));
  };
  events.onerror = () => {
    disconnect();
    if (link !== "ended") setLink("lost");
    retry = Math.min(retry + 1, 5);
    timer = setTimeout(connect, retry ** 2 * 500 * (0.75 + Math.random() / 2));
  };
}

function disconnect() {
  if (events) events.close();
  events = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) disconnect(), clearTimeout(timer);
  else connect();
});
setInterval(tick, 250);
connect();
