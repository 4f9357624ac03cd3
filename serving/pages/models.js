// The models of the server: what each is made for, and whether it can be used now.
import { json, post } from "./http.js";

const CHECKPOINT = ":ckpt-step-"; // in the names of models that are on their way
const known = new Map(); // name -> what was learned of it when it was ready

async function learn(name, version) {
  const config = await json(`v2/models/${encodeURIComponent(name)}/config`);
  const text = (key) => config.parameters?.[key]?.string_value;
  known.set(name, { version, usage: text("usage"), labels: JSON.parse(text("labels") ?? "[]"), input: config.input, output: config.output, most: config.max_batch_size });
}

// What fine-tuned models were made of, by the list of /v1: name -> parent.
async function parents() {
  const { data } = await json("v1/models");
  return new Map(data.map(({ id, parent }) => [id, parent && parent !== id ? parent : null]));
}

// Every model: { name, state, reason, parent, usage (empty where it is not known yet), labels, input, output }.
export async function allModels() {
  const [index, made] = await Promise.all([post("v2/repository/index", {}).then((reply) => reply.json()), parents()]);
  const states = new Map(index.map(({ name, ...state }) => [name, state]));
  for (const name of made.keys()) if (!states.has(name)) states.set(name, { state: "READY", reason: "", version: "1" });
  for (const name of states.keys()) if (name.includes(CHECKPOINT)) states.delete(name);
  await Promise.all([...states].map(([name, { state, version }]) => (state === "READY" && known.get(name)?.version !== version ? learn(name, version).catch(() => {}) : null)));
  return [...states].map(([name, state]) => ({ usage: "", ...known.get(name), name, parent: made.get(name) ?? null, ...state }));
}

// Why a model cannot be used, as a sentence about it goes on.
export function whyNot({ state, reason }) {
  if (state === "LOADING") return "is being loaded";
  return reason === "unloaded" ? "is not loaded" : `cannot be used: ${reason || "it is not there"}`;
}
