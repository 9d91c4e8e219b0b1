"use strict";
/* Asking the daemon, with the token if it wants one. */
import { byId } from "/build.js";

const GIVE_UP_MS = 8000;
let token = sessionStorage.getItem("token") || "";

export const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

export async function ask(path) {
  const abort = new AbortController(), timer = setTimeout(() => abort.abort(), GIVE_UP_MS);
  try {
    const reply = await fetch(path, { headers: headers(), cache: "no-store", signal: abort.signal });
    if (reply.status === 401) {
      wantToken();
      throw new Error("a token is wanted");
    }
    return { status: reply.status, data: await reply.json() };
  } catch (e) {
    throw e.name === "AbortError" ? new Error("it did not answer in time") : e;
  } finally {
    clearTimeout(timer);
  }
}

export function wantToken() {
  const dialog = byId("ask-token");
  if (!dialog.open) dialog.showModal();
}

export function whenTokenGiven(then) {
  byId("token-form").addEventListener("submit", () => {
    token = byId("token").value;
    sessionStorage.setItem("token", token);
    byId("token").value = "";
    then();
  });
}
