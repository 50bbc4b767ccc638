// The connection, and what moves between two documents.

let now = () => Date.now() / 1000; // by the server's clock
let seen = null; // the last document
let run = 0; // when the drawn run started

let link = "connecting", slow = false;
function setLink(state) {
  const changed = link !== state;
  link = state;
  drawLink();
  const note = {
    lost: `The connection is lost. ${seen ? "What is shown here is the last state that the page received." : ""}`,
    ended: "The job has ended. What is shown here is its last state.",
  }[state];
  document.body.classList.toggle("stale", Boolean(note));
  $("stale").hidden = !note;
  text("stale", note || "");
  if (note && changed) text("say", note);
}

function drawLink() {
  const job = seen && seen.job;
  let kind = link, label = { connecting: "connecting", lost: "connection lost, trying again" }[link];
  if (link === "live") {
    if (job.state === "waiting") (kind = "waiting"), (label = "waiting for credentials");
    else if (job.state === "ending") (kind = "waiting"), (label = "ending");
    else if (seen.uploads.consecutive_failures) (kind = "failing"), (label = "live, failing");
    else if (slow) (kind = "waiting"), (label = "live, slow");
    else if (!job.ready) (kind = "waiting"), (label = seen.uploads.success ? "live, not ready" : "live, nothing stored yet");
    else label = "live";
  } else if (link === "ended") label = `the job has ended with exit code ${job.exit_code}`;
  $("link").dataset.link = kind;
  text("link-text", label);
}

let said = 0;
function say(message) {
  if (performance.now() - said < 2000) return; // a fast job would never stop talking
  said = performance.now();
  text("say", message);
}

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
  $("from").title = $("from").textContent;
  text("to", doc.job.destination);
  $("note").hidden = !doc.job.note;
  text("note", doc.job.note || "");
  text("program", `pod-identity-demo ${doc.program.version} (${doc.program.commit})`);
  drawWrong(doc);
  drawIdentity(doc);
  drawStatistics(doc);
  drawAttempts(doc, Boolean(before));
  setLink(doc.job.state === "ended" ? "ended" : "live");
  const { success, failure } = doc.uploads;
  document.title = `${doc.job.ready ? "" : "⚠ "}${plural(success, "upload")}${failure ? `, ${plural(failure, "failure")}` : ""} – pod-identity-demo`;
  tick();
}

function tick() {
  if (!seen) return;
  const at = now();
  drawExpiry(seen.identity, at);
  drawNext(seen, at);
  slow = drawSlow(seen, at);
  drawLink();
  for (const card of drawn.values()) text(card.ago, `${duration(at - card.at)} ago`);
}

// A hidden page has no connection: browsers allow a host only six.

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
