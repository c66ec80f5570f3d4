// The gallery's map: entries as marks in the plane, alike ones near each other. By pointer or by keys
// one is chosen and opened.

import { $, json, make, place, when } from "./api.js";

// Okabe and Ito's colours that show on white and on black; with the shapes, 42 cameras differ.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const SHAPES = [
  [[-1, -1], [1, -1], [1, 1], [-1, 1]], [[0, -1.3], [1.2, 1], [-1.2, 1]], null,
  [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]], [[0, 1.3], [1.2, -1], [-1.2, -1]],
  [[-1.5, -0.5], [1.5, -0.5], [1.5, 0.5], [-1.5, 0.5]], [[-0.5, -1.5], [0.5, -1.5], [0.5, 1.5], [-0.5, 1.5]],
]; // null is a disc
const LISTED = 12; // cameras in the key
const NEAR = 18; // pixels from a mark within which it is meant
const EDGE = 14;
let points = [];
let cameras = [];
let at = null; // the chosen point
let only = null; // the camera that stands out

function mark(paint, camera, x, y, size) {
  const number = cameras.indexOf(camera);
  const shape = SHAPES[number % SHAPES.length];
  paint.fillStyle = COLOURS[number % COLOURS.length];
  paint.beginPath();
  if (!shape) paint.arc(x, y, 1.1 * size, 0, 7);
  else shape.forEach(([dx, dy], i) => paint[i ? "lineTo" : "moveTo"](x + size * dx, y + size * dy));
  paint.closePath();
  paint.fill();
}
function spots() {
  const { clientWidth: width, clientHeight: height } = $("map");
  return points.map((one) => [EDGE + one.x * (width - 2 * EDGE), EDGE + one.y * (height - 2 * EDGE)]);
}
function draw() {
  const canvas = $("map");
  const sharp = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth * sharp, canvas.clientHeight * sharp];
  const paint = canvas.getContext("2d");
  paint.scale(sharp, sharp);
  const where = spots();
  const size = points.length > 500 ? 2.6 : 4;
  points.forEach((one, i) => {
    paint.globalAlpha = only === null || one.camera === only ? 0.85 : 0.12;
    mark(paint, one.camera, ...where[i], size);
  });
  paint.globalAlpha = 1;
  if (at === null) return;
  paint.strokeStyle = getComputedStyle(document.body).color;
  paint.lineWidth = 2.5;
  paint.beginPath();
  paint.arc(...where[at], 3.5 * size, 0, 7);
  paint.stroke();
}
function choose(number) {
  at = number;
  const one = points[number];
  $("map-at").textContent = one ? [place(one.camera), when(one.seen_at), one.identity && `identity ${one.identity}`]
    .filter(Boolean).join(", ") : "";
  draw();
}
function nearest(x, y, fits = () => true) {
  let [best, least] = [null, Infinity];
  spots().forEach(([px, py], i) => {
    const far = Math.hypot(px - x, py - y);
    if (far < least && fits(px - x, py - y)) [best, least] = [i, far];
  });
  return [best, least];
}
function under(event) {
  const box = $("map").getBoundingClientRect();
  const [found, far] = nearest(event.clientX - box.left, event.clientY - box.top);
  return far <= NEAR ? found : null;
}
function key() {
  const shown = cameras.slice(0, LISTED).map((camera) => {
    const swatch = make("canvas", { width: 16, height: 16, ariaHidden: "true" });
    mark(swatch.getContext("2d"), camera, 8, 8, 5);
    const button = make("button", { type: "button", ariaPressed: "false", onclick: () => {
      only = only === camera ? null : camera;
      for (const other of $("map-key").querySelectorAll("button")) other.ariaPressed = "false";
      button.ariaPressed = String(only === camera);
      draw();
    } }, swatch, ` ${place(camera)}`);
    return make("li", {}, button);
  });
  const more = cameras.length - LISTED;
  if (more > 0) shown.push(make("li", { textContent: `and ${more} more` }));
  $("map-key").replaceChildren(...shown);
}

export function forgetMap(entries) {
  [points, at, only] = [[], null, null];
  $("map-figure").hidden = true;
  $("draw-map").hidden = !entries;
  $("map-status").textContent = entries ? "" : "The gallery is empty: there is nothing to draw yet.";
}
export function offerMap(open) {
  const show = async (number) => {
    choose(number);
    try {
      open(await json(`entries/${points[number].id}`));
    } catch (error) { $("map-status").textContent = `${error.message} Draw the map again.`; $("draw-map").hidden = false; }
  };
  $("draw-map").addEventListener("click", async () => {
    $("draw-map").disabled = true;
    $("map-status").classList.remove("wrong");
    $("map-status").textContent = "Drawing the map. The first time, and after changes, it takes some seconds…";
    try {
      const found = await json("map");
      ({ points } = found);
      [at, only] = [null, null];
      cameras = [...new Set(points.map((one) => one.camera))].sort(
        (a, b) => (a === null) - (b === null) || String(a).localeCompare(String(b), undefined, { numeric: true }));
      const some = points.length < found.entries ? `${points.length.toLocaleString()} of ${found.entries.toLocaleString()} entries, drawn at random`
        : `All ${found.entries.toLocaleString()} entries`;
      $("map-status").textContent = [found.method && `${some}, by ${found.method}.`, found.note].filter(Boolean).join(" ");
      $("map-figure").hidden = !points.length;
      $("draw-map").hidden = points.length > 0;
      key();
      choose(null);
    } catch (error) {
      $("map-status").classList.add("wrong");
      $("map-status").textContent = error.message;
    }
    $("draw-map").disabled = false;
  });
  $("map").addEventListener("pointermove", (event) => { const found = under(event); if (found !== null && found !== at) choose(found); });
  $("map").addEventListener("click", (event) => { const found = under(event); if (found !== null) show(found); });
  $("map").addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (event.key === "Enter" && at !== null) show(at);
    if (!way) return;
    event.preventDefault();
    if (at === null) { choose(0); return; }
    // The nearest one that lies more in this direction than across it.
    const [found] = nearest(...spots()[at], (dx, dy) => {
      const along = dx * way[0] + dy * way[1];
      return along > 0 && along >= Math.abs(dx * way[1] + dy * way[0]);
    });
    if (found !== null) choose(found);
  });
  new ResizeObserver(() => { if (points.length) draw(); }).observe($("map"));
}
