// The page over the HTTP API. It builds elements and never markup, so nothing that a file or an
// entry is called can become part of the page.

const $ = (id) => document.getElementById(id);
const API = "v1/";
let token = sessionStorage.getItem("hatcnn-token") || "";
let picture = null; // {image, cut: [x, y, width, height]} of the chosen picture
let ask = null; // (offset) => answer of the last search, for the next page
let next = null;
let queryBlob = null; // what was searched for, for "why"
let chosen = [];
let readOnly = false;
let latest = 0; // answers to earlier questions are dropped

function make(tag, content = {}, ...children) {
  const element = Object.assign(document.createElement(tag), content);
  element.append(...children.filter((child) => child !== null));
  return element;
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(API + path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Is it running? Start it and try again.");
  }
  if (answer.status === 401) {
    await login();
    return send(path, options);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const wait = answer.headers.get("Retry-After");
    const error = new Error((problem.message || `error ${answer.status}`)
      + (wait ? ` (try again in ${wait} s)` : ""));
    error.status = answer.status;
    throw error;
  }
  return answer;
}
const json = async (path, options) => (await send(path, options)).json();
const post = (path, content) => json(path, {
  method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" },
});
function form(fields, ...pictures) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) data.append(name, value);
  for (const blob of pictures) data.append("pictures", blob, "picture");
  return { method: "POST", body: data };
}

function login() {
  return new Promise((done) => {
    $("token").value = "";
    $("login").showModal();
    $("login").onclose = () => {
      token = $("token").value.trim();
      sessionStorage.setItem("hatcnn-token", token);
      done();
    };
  });
}

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

