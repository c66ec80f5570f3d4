// What the parts of the page share: making elements, and asking the API. It builds elements and never
// markup, so nothing that a file or an entry is called can become part of the page.

export const $ = (id) => document.getElementById(id);
const API = "v1/";
let token = sessionStorage.getItem("hatcnn-token") || "";
let asking = null; // for a token

export function make(tag, content = {}, ...children) {
  const element = Object.assign(document.createElement(tag), content);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(API + path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Is it running? Start it and try again.");
  }
  if (answer.status === 401) {
    // Several requests may be refused together: one question is enough.
    if (headers.Authorization === (token ? `Bearer ${token}` : undefined)) await (asking ??= login());
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
export const json = async (path, options) => (await send(path, options)).json();
export const post = (path, content) => json(path, {
  method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" },
});
export function form(fields, ...pictures) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) data.append(name, value);
  for (const blob of pictures) data.append("pictures", blob, "picture");
  return { method: "POST", body: data };
}

function login() {
  return new Promise((done) => {
    $("token").value = "";
    $("login-wrong").hidden = !token;
    $("login").showModal();
    $("login").onclose = () => {
      token = $("token").value.trim();
      sessionStorage.setItem("hatcnn-token", token);
      asking = null;
      done();
    };
  });
}

export function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

export const when = (text) => (text ? text.slice(0, 19).replace("T", " ") : "time unknown");
export const place = (camera) => (camera === null ? "camera unknown" : `camera ${camera}`);
export function thumbnail(id, alt) {
  const image = make("img", { alt });
  send(`entries/${id}/thumbnail`).then((answer) => answer.blob()).then((blob) => {
    image.src = URL.createObjectURL(blob);
    image.onload = () => URL.revokeObjectURL(image.src);
  }).catch(() => { image.alt = "no thumbnail"; });
  return image;
}
