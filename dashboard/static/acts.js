// Orders by way of the page: only when the server says that they are enabled, and after signing in.
import { el, model } from "./page.js";

const $ = (id) => document.getElementById(id);
let session = { acting: false, inside: false, token: null };
let redraw = () => {};
let order = null;

async function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (session.token) headers["X-Token"] = session.token;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const said = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function possible(node) {
  if (!session.inside || !model) return [];
  if (node === null) return model.paused ? [["resume", "Resume"]] : [["pause", "Pause"]];
  const found = [];
  if (node.state === "synced" && node.open && node.role !== "writer" && !node.drained) found.push(["switchover", "Make it the writer"]);
  if (node.drained) found.push(["undrain", "Undrain"]);
  else if (node.state === "synced" && node.open) found.push(["drain", "Drain"]);
  return found;
}

// The buttons of a node, or of the cluster (null).
export function acts(box, node) {
  const wanted = possible(node);
  const text = JSON.stringify(wanted);
  box.hidden = !wanted.length;
  if (box.drawn === text) return;
  box.drawn = text;
  box.replaceChildren(...wanted.map(([name, label]) => {
    const button = el("button", { type: "button", class: "quiet" }, label);
    if (node) button.setAttribute("aria-label", `${label}: ${node.name}`);
    button.addEventListener("click", () => ask(name, label, node ? node.name : null));
    return button;
  }));
}

async function ask(name, label, node) {
  order = { name, node };
  $("ask-title").textContent = node ? `${label}: ${node}` : label;
  $("ask-error").textContent = "";
  $("ask-says").replaceChildren();
  $("ask-go").disabled = true;
  $("ask").showModal();
  try {
    const { says } = await send("POST", "/order/look", order);
    $("ask-says").replaceChildren(...says.map((line) => el("p", {}, line)));
    $("ask-go").disabled = false;
    $("ask-go").focus();
  } catch (error) {
    $("ask-error").textContent = error.message;
  }
}

function toast(text) {
  $("toast").textContent = text;
  setTimeout(() => { $("toast").textContent = ""; }, 6000);
}

function draw() {
  $("door").hidden = !session.acting;
  $("door").textContent = session.inside ? "Sign out" : "Sign in";
  redraw();
}

export async function setUpActs(again) {
  redraw = again;
  document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  $("door").addEventListener("click", async () => {
    if (session.inside) {
      session = await send("DELETE", "/session");
      draw();
    } else {
      $("enter-error").textContent = "";
      $("password").value = "";
      $("enter").showModal();
    }
  });
  $("enter-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      session = await send("POST", "/session", { password: $("password").value });
      $("enter").close();
      draw();
    } catch (error) {
      $("enter-error").textContent = error.message;
    }
  });
  $("ask-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("ask-go").disabled = true;
    try {
      const { done } = await send("POST", "/order/give", order);
      $("ask").close();
      toast(done);
    } catch (error) {
      $("ask-error").textContent = error.message;
    }
  });
  try { session = await send("GET", "/session"); } catch { /* it stays a page to look at */ }
  draw();
}
