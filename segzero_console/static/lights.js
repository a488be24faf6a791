// The diagnostics: a row of lights, with the text behind each.

import { byId, element, foreign } from "./elements.js";

const SIGNS = { ok: "✓", warn: "!", error: "✕", stale: "?" };
let open = "";
let shown = "";

/** Show the lights. */
export function showLights(lights) {
  const text = JSON.stringify([lights, open]);
  if (text === shown) return;
  shown = text;
  const focused = document.activeElement?.dataset.light;
  const items = lights.map((light) => element("li", {}, button(light, lights)));
  byId("lights").replaceChildren(...items);
  if (focused) byId("lights").querySelector(`[data-light="${CSS.escape(focused)}"]`)?.focus();
  showText(lights);
}

function button(light, lights) {
  const { name, level, text } = light;
  const attributes = {
    type: "button",
    "data-light": name,
    "aria-expanded": String(open === name),
    "aria-controls": "light-text",
    title: text,
    onclick: () => {
      open = open === name ? "" : name;
      showLights(lights);
    },
  };
  const level_ = SIGNS[level] ? level : "stale";
  const sign = element(`span.sign.${level_}`, { "aria-hidden": "true" }, SIGNS[level_]);
  const spoken = element("span.unseen", {}, `: ${level_}`);
  return element(`button.light.${level_}`, attributes, sign, foreign(name), spoken);
}

function showText(lights) {
  const light = lights.find((item) => item.name === open);
  const place = byId("light-text");
  place.hidden = !light;
  place.replaceChildren(...(light ? [foreign(`${light.name}: ${light.text}`)] : []));
}
