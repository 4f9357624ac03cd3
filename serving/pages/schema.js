// A JSON Schema in words and lists.
import { make } from "./dom.js";

const DEEPEST = 6;

function bounds({ minimum, maximum, minLength, maxLength, minItems, maxItems, pattern }) {
  const number = (n) => (Number.isSafeInteger(n) || !Number.isInteger(n) ? n : `2^${Math.log2(n)} - 1`); // such as 2^63 - 1
  const span = (low, high, of) => (low === undefined && high === undefined ? null : low === undefined ? `up to ${number(high)}${of}` : high === undefined ? `${low}${of} or more` : low === high ? `${low}${of}` : `${number(low)} to ${number(high)}${of}`);
  return [span(minimum, maximum, ""), span(minLength, maxLength, " characters"), span(minItems, maxItems, " items"), pattern ? `like ${pattern}` : null].filter(Boolean).join(", ");
}

function words(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.format === "binary") return "the bytes of a file";
  const type = [schema.type ?? "anything"].flat().join(" or ");
  return [type, bounds(schema), schema.format].filter(Boolean).join(", ");
}

// An element that tells what fits the schema; names in $ref are looked up in `schemas`.
export function describe(schema, schemas, depth = 0) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return depth > DEEPEST ? make("span", {}, name) : describe(schemas[name] ?? {}, schemas, depth + 1);
  }
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return make("div", { class: "schema" }, "one of", make("ul", {}, ...choices.map((one) => make("li", {}, describe(one, schemas, depth + 1)))));
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length) {
    const rows = properties.map(([name, one]) => make("li", {}, make("code", {}, name), (schema.required ?? []).includes(name) ? make("strong", {}, " needed ") : " ", describe(one, schemas, depth + 1)));
    return make("div", { class: "schema" }, depth ? "object" : "", make("ul", {}, ...rows));
  }
  const example = schema.examples?.[0];
  const said = `${words(schema)}${schema.description ? `; ${schema.description}` : ""}${example === undefined ? "" : `, such as ${JSON.stringify(example)}`}`;
  if (schema.type === "array" && schema.items && Object.keys(schema.items).length) return make("div", { class: "schema" }, `list${bounds(schema) ? ` (${bounds(schema)})` : ""} of `, describe(schema.items, schemas, depth + 1));
  return make("span", { class: "schema" }, said);
}