// ---- the chosen picture

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
async function pictureBlob() {
  if (!picture.cut) return picture.file;
  const canvas = make("canvas", { width: picture.cut[2], height: picture.cut[3] });
  canvas.getContext("2d").drawImage(picture.image, ...picture.cut, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
function place(event) {
  const box = $("canvas").getBoundingClientRect();
  return [(event.clientX - box.left) * $("canvas").width / box.width,
    (event.clientY - box.top) * $("canvas").height / box.height];
}
let from = null;
$("canvas").addEventListener("pointerdown", (event) => {
  from = place(event);
  $("canvas").setPointerCapture(event.pointerId);
});
$("canvas").addEventListener("pointermove", (event) => {
  if (!from) return;
  const to = place(event);
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

// ---- searching

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
function filter() {
  const parts = [];
  const camera = $("camera").selectedOptions[0];
  if (camera.dataset.unknown) parts.push("camera is unknown");
  else if (camera.value) parts.push(`camera = ${quoted(camera.value)}`);
  if ($("since").value) parts.push(`seen_at >= ${quoted($("since").value)}`);
  if ($("until").value) parts.push(`seen_at < ${quoted($("until").value)}`);
  if ($("where").value.trim()) parts.push(`(${$("where").value.trim()})`);
  return parts.join(" and ");
}

async function show(question, title) {
  const number = ++latest;
  ask = question;
  next = null;
  chosen = [];
  $("results").replaceChildren();
  for (const id of ["more", "compare", "forget-person"]) $(id).hidden = true;
  say("Searching…");
  try {
    const found = await question(0);
    if (number !== latest) return;
    list(found);
    const shown = $("results").children.length;
    if (shown) say(`${title}: the first ${shown} of ${found.searched.toLocaleString()}.`);
    else if (!found.searched) say("The gallery is empty. Add pictures with 'hatcnn gallery add', then search.");
    else say("Nothing fits. Leave out a filter, or describe less.");
    $("forget-person").hidden = readOnly || !queryBlob || !shown;
  } catch (error) {
    if (number === latest) say(error.message, true);
  }
}
function list(found) {
  for (const match of found.matches) $("results").append(card(match));
  next = found.next_offset;
  $("more").hidden = next === null;
}
function strength(match) {
  if (match.score === undefined) return "";
  return match.probability === null ? `score ${match.score.toFixed(3)}`
    : `${(100 * match.probability).toFixed(match.probability < 0.1 ? 1 : 0)} %`;
}
const when = (text) => (text ? text.slice(0, 19).replace("T", " ") : "time unknown");
function card(match) {
  const label = `${match.rank ? `${match.rank}. ` : ""}${strength(match)}`;
  const camera = match.camera === null ? "camera unknown" : `camera ${match.camera}`;
  const open = make("button", { type: "button", onclick: () => details(match) },
    thumbnail(match.id, ""), make("strong", { textContent: label }),
    make("div", { textContent: camera }), make("div", { textContent: when(match.seen_at) }));
  const tick = make("input", { type: "checkbox", onchange: () => pick(match, tick) });
  const name = `compare${match.rank ? ` ${match.rank}` : ""}`;
  return make("li", {}, open, make("label", {}, tick, name));
}
function thumbnail(id, alt) {
  const image = make("img", { alt });
  send(`entries/${id}/thumbnail`).then((answer) => answer.blob()).then((blob) => {
    image.src = URL.createObjectURL(blob);
    image.onload = () => URL.revokeObjectURL(image.src);
  }).catch(() => { image.alt = "no thumbnail"; });
  return image;
}
function pick(match, tick) {
  chosen = chosen.filter((one) => one.match !== match);
  if (tick.checked) chosen.push({ match, tick });
  if (chosen.length > 2) chosen.shift().tick.checked = false;
  $("compare").hidden = chosen.length !== 2;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const where = filter();
  if (picture) {
    const blob = queryBlob = await pictureBlob();
    show((offset) => json("search/picture", form({ where, offset, top_k: 24 }, blob)), "By picture");
  } else if ($("words").value.trim()) {
    queryBlob = null;
    const description = $("words").value.trim();
    show((offset) => post("search/description", { description, where: where || null, offset, top_k: 24 }),
      "By description");
  } else say("Choose a picture or write a description first.", true);
});
$("browse").addEventListener("click", () => {
  const where = filter();
  queryBlob = null;
  show(async (offset) => {
    const fields = new URLSearchParams({ limit: 24, offset, ...(where && { where }) });
    const found = await json(`entries?${fields}`);
    return { matches: found.entries, next_offset: found.next_offset, searched: (await overview()).entries };
  }, "As they are stored");
});
$("more").addEventListener("click", async () => {
  const number = latest;
  $("more").disabled = true;
  try {
    const found = await ask(next);
    if (number === latest) list(found);
  } catch (error) { say(error.message, true); }
  $("more").disabled = false;
});

// ---- one entry, two entries

function fields(entry) {
  const rows = [["id", entry.id], ["name", entry.name], ["camera", entry.camera],
    ["seen at (UTC)", entry.seen_at && when(entry.seen_at)], ["added at (UTC)", when(entry.added_at)],
    ["identity", entry.identity], ["tracklet", entry.tracklet], ["tags", entry.tags.join(", ")],
    ["similarity", entry.score !== undefined ? entry.score.toFixed(4) : null]];
  return make("dl", {}, ...rows.filter((row) => row[1]).flatMap(([name, value]) => [
    make("dt", { textContent: name }), make("dd", { textContent: value })]));
}
function open(dialog, title, ...content) {
  const heading = make("h2", { id: `${dialog}-title`, textContent: title });
  const close = make("button", { type: "button", textContent: "Close", onclick: () => $(dialog).close() });
  $(dialog).replaceChildren(heading, ...content, make("div", { className: "row" }, close));
  if (!$(dialog).open) $(dialog).showModal();
}
function details(entry) {
  const why = make("div", { ariaLive: "polite" });
  const again = make("button", { type: "button", textContent: "Search for this person",
    onclick: () => {
      $("details").close();
      queryBlob = null;
      const where = filter() || null;
      show((offset) => post("search/entry", { entries: [entry.id], where, offset, top_k: 24 }), "Like that entry");
    } });
  const reason = queryBlob && make("button", { type: "button", textContent: "Why?",
    onclick: () => explain(why, queryBlob, entry.id) });
  const forget = readOnly ? null : make("button", { type: "button", className: "danger",
    textContent: "Forget this entry…",
    onclick: () => confirmed("Forget this entry for good?", [entry], async () => {
      await json(`entries/${entry.id}`, { method: "DELETE" });
      return 1;
    }) });
  open("details", entry.rank ? `Match ${entry.rank}, ${strength(entry)}` : "Entry",
    make("div", { className: "pair" }, make("div", {}, thumbnail(entry.id, "The entry")), fields(entry)),
    make("div", { className: "row" }, again, reason, forget), why);
}
async function explain(target, blob, id) {
  target.replaceChildren("Looking for reasons…");
  try {
    const figure = await (await send("explain", form({ entry: id }, blob))).blob();
    const image = make("img", { className: "why", alt: "What made the two pictures alike", src: URL.createObjectURL(figure) });
    target.replaceChildren(image);
  } catch (error) {
    target.replaceChildren(make("p", { className: "wrong", textContent: error.message }));
  }
}
$("compare").addEventListener("click", async () => {
  const [a, b] = chosen.map((one) => one.match);
  const why = make("div", { ariaLive: "polite" });
  const side = (entry, name) => make("div", {}, thumbnail(entry.id, name), fields(entry));
  open("details", "Compare", make("div", { className: "pair" }, side(a, "First"), side(b, "Second")),
    make("div", { className: "row" }, make("button", { type: "button", textContent: "What makes them alike?",
      onclick: async () => explain(why, await (await send(`entries/${a.id}/thumbnail`)).blob(), b.id) })), why);
});

// ---- forgetting

// `act` is given the entries that are still ticked, where all of them are shown with a tick.
function confirmed(title, entries, act, note = "", ticks = false) {
  const kept = new Set(entries);
  const wrong = make("p", { className: "wrong", ariaLive: "assertive" });
  const go = make("button", { type: "button", className: "danger", textContent: "Forget for good",
    onclick: async () => {
      go.disabled = true;
      try {
        const count = await act([...kept]);
        $("question").close();
        if ($("details").open) $("details").close();
        $("results").replaceChildren();
        await overview();
        say(`${count} forgotten. Search again to see what is left.`);
      } catch (error) { wrong.textContent = error.message; go.disabled = false; }
    } });
  const pictures = entries.map((entry, i) => {
    const tick = make("input", { type: "checkbox", checked: true, onchange: () => {
      if (tick.checked) kept.add(entry); else kept.delete(entry);
      go.disabled = !kept.size;
    } });
    return make("div", {}, thumbnail(entry.id, `To be forgotten, ${i + 1}`),
      ticks ? make("label", {}, tick, ` forget ${i + 1}`) : null);
  });
  open("question", title, make("div", { className: "pair" }, ...pictures), make("p", { textContent: note }),
    wrong, make("div", { className: "row" }, go));
}
$("forget-person").addEventListener("click", () => {
  const limit = make("input", { id: "limit", type: "number", min: -1, max: 1, step: 0.01, value: 0.9 });
  const wrong = make("p", { className: "wrong", ariaLive: "assertive" });
  const find = make("button", { type: "button", className: "main", textContent: "Show who that would be",
    onclick: async () => {
      try {
        const found = await json("forget/find-by-picture", form({ threshold: limit.value, where: filter() }, queryBlob));
        if (!found.count) { wrong.textContent = "Nobody is that alike. Lower the similarity."; return; }
        const all = found.count === found.examples.length;
        confirmed(`Forget ${found.count} entries for good?`, found.examples, async (kept) => {
          const less = kept.length < found.examples.length;
          const meant = less ? await post("forget/find", { ids: kept.map((entry) => entry.id) }) : found;
          return (await post("forget", { confirmation: meant.confirmation })).count;
        }, all ? "Take the tick from whoever is somebody else."
          : `Only the first ${found.examples.length} of ${found.count} are shown: raise the similarity to see all.`, all);
      } catch (error) { wrong.textContent = error.message; }
    } });
  open("question", "Forget this person",
    make("label", { htmlFor: "limit", textContent: "Entries at least this similar to the picture (-1 to 1)" }),
    limit, wrong, make("div", { className: "row" }, find));
  limit.focus();
});

// ---- the gallery in numbers

async function overview() {
  const stats = await json("stats");
  readOnly = (await json("ready")).read_only;
  $("summary").textContent = `${stats.entries.toLocaleString()} entries${readOnly ? ", read-only" : ""}`;
  const rows = [["entries", stats.entries.toLocaleString()], ["identities named", stats.identities.toLocaleString()],
    ["seen", stats.first_seen ? `${when(stats.first_seen)} to ${when(stats.last_seen)} UTC` : "unknown"],
    ["with attributes", stats.with_attributes.toLocaleString()]];
  $("stats").replaceChildren(...rows.flatMap(([name, value]) => [
    make("dt", { textContent: name }), make("dd", { textContent: value })]));
  const cameras = Object.entries(stats.cameras);
  const most = Math.max(1, ...cameras.map((one) => one[1]));
  $("cameras").hidden = !cameras.length;
  $("cameras").tBodies[0].replaceChildren(...cameras.map(([camera, count]) => make("tr", {},
    make("th", { scope: "row", textContent: camera || "unknown" }),
    make("td", { textContent: count.toLocaleString() }),
    make("td", { className: "bar" }, make("meter", { value: count, max: most, ariaLabel: `${count} entries` })))));
  const before = $("camera").selectedIndex > 0 ? $("camera").value : "";
  $("camera").replaceChildren(make("option", { value: "", textContent: "any" }), ...cameras.map(([camera]) => {
    const option = make("option", { value: camera || " ", textContent: camera || "unknown" });
    if (!camera) option.dataset.unknown = "yes";
    return option;
  }));
  $("camera").value = before;
  if ($("camera").selectedIndex < 0) $("camera").selectedIndex = 0;
  return stats;
}
overview().then((stats) => {
  say(stats.entries ? "Choose a picture or write a description."
    : "The gallery is empty. Add pictures with 'hatcnn gallery add', then search.");
}).catch((error) => {
  $("summary").textContent = "not available";
  say(error.message, true);
});
