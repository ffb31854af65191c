"use strict";
// In the head: the theme is known before anything is painted.
(() => {
  const wanted = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("evalharness-theme"); } catch { /* a file:// page may have no storage */ }
  const apply = () => {
    document.documentElement.dataset.theme = chosen ?? (wanted.matches ? "dark" : "light");
    document.dispatchEvent(new Event("theme"));
  };
  wanted.addEventListener("change", apply);
  window.switchTheme = () => {
    const system = wanted.matches ? "dark" : "light";
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    chosen = next === system ? null : next;  // the system's own choice is followed again
    try {
      if (chosen) localStorage.setItem("evalharness-theme", chosen);
      else localStorage.removeItem("evalharness-theme");
    } catch { /* the same */ }
    apply();
  };
  apply();
})();
