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
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("evalharness-theme", chosen); } catch { /* the same */ }
    apply();
  };
  apply();
})();
