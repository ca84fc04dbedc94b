// The fields of a form as the values of arguments, and back. Numbers are sent with the digits that were typed.
import { figure, isFigure, parse, stringify } from "./exact.js";

/** What one field holds: undefined where nothing is to be sent. Throws Error with what is wrong. */
export function read(field) {
  const element = document.getElementById(field.id);
  if (field.kind === "check") {
    return element.checked;
  }
  if (field.kind === "several") {
    return [...element.querySelectorAll("input:checked")].map((each) => parse(each.value));
  }
  if (element.validity?.badInput) {
    throw new Error("This is not a number.");
  }
  const text = element.value;
  if (text === "" || (text.trim() === "" && !["text", "area", "password"].includes(field.kind))) {
    // An empty text is sent only in place of one that is not.
    const cleared = field.has_default && ["text", "area", "password"].includes(field.kind);
    return cleared && field.default !== "" ? "" : undefined;
  }
  switch (field.kind) {
    case "choice":
    case "answer":
      return parse(text);
    case "number":
    case "range":
      return figure(text);
    case "dict":
      return readObject(text);
    case "list":
      return readList(text, field.type);
    case "any":
      return readAny(text);
    default:
      return text;
  }
}

function readObject(text) {
  let value;
  try {
    value = parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}`);
  }
  if (value === null || typeof value !== "object" || isFigure(value) || Array.isArray(value)) {
    throw new Error('Give an object, such as {"a": 1}.');
  }
  return value;
}

/** `[1, 2]`, or `1, 2` without the brackets. */
function readList(text, type) {
  const trimmed = text.trim();
  if (trimmed.startsWith("[")) {
    try {
      return parse(trimmed);
    } catch (error) {
      throw new Error(`This is not a list: ${error.message}`);
    }
  }
  const parts = trimmed.split(",").map((each) => each.trim()).filter(Boolean);
  if (type !== "integer" && type !== "number") {
    return parts;
  }
  return parts.map((each) => {
    const number = figure(each);
    if (Number.isNaN(number)) {
      throw new Error(`"${each.slice(0, 40)}" is not a number.`);
    }
    return number;
  });
}

function readAny(text) {
  try {
    return parse(text);
  } catch {
    return text;
  }
}

/** As many lines as the text has; where the browser does not do it by itself. */
export function grow(element) {
  if (element.matches(".grows") && !CSS.supports("field-sizing", "content")) {
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight + 2}px`;
  }
}

/** Show a value in its field; undefined puts back what was there at first. */
export function write(field, value) {
  const element = document.getElementById(field.id);
  const given = value === undefined && field.has_default ? field.default : value;
  if (field.kind === "check") {
    element.checked = Boolean(given);
  } else if (field.kind === "several") {
    const chosen = new Set((Array.isArray(given) ? given : []).map((each) => stringify(each)));
    element.querySelectorAll("input").forEach((each) => (each.checked = chosen.has(stringify(parse(each.value)))));
  } else if (field.kind === "choice" || field.kind === "answer") {
    const same = [...element.options].find((each) => each.value && same_value(parse(each.value), given));
    element.value = same ? same.value : "";
  } else if (given === undefined || given === null) {
    element.value = "";
  } else {
    element.value = typeof given === "string" ? given : stringify(given);
  }
  grow(element);
  const slider = document.querySelector(`[data-slider="${field.id}"]`);
  if (slider && given !== undefined) {
    slider.value = given;
  }
}

/** A kept value as its field takes it: what came by a form is text, whatever it means. */
export function restored(field, value) {
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) {
    // A list within a form: as JSON, or its elements one by one.
    return value.length === 1 && value[0].startsWith("[") ? restored(field, value[0]) : value.map((each) => (field.type === "string" ? each : readAny(each)));
  }
  if (typeof value !== "string" || ["text", "area", "any", "password", "date"].includes(field.kind) || field.choices.includes(value)) {
    return value;
  }
  return readAny(value);
}

export function same_value(one, other) {
  return stringify(one) === stringify(other);
}

/** Whether the module would take this value by itself. */
export function isDefault(field, value) {
  return field.has_default && same_value(field.default, value);
}
