// The page over the HTTP API: searching, looking, comparing, forgetting.

import { $, form, json, make, place, post, say, send, thumbnail, when } from "./api.js";
import { falseMatchRate, offerCameras, offerRates, offerWords, thresholds, where } from "./filters.js";
import { forgetMap, offerMap } from "./map.js";
import { isChosen, pictureBlob } from "./picture.js";

let ask = null; // (offset) => answer of the last search, for the next page
let next = null;
let queryBlob = null; // the picture that was searched for
let likeness = null; // () => a picture of who was searched for, for "why"
let chosen = [];
let readOnly = false;
let latest = 0; // answers to earlier questions are dropped

// ---- searching

function clear() {
  next = null;
  chosen = [];
  $("results").replaceChildren();
  for (const id of ["more", "compare", "forget-person", "meaning"]) $(id).hidden = true;
}
async function show(question, title) {
  const number = ++latest;
  ask = question;
  clear();
  say("Searching…");
  try {
    const found = await question(0);
    if (number !== latest) return;
    list(found);
    const shown = $("results").children.length;
    if (shown) say(`${title}: the first ${shown} of ${found.searched.toLocaleString()} in the gallery.`);
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
  if (match.probability !== null && match.probability !== match.score) $("meaning").hidden = false;
  return match.probability === null ? `score ${match.score.toFixed(3)}` : percent(match.probability);
}
// Nothing is certain, so that nothing is rounded to it.
function percent(chance) {
  if (chance > 0.999) return "over 99.9 %";
  if (chance < 0.001) return "under 0.1 %";
  return `${(100 * chance).toFixed(chance < 0.1 || chance > 0.9 ? 1 : 0)} %`;
}
function card(match) {
  const label = `${match.rank ? `${match.rank}. ` : ""}${strength(match)}`;
  const open = make("button", { type: "button", onclick: () => details(match) },
    thumbnail(match.id, ""), make("strong", { textContent: label }),
    make("div", { textContent: place(match.camera) }), make("div", { textContent: when(match.seen_at) }));
  const tick = make("input", { type: "checkbox", onchange: () => pick(match, tick) });
  const name = `compare${match.rank ? ` ${match.rank}` : ""}`;
  return make("li", {}, open, make("label", {}, tick, name));
}
function pick(match, tick) {
  chosen = chosen.filter((one) => one.match !== match);
  if (tick.checked) chosen.push({ match, tick });
  if (chosen.length > 2) chosen.shift().tick.checked = false;
  $("compare").hidden = chosen.length !== 2;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [filter, rate] = [where(), falseMatchRate()];
  if (isChosen()) {
    const blob = queryBlob = await pictureBlob();
    likeness = async () => blob;
    show((offset) => json("search/picture", form({ where: filter, offset, top_k: 24, false_match_rate: rate }, blob)), "By picture");
  } else if ($("words").value.trim()) {
    queryBlob = likeness = null;
    const description = $("words").value.trim();
    show((offset) => post("search/description", { description, where: filter || null, offset, top_k: 24 }),
      "By description");
  } else say("Choose a picture or write a description first.", true);
});
$("browse").addEventListener("click", () => {
  const filter = where();
  queryBlob = likeness = null;
  show(async (offset) => {
    const fields = new URLSearchParams({ limit: 24, offset, ...(filter && { where: filter }) });
    const found = await json(`entries?${fields}`);
    // Told of the first page alone.
    const searched = offset ? 0 : (await json("stats")).entries;
    return { matches: found.entries, next_offset: found.next_offset, searched };
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
  // A description's score is a probability itself.
  const described = entry.probability != null && entry.probability === entry.score;
  const rows = [["id", entry.id], ["name", entry.name], ["camera", entry.camera],
    ["seen at (UTC)", entry.seen_at && when(entry.seen_at)], ["added at (UTC)", when(entry.added_at)],
    ["identity", entry.identity], ["tracklet", entry.tracklet], ["tags", entry.tags.join(", ")],
    ["fits the description", described ? percent(entry.probability) : null],
    ["similarity", entry.score !== undefined && !described ? entry.score.toFixed(4) : null],
    ["same person, were that as likely as not before looking", entry.probability != null && !described
      ? percent(entry.probability) : null]];
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
      likeness = () => smallPicture(entry.id);
      const [filter, rate] = [where() || null, falseMatchRate()];
      show((offset) => post("search/entry", { entries: [entry.id], where: filter, offset, top_k: 24,
        false_match_rate: rate }), "Like that entry");
    } });
  const whom = likeness;
  const reason = whom && entry.rank ? make("button", { type: "button", textContent: "Why?",
    onclick: () => explain(why, whom, entry.id) }) : null;
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
const smallPicture = async (id) => (await send(`entries/${id}/thumbnail`)).blob();
async function explain(target, whom, id) {
  target.replaceChildren("Looking for reasons…");
  try {
    const figure = await (await send("explain", form({ entry: id }, await whom()))).blob();
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
      onclick: () => explain(why, () => smallPicture(a.id), b.id) })), why);
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
        clear();
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
        const found = await json("forget/find-by-picture", form({ threshold: limit.value, where: where() }, queryBlob));
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
  open("question", "Forget this person", ...[
    make("label", { htmlFor: "limit", textContent: "Entries at least this similar to the picture (-1 to 1)" }),
    limit, thresholds(limit), wrong, make("div", { className: "row" }, find)].filter(Boolean));
  limit.focus();
});

// ---- the gallery in numbers

async function overview() {
  const stats = await json("stats");
  readOnly = (await json("ready")).read_only;
  $("summary").textContent = `${stats.entries.toLocaleString()} entries${readOnly ? ", read-only" : ""}`;
  const rows = [["entries", stats.entries.toLocaleString()], ["identities named", stats.identities.toLocaleString()],
    ["tracklets named", stats.tracklets.toLocaleString()],
    ["seen", stats.first_seen ? `${when(stats.first_seen)} to ${when(stats.last_seen)} UTC` : "unknown"],
    ["with attributes", stats.with_attributes.toLocaleString()],
    ["with a thumbnail", stats.with_thumbnail.toLocaleString()],
    ["on disk", stats.bytes_on_disk === null ? "not known" : `${(stats.bytes_on_disk / 1e6).toFixed(1)} MB`],
    ["search", stats.index === "exact" ? "compares with every entry" : `by an index of ${stats.indexed.toLocaleString()} entries`]];
  $("stats").replaceChildren(...rows.flatMap(([name, value]) => [
    make("dt", { textContent: name }), make("dd", { textContent: value })]));
  const cameras = Object.entries(stats.cameras);
  const most = Math.max(1, ...cameras.map((one) => one[1]));
  $("cameras").hidden = !cameras.length;
  $("cameras").tBodies[0].replaceChildren(...cameras.map(([camera, count]) => make("tr", {},
    make("th", { scope: "row", textContent: camera || "unknown" }),
    make("td", { textContent: count.toLocaleString() }),
    make("td", { className: "bar" }, make("meter", { value: count, max: most, ariaLabel: `${count} entries` })))));
  offerCameras(cameras.map(([camera]) => camera));
  forgetMap(stats.entries);
  return stats;
}
offerMap(details);
overview().then(async (stats) => {
  await Promise.all([offerWords(stats.with_attributes > 0), offerRates()]);
  say(stats.entries ? "Choose a picture or write a description."
    : "The gallery is empty. Add pictures with 'hatcnn gallery add', then search.");
}).catch((error) => {
  $("summary").textContent = "not available";
  say(error.message, true);
});
