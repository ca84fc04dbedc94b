// Drawings.

const SVG = "http://www.w3.org/2000/svg";

/** An element: drawn("path", { d: "M0 0" }, child). Many children: as a list, for arguments lie on the stack. */
export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  children.flat().forEach((child) => made.append(child));
  return made;
}

// Far apart for most eyes, and seen on light and dark.
export const COLOURS = ["#0b84a5", "#d1495b", "#6a994e", "#8e5bc2", "#e08e0b", "#00897b", "#b5446e", "#3f6fd9", "#7a6a00", "#5f6b76"];
