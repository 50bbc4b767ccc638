// The attempts, each with its picture or its failure.

const drawn = new Map(); // attempts by number

/** The reasons of failures after the picture had come. */
const STORED = new Set(["s3", "credentials", "bug"]);

function drawAttempts({ attempts, job }, announce) {
  const list = $("attempts");
  $("nothing").hidden = attempts.length > 0;
  text("kept", job.keep_pictures ? "newest first" : "newest first; pictures are not kept");
  const slowest = Math.max(0.001, ...attempts.map((each) => Math.max(each.fetch_seconds || 0, each.upload_seconds || 0)));
  const wanted = new Set(attempts.map((each) => each.number));
  for (const [number, card] of drawn) if (!wanted.has(number)) card.node.remove(), drawn.delete(number);
  // Of a fast job, all of them would move all the time.
  const moving = announce && attempts.filter((each) => !drawn.has(each.number)).length <= 3;
  for (const attempt of [...attempts].reverse()) {
    let card = drawn.get(attempt.number);
    if (!card) {
      card = makeCard(attempt);
      drawn.set(attempt.number, card);
      if (moving) card.node.classList.add("new");
      list.prepend(card.node);
      if (announce) say(attempt.result === "success" ? `Uploaded picture ${attempt.number}, ${size(attempt.size)}.` : attempt.result === "failure" ? `Picture ${attempt.number} failed: ${attempt.diagnosis.cause}` : "");
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
    const { cause, fix, id } = attempt.diagnosis;
    body.append(
      element("p", "top", element("span", "", STORED.has(attempt.reason) ? "✕ Not stored" : "✕ Not fetched"), ago),
      element("p", "text", cause),
      element("details", "", element("summary", "", "What to do"), element("p", "text", fix)),
      element("p", "small mono", id));
  } else {
    body.append(element("p", "top", element("span", "", "Cancelled"), ago), element("p", "small", "The job ended first."));
  }
  node.append(body);
  return { node, update, ago, at: attempt.at };
}

/** The picture, or a note in its place. */
function makeView({ number, picture, size: bytes, kind }) {
  const note = element("span", "", bytes > 1048576 ? `${size(bytes)}: too large to keep` : "not kept");
  if (!picture) return { node: element("div", "view", note), update() {} };
  const image = new Image();
  image.alt = `Picture ${number}`;
  image.decoding = "async";
  const node = element("a", "view", image);
  node.href = picture;
  node.target = "_blank";
  node.rel = "noopener";
  text(note, `no preview of ${kind}`);
  image.addEventListener("error", () => node.replaceChildren(note));
  image.src = picture;
  const update = (path) => {
    // A picture that the server has dropped since stays to be seen, but not to be opened.
    if (!path) node.removeAttribute("href");
    else if (link === "lost" && note.isConnected) node.replaceChildren(image), (image.src = picture);
  };
  return { node, update };
}

function bar(name, seconds) {
  const fill = element("div", name);
  const node = element("div", "bar", element("span", "", name), element("div", "", fill), element("b", "", time(seconds)));
  return { node, update: (slowest) => { fill.style.transform = `scaleX(${Math.max(0.01, seconds / slowest)})`; } };
}
