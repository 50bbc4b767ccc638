// The live page. The server sends one document with everything, whenever something has changed, and
// this draws it. docs/page.md explains the document. All text gets in as text, never as markup. The
// files of this folder are served as one, /page.js, in the order that answer.rs gives.
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

const PROVIDERS = {
  "pod-identity": "EKS Pod Identity",
  irsa: "IRSA",
  ecs: "ECS task role",
  environment: "Environment variables",
  profile: "Profile",
  instance: "Node role",
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
  propagation: "Somebody must change something; waiting helps only while a change propagates.",
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

/** Says what a drawing shows, for those who cannot see it. */
function describe(id, description) {
  $(id).setAttribute("aria-label", description);
}
