"use strict";
// Text with mathematics in it, as DOM nodes: text stays text, only formulas become MathML.
window.writeMath = (() => {
  const OPENERS = /\$\$|\\\[|\\\(|\$|\\begin\{(equation|align|gather|multline|alignat|eqnarray)(\*?)\}|\\boxed\s*\{/g;
  const MOST_LETTERS = 4000;
  const BUDGET_MILLISECONDS = 400;

  const closing = (text, from, close) => {
    for (let at = from; at < text.length; at += 1) {
      if (text.startsWith(close, at)) return at;
      if (text[at] === "\\") at += 1;
    }
    return -1;
  };

  const braceEnd = (text, from) => {
    let depth = 0;
    for (let at = from; at < text.length && at - from < MOST_LETTERS; at += 1) {
      if (text[at] === "\\") at += 1;
      else if (text[at] === "{") depth += 1;
      else if (text[at] === "}" && (depth -= 1) === 0) return at;
    }
    return -1;
  };

  // Pieces {text} or {tex, display, raw}; a delimiter without its partner is text.
  const pieces = (text) => {
    const found = [];
    let start = 0;
    OPENERS.lastIndex = 0;
    for (let match = OPENERS.exec(text); match; match = OPENERS.exec(text)) {
      const open = match[0], at = match.index, inside = at + open.length;
      let end = -1, tex = "", display = false, after = 0;
      if (at > 0 && text[at - 1] === "\\" && open[0] === "$") continue;
      if (open === "$$" || open === "\\[" || open === "\\(" || open === "$") {
        const close = { "$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$" }[open];
        end = closing(text, inside, close);
        if (end < 0 || end - inside > MOST_LETTERS || end === inside) continue;
        tex = text.slice(inside, end);
        // A price is no formula: "$5 and $7".
        if (open === "$" && (/\n\s*\n/.test(tex) || /^\s|\s$/.test(tex) && !/[\\^_=]/.test(tex))) continue;
        display = open === "$$" || open === "\\[";
        after = end + close.length;
      } else if (open.startsWith("\\begin")) {
        const close = `\\end{${match[1]}${match[2]}}`;
        end = text.indexOf(close, inside);
        if (end < 0 || end - inside > MOST_LETTERS) continue;
        after = end + close.length;
        tex = text.slice(at, after);
        display = true;
      } else {
        end = braceEnd(text, inside - 1);
        if (end < 0) continue;
        after = end + 1;
        tex = text.slice(at, after);
      }
      if (at > start) found.push({ text: text.slice(start, at) });
      found.push({ tex, display, raw: text.slice(at, after) });
      start = after;
      OPENERS.lastIndex = after;
    }
    if (start < text.length) found.push({ text: text.slice(start) });
    return found;
  };

  const formula = (piece) => {
    const span = document.createElement("span");
    if (piece.display) span.className = "display";
    try {
      temml.render(piece.tex, span, {
        displayMode: piece.display, throwOnError: true, trust: false, strict: false,
        maxExpand: 200, maxSize: [20, 40], annotate: false,
      });
    } catch {
      span.textContent = piece.raw;
      span.className = "problem-tex";
      span.title = "not readable as LaTeX: shown as written";
    }
    return span;
  };

  return (element, text, rendered) => {
    element.replaceChildren();
    if (!rendered) { element.append(text); return; }
    const began = performance.now();
    let left = 0;
    for (const piece of pieces(text)) {
      if (piece.text !== undefined) element.append(piece.text);
      else if (performance.now() - began < BUDGET_MILLISECONDS) element.append(formula(piece));
      else { element.append(piece.raw); left += 1; }
    }
    if (left) {
      const note = document.createElement("p");
      note.className = "note";
      note.textContent = `The last ${left} formulas are shown as written: this response has too many.`;
      element.append(note);
    }
  };
})();
