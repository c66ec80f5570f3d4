// The picture that is searched for: chosen, dropped or pasted, and cut by hand or by keys.

import { $, make, say } from "./api.js";

let picture = null; // {image, file, cut: [x, y, width, height]}
let from = null; // where a cut began
export const isChosen = () => picture !== null;

async function choose(file) {
  if (!file) return;
  try {
    picture = { image: await createImageBitmap(file), file, cut: null };
  } catch {
    clear();
    say(`${file.name} is no picture that this browser can read: choose a JPEG or PNG.`, true);
    return;
  }
  $("canvas").hidden = $("clear").hidden = false;
  say("");
  draw();
}
function clear() {
  picture = null;
  $("file").value = "";
  $("canvas").hidden = $("clear").hidden = true;
}
function draw() {
  const { image, cut } = picture;
  const canvas = $("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const paint = canvas.getContext("2d");
  paint.drawImage(image, 0, 0);
  if (!cut) return;
  paint.fillStyle = "#000a";
  paint.fillRect(0, 0, image.width, image.height);
  paint.drawImage(image, ...cut, ...cut);
  paint.lineWidth = Math.max(1, image.width / 200);
  paint.strokeStyle = "#fff";
  paint.strokeRect(...cut);
}
function cutTo(x, y, width, height) {
  const { image } = picture;
  const left = Math.max(0, Math.min(x, image.width - 8));
  const top = Math.max(0, Math.min(y, image.height - 8));
  picture.cut = [left, top, Math.max(8, Math.min(width, image.width - left)),
    Math.max(8, Math.min(height, image.height - top))].map(Math.round);
  draw();
}
export async function pictureBlob() {
  if (!picture.cut) return picture.file;
  const canvas = make("canvas", { width: picture.cut[2], height: picture.cut[3] });
  canvas.getContext("2d").drawImage(picture.image, ...picture.cut, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
function spot(event) {
  const box = $("canvas").getBoundingClientRect();
  return [(event.clientX - box.left) * $("canvas").width / box.width,
    (event.clientY - box.top) * $("canvas").height / box.height];
}
$("canvas").addEventListener("pointerdown", (event) => {
  from = spot(event);
  $("canvas").setPointerCapture(event.pointerId);
});
$("canvas").addEventListener("pointermove", (event) => {
  if (!from) return;
  const to = spot(event);
  const size = [Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
  if (Math.min(...size) >= 8) cutTo(Math.min(from[0], to[0]), Math.min(from[1], to[1]), ...size);
});
for (const end of ["pointerup", "pointercancel"]) $("canvas").addEventListener(end, () => { from = null; });
$("canvas").addEventListener("keydown", (event) => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Escape") { picture.cut = null; draw(); }
  if (!way) return;
  event.preventDefault();
  const { image } = picture;
  const [x, y, w, h] = picture.cut || [image.width / 4, image.height / 4, image.width / 2, image.height / 2];
  const [dx, dy] = [way[0] * image.width / 40, way[1] * image.height / 40];
  if (event.shiftKey) cutTo(x, y, w + dx, h + dy);
  else cutTo(x + dx, y + dy, w, h);
});
$("file").addEventListener("change", () => choose($("file").files[0]));
$("clear").addEventListener("click", () => { clear(); $("file").focus(); });
document.addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") choose(event.dataTransfer.files[0]);
  });
}
