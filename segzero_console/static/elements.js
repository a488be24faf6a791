// Makes elements. Text is set as text, never as HTML.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element.
 *
 * @param tag Its tag, with classes after dots: "li.goal".
 * @param attributes Attributes; functions are listeners ("onclick"), true is an empty attribute,
 *   false and undefined are left out.
 * @param children Elements, or text.
 */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A text of somebody else's, in its own direction. */
export const foreign = (text) => element("bdi", {}, text);

/** The patch of a goal's colour. */
export function swatch(css) {
  const made = element("span.swatch", { "aria-hidden": "true" });
  made.style.setProperty("--goal", css);
  return made;
}

/** Seconds for people. */
export const seconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} s`;

/** The name of a goal; that of the unnamed one is "default". */
export const nameOf = (goal) => goal || "default";
