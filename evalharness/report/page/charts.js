"use strict";
// Draws the charts: those in view first, the others when the browser has time.
(() => {
  const specs = JSON.parse(document.getElementById("chart-specs").textContent);
  const places = [...document.querySelectorAll(".chart")];
  const drawn = new Map();

  const NARROW = 480;

  // On a phone a legend has one column, whatever the chart would like.
  const fitted = (spec, width) => width < NARROW
    ? JSON.parse(JSON.stringify(spec), (name, value) => (name === "columns" ? 1 : value))
    : spec;

  const config = (width) => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const text = { labelColor: color("--text"), titleColor: color("--quiet") };
    return {
      background: "transparent",
      font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
      view: { stroke: null },
      axis: {
        ...text, gridColor: color("--line"), domainColor: color("--line"), tickColor: color("--line"),
        labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelLimit: Math.min(260, 0.5 * width),
      },
      axisX: width < NARROW ? { titleAnchor: "end" } : {},
      legend: { ...text, labelFontSize: 12, labelLimit: Math.max(120, width - 60), symbolStrokeWidth: 3 },
      rule: { color: color("--text") },
      point: { color: color("--accent") },
      line: { color: color("--accent") },
      range: { category: { scheme: "tableau10" } },
    };
  };

  const draw = async (place) => {
    if (drawn.has(place)) return;
    drawn.set(place, null);
    const spec = fitted(specs[Number(place.dataset.chart)], place.clientWidth);
    // ast: expressions are interpreted, so that the page needs no eval.
    const result = await vegaEmbed(place, { ...spec, config: config(place.clientWidth) }, {
      mode: "vega-lite", renderer: "svg", ast: true,
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: place.dataset.name,
    });
    drawn.set(place, result);
  };

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { observer.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "400px" });
  for (const place of places) observer.observe(place);

  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
  const drawRest = () => idle(async () => {
    const next = places.find((place) => !drawn.has(place));
    if (next) { await draw(next); drawRest(); } else document.documentElement.dataset.charts = "drawn";
  });
  addEventListener("load", drawRest);

  // Nobody can open what is folded on paper.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("main section > details")) folded.open = true;
  });

  document.addEventListener("theme", () => {
    const again = places.filter((place) => drawn.get(place));
    for (const place of again) { drawn.get(place).finalize(); drawn.delete(place); place.replaceChildren(); }
    for (const place of again) draw(place);
  });
})();
