// Asking the server. Addresses are relative, so that it may be mounted anywhere; a key goes along where one is needed.

let key = "";
export const usesKey = () => key !== "";
export function useKey(text) { key = text; }

export const address = (path) => new URL(path, document.baseURI).href;

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const inWords = (status) => `the server answered with status ${status}`;

// The response, if it is a good one. Throws Refused with the server's own words, without the place in brackets.
export async function ask(path, options = {}) {
  const headers = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...options.headers };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) dispatchEvent(new Event("key-needed"));
  const { error } = await response.json().catch(() => ({ error: inWords(response.status) }));
  throw new Refused((error?.message ?? error ?? inWords(response.status)).replace(/^\[[^\]]*\] /, ""), response.status);
}

export const json = async (path, options) => (await ask(path, options)).json();
export const post = (path, body, options = {}) => ask(path, { method: "POST", body: JSON.stringify(body), ...options });

// Milliseconds that the server itself took, where it says so.
export function serverTime(response) {
  const found = /total;dur=([\d.e+]+)/.exec(response.headers.get("Server-Timing") ?? "");
  return found ? Number(found[1]) : null;
}

// The objects of a stream of events, one after another, until it says that it is done.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (part === "data: [DONE]") return;
      const event = JSON.parse(part.slice("data: ".length));
      if (event.error) throw new Refused(event.error.message.replace(/^\[[^\]]*\] /, ""), 500);
      yield event;
    }
  }
}
