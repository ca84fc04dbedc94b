// A call: how it is sent, and the same for curl.
import { stringify } from "./exact.js";

/** What is sent: a form where there are files, else JSON. */
export function bodyOf(values, files) {
  if (!files.length) {
    return { body: stringify(values), headers: { "Content-Type": "application/json" } };
  }
  const form = new FormData();
  for (const [name, value] of Object.entries(values)) {
    form.append(name, asText(value));
  }
  for (const { name, file } of files) {
    form.append(name, file, file.name);
  }
  return { body: form, headers: {} };
}

function asText(value) {
  return typeof value === "string" ? value : stringify(value);
}

/** The line for a shell; `$TOKEN` stands for the token, which is not shown. */
export function curlLine(url, values, files, token) {
  const parts = ["curl -s"];
  if (token) {
    parts.push('-H "Authorization: Bearer $TOKEN"');
  }
  if (files.length) {
    for (const { name, file } of files) {
      const path = file.path ?? file.name;
      parts.push(`-F ${quoted(`${name}=@${/[",;\\]/.test(path) ? `"${path.replace(/["\\]/g, "\\$&")}"` : path}`)}`);
    }
    for (const [name, value] of Object.entries(values)) {
      // Not -F: it takes a value that begins with @ or < for a file.
      parts.push(`--form-string ${quoted(`${name}=${asText(value)}`)}`);
    }
  } else if (Object.keys(values).length) {
    parts.push("--json", quoted(stringify(values)));
  } else {
    parts.push("-X POST");
  }
  parts.push(quoted(url));
  return parts.join(" ");
}

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What went wrong, from any of the doors' answers: a sentence, and messages by argument. */
export function problemOf(status, document, text) {
  const fields = {};
  const detail = document?.detail;
  if (Array.isArray(detail)) {
    const rest = [];
    for (const row of detail) {
      const [, name, ...inside] = row.loc ?? [];
      const where = inside.length ? `${inside.join(".")}: ` : "";
      if (name === undefined) {
        rest.push(row.msg);
      } else {
        (fields[name] ??= []).push(where + row.msg);
      }
    }
    return { message: rest.join(" ") || "Some values are not valid.", fields };
  }
  if (typeof detail === "string") {
    return { message: detail, fields };
  }
  if (typeof document?.error === "string" && document.fields) {
    return { message: document.message, fields: document.fields };
  }
  if (document && typeof document === "object" && !Array.isArray(document) && status === 422) {
    return { message: "Some values are not valid.", fields: document };
  }
  return { message: document?.message ?? (text.slice(0, 1000) || `The server answers ${status}.`), fields };
}
