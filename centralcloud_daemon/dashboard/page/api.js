// Talking to the coordinator. What changes something may need the token: asked for once, kept until the tab is closed.
import {h} from "./dom.js";

const tokenKey = "token";
const patienceMs = 15000;

export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function call(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(tokenKey);
  if (method !== "GET" && token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(patienceMs)});
  } catch {
    throw new Problem(0, "the coordinator does not answer");
  }
  const text = await answer.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = {};
  }
  if (answer.ok) return value;
  const fields = (value.errors ?? []).map((each) => `${each.field}: ${each.message}`).join("; ");
  throw new Problem(answer.status, fields || value.detail || value.title || `status ${answer.status}`);
}

export function get(path) {
  return call("GET", path);
}

let asked = 0;

/// A dialog that ends with `done(form data)` having succeeded, or closed. Shows the error that `done` throws.
export function ask({title, text, fields = [], action, danger, done}) {
  const titleId = `dialog-title-${asked += 1}`;  // one dialog may ask on top of another
  const error = h("p", {class: "error", role: "alert"});
  const inputs = fields.map((field) => h("label", {}, field.label,
    h("input", {name: field.name, type: field.type ?? "text", required: true, maxlength: field.max ?? 500,
      autocomplete: "off", spellcheck: "false"})));
  const go = h("button", {type: "submit", class: danger ? "danger" : "primary"}, action);
  const form = h("form", {method: "dialog"},
    h("h2", {id: titleId}, title), h("p", {}, text), inputs, error,
    h("div", {class: "buttons"}, h("button", {type: "button", class: "quiet", onclick: () => dialog.close()}, "Cancel"), go));
  const dialog = h("dialog", {"aria-labelledby": titleId}, form);
  return new Promise((resolve) => {
    let result;
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      error.textContent = "";
      try {
        result = await done(Object.fromEntries(new FormData(form))) ?? true;
        dialog.close();
      } catch (problem) {
        error.textContent = problem.message;
        go.disabled = false;
        (form.querySelector("input") ?? go).focus();
      }
    });
    document.getElementById("dialogs").append(dialog);
    dialog.showModal();
  });
}

/// Asks for the token and tries it on the call itself, so that a wrong one is told where it was typed. Gives {value} or
/// {problem} of the call, or undefined where the person thought better of it.
function withToken(method, path, body) {
  return ask({
    title: "Token needed",
    text: "This coordinator takes changes only with its bearer token: the first line of the file that its setting " +
      "http.token_file names. It stays in this tab until you close it.",
    fields: [{name: "token", label: "Token", type: "password"}],
    action: "Go on",
    done: async ({token}) => {
      sessionStorage.setItem(tokenKey, token.trim());
      try {
        return {value: await call(method, path, body)};
      } catch (problem) {
        if (problem.status !== 401) return {problem};
        sessionStorage.removeItem(tokenKey);
        throw new Problem(401, "The coordinator does not accept this token.");
      }
    },
  });
}

/// A call that changes something. Asks for the token where the coordinator wants one, or another one than it was given.
export async function change(method, path, body) {
  try {
    return await call(method, path, body);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
  }
  sessionStorage.removeItem(tokenKey);
  const answer = await withToken(method, path, body);
  if (!answer) throw new Problem(401, "Nothing was changed: the token is needed.");
  if (answer.problem) throw answer.problem;
  return answer.value;
}

/// Says what happened, for a while, to eyes and to screen readers.
export function tell(text) {
  const toast = h("p", {class: "toast", role: "status"}, text);
  document.getElementById("dialogs").append(toast);
  setTimeout(() => toast.remove(), 6000);
}
