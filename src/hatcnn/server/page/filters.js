// What a search is narrowed by: controls that are turned into the filter language, which is shown, so
// that whoever wants more than the controls offer knows how to write it.

import { $, json, make } from "./api.js";

let calibration = null;
const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
const option = (value, text) => make("option", { value, textContent: text });

export function where() {
  const parts = [];
  const camera = $("camera").selectedOptions[0];
  if (camera.dataset.unknown) parts.push("camera is unknown");
  else if (camera.value) parts.push(`camera = ${quoted(camera.value)}`);
  if ($("since").value) parts.push(`seen_at >= ${quoted($("since").value)}`);
  if ($("until").value) parts.push(`seen_at < ${quoted($("until").value)}`);
  for (const choice of $("choices").querySelectorAll("select")) if (choice.value) parts.push(choice.value);
  if ($("where").value.trim()) parts.push(`(${$("where").value.trim()})`);
  return parts.join(" and ");
}
export const falseMatchRate = () => ($("rate").value ? Number($("rate").value) : null);

function told() {
  const filter = where();
  $("filter").textContent = filter ? `Filter: ${filter}` : "";
  const worn = [...$("choices").querySelectorAll("select")].filter((choice) => choice.value).length;
  $("worn").textContent = worn ? ` (${worn} chosen)` : "";
  $("reset").hidden = !filter && !$("rate").value;
}
$("only").addEventListener("input", told);
$("reset").addEventListener("click", () => {
  for (const control of $("only").querySelectorAll("input, select")) control.value = "";
  told();
  $("camera").focus();
});

// Cameras of the gallery, with what was chosen before kept.
export function offerCameras(cameras) {
  const before = $("camera").selectedIndex > 0 ? $("camera").value : "";
  $("camera").replaceChildren(option("", "any"), ...cameras.map((camera) => {
    const one = option(camera || " ", camera || "unknown");
    if (!camera) one.dataset.unknown = "yes";
    return one;
  }));
  $("camera").value = before;
  if ($("camera").selectedIndex < 0) $("camera").selectedIndex = 0;
  told();
}

// A control for everything that people differ in, of the words that the server knows.
export async function offerWords(hasAttributes) {
  const { choices } = await json("words");
  $("wearing").hidden = !choices.length || !hasAttributes;
  if ($("choices").children.length || $("wearing").hidden) return;
  $("choices").replaceChildren(...choices.map(({ name, options }, i) => make("div", { className: "field" },
    make("label", { htmlFor: `choice-${i}`, textContent: name }),
    make("select", { id: `choice-${i}` }, option("", "any"),
      ...options.map(({ words, where: filter }) => option(filter, words))))));
}

const share = (rate) => `1 in ${Number((1 / rate).toPrecision(2)).toLocaleString()}`;
export async function offerRates() {
  ({ calibration } = await json("model"));
  $("strictness").hidden = !calibration;
  if (!calibration || $("rate").children.length > 1) return;
  $("rate").append(...calibration.rates.map((one) => option(one.false_match_rate,
    `${share(one.false_match_rate)} (finds ${(100 * one.true_match_rate).toFixed(0)} % of right ones)`)));
}
// The same rates as similarities, for a number's field; none without a calibration.
export function thresholds(field) {
  if (!calibration) return null;
  return make("select", { ariaLabel: "Fill in by how many pairs of different people are as similar",
    onchange: (event) => { if (event.target.value) field.value = event.target.value; } },
  option("", "fill in what so many pairs of different people reach"),
  ...calibration.rates.map((one) => option(one.threshold.toFixed(3), share(one.false_match_rate))));
}
