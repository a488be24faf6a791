// Dark, light, or as the system has it.

import { read, write } from "./memory.js";

const NAMES = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

/** Make a button that changes the theme. */
export function startTheme(button) {
  let theme = NAMES.includes(read("theme", "system")) ? read("theme", "system") : "system";
  const show = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = SIGNS[theme];
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.title = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = NAMES[(NAMES.indexOf(theme) + 1) % NAMES.length];
    write("theme", theme);
    show();
  });
  show();
}
