// Light, dark, or as the system has it; remembered on this device.

const KEY = "tenfold-theme";
const ORDER = ["system", "light", "dark"];

export function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

/** The theme in force: system, light or dark. */
export function theme() {
  const kept = localStorage.getItem(KEY);
  return ORDER.includes(kept) ? kept : "system";
}

/** The next theme, applied and remembered. */
export function nextTheme() {
  const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  localStorage.setItem(KEY, next);
  applyTheme();
  return next;
}
