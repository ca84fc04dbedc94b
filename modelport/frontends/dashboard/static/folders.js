// Files that are dropped, with those inside folders.

/** [{file, path}]: path is below what was dropped. The entries must be taken while the event lasts. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map((entry) => walk(entry, "")))).flat();
}

export function hasFolder(transfer) {
  return [...transfer.items].some((item) => item.webkitGetAsEntry()?.isDirectory);
}

async function walk(entry, above) {
  const path = above + entry.name;
  if (entry.isFile) {
    return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path }];
  }
  const reader = entry.createReader();
  const found = [];
  // A reader gives some entries at a time, and none at the end.
  for (let some = await read(reader); some.length; some = await read(reader)) {
    found.push(...some);
  }
  return (await Promise.all(found.map((each) => walk(each, `${path}/`)))).flat();
}

function read(reader) {
  return new Promise((resolve, reject) => reader.readEntries(resolve, reject));
}
