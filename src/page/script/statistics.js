// Figures and plots.

function drawStatistics({ uploads, activity, attempts }) {
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
  text("max-uploads", bars.length ? `top: ${most} in ${round(slot_seconds)}` : "");
  describe("plot-uploads", `${plural(uploads.success, "upload")} and ${plural(uploads.failure, "failure")}, at most ${most} in ${round(slot_seconds)}`);

  const stored = attempts.filter((each) => each.result === "success").reverse();
  const at = (index) => (stored.length < 2 ? 120 : 2 + (index * 236) / (stored.length - 1));
  const slowest = Math.max(0.001, ...stored.map((each) => Math.max(each.fetch_seconds, each.upload_seconds)));
  const line = (name) => stored.map((each, i) => `${i ? "L" : "M"}${at(i).toFixed(1)} ${(71 - (each[name] / slowest) * 68).toFixed(1)}`).join("") + (stored.length === 1 ? "h.1" : "");
  $("plot-times").replaceChildren(
    shape("path", { class: "fetch-line", d: line("fetch_seconds") }),
    shape("path", { class: "upload-line", d: line("upload_seconds") }));
  text("max-times", stored.length ? `top: ${time(slowest)}` : "");
  const newest = attempts.find((each) => each.result === "success");
  describe("plot-times", newest ? `the newest picture took ${time(newest.fetch_seconds)} to fetch and ${time(newest.upload_seconds)} to upload, the slowest ${time(slowest)}` : "no pictures yet");

  const largest = Math.max(1, ...stored.map((each) => each.size));
  const step = Math.min(12, 240 / Math.max(1, stored.length));
  $("plot-bytes").replaceChildren(...stored.map((each, i) => {
    const height = Math.max(1, (each.size / largest) * 70);
    return shape("rect", { class: "size-fill", x: 240 - (stored.length - i) * step, y: 72 - height, width: step * 0.8, height });
  }));
  text("max-bytes", stored.length ? `top: ${size(largest)}` : "");
  describe("plot-bytes", newest ? `the newest picture has ${size(newest.size)}, the largest ${size(largest)}` : "no pictures yet");
}

/** Says so if a picture takes longer than the interval, as it does when S3 is silent. */
function drawSlow({ job }, at) {
  const age = job.in_flight_since.length && link === "live" ? at - Math.min(...job.in_flight_since) : 0;
  const slow = age > Math.max(job.interval_seconds, 2);
  $("slow").hidden = !slow;
  text("slow", slow ? `A picture has been under way for ${duration(age)}, longer than the interval of ${round(job.interval_seconds)}: the image host or S3 is slow or silent.` : "");
  return slow;
}

/** How long it is until the next picture. */
function drawNext({ job, uploads }, at) {
  let next = "–", done = 0;
  if (job.state === "ended" || link === "ended") next = "ended";
  else if (job.state === "ending") next = "no more";
  else if (link === "lost") next = "–";
  else if (job.next_tick !== null) {
    const left = job.next_tick - at;
    done = job.interval_seconds ? 1 - Math.max(0, left) / job.interval_seconds : 1;
    next = left > 0.05 ? (left < 10 ? `${left.toFixed(1)} s` : duration(left)) : "now";
  } else if (job.in_flight) next = "in flight";
  text("next", next);
  text("next-label", `Next picture${job.in_flight ? ` · ${job.in_flight} in flight` : ""}`);
  $("skipped").hidden = !uploads.skipped_ticks;
  text("skipped", `${plural(uploads.skipped_ticks, "tick")} skipped`);
  $("done").style.transform = `scaleX(${Math.min(1, Math.max(0, done))})`;
}
