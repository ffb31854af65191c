"use strict";
// The response browser. Everything that a model wrote is put in as text, never as markup.
(() => {
  const source = document.getElementById("response-index");
  const started = performance.now();
  const $ = (id) => document.getElementById(id);
  const PAGE = 200;
  const SIGNS = { correct: "✓", incorrect: "✗", no_answer: "∅", unparsed: "?", timeout: "⧖", error: "!" };

  $("theme").addEventListener("click", () => window.switchTheme());
  $("help").addEventListener("click", () => $("keys").showModal());

  const unpack = async (element) => {
    const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const make = (tag, name, ...children) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...children);
    return element;
  };

  let move = () => {}, swap = () => {}, toggleMath = () => {};
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    const keys = {
      j: () => move(1), k: () => move(-1), m: () => toggleMath(), s: () => swap(),
      t: () => window.switchTheme(), "?": () => $("keys").showModal(),
      "/": () => { const box = document.querySelector("[name=search]"); if (box) { box.focus(); box.select(); } },
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });

  const links = [...document.querySelectorAll(".top nav a")];
  const inView = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const link of links) link.toggleAttribute("aria-current", link.hash === `#${entry.target.id}`);
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const section of document.querySelectorAll("main > section")) inView.observe(section);

  const ready = () => {
    document.documentElement.dataset.readyMilliseconds = performance.now().toFixed(0);
    document.documentElement.dataset.ready = "true";
  };
  if (!source) { ready(); return; }

  const open = async () => {
    const index = await unpack(source);
    const { problem, cell, sample, status, tokens, truncated, loop } = index.columns;
    const size = problem.length;
    const names = index.models.map((model, i) => `${model} · ${index.templates[i]}`);
    const form = $("filters");
    const field = Object.fromEntries([...form.elements].filter((each) => each.name).map((each) => [each.name, each]));
    const correct = index.statuses.indexOf("correct");
    const chunks = new Map();
    let rows = [], pairs = null, shown = 0, at = -1, rendered = true, textHits = null, ticket = 0, search = 0;

    const options = (select, first, labels) => {
      select.replaceChildren(new Option(first, ""), ...labels.map((label, i) => new Option(label, String(i))));
    };
    options(field.benchmark, "all", index.benchmarks);
    options(field.left, "all", names);
    options(field.right, "nothing", names);
    options(field.status, "any", index.statuses.map((name) => name.replace("_", " ")));
    if (!truncated.some(Boolean)) field.truncated.closest("label").hidden = true;
    if (!loop || !loop.some(Boolean)) field.loop.closest("label").hidden = true;

    // (cell, problem, sample) -> row, for the other side of a pair
    const key = (c, p, s) => `${c}/${p}/${s}`;
    let places = null;
    const placeOf = (c, p, s) => {
      if (!places) {
        places = new Map();
        for (let row = 0; row < size; row += 1) places.set(key(cell[row], problem[row], sample[row]), row);
      }
      return places.get(key(c, p, s));
    };

    const chunkOf = (row) => {
      let low = 0, high = index.starts.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (index.starts[middle] <= row) low = middle; else high = middle - 1;
      }
      return low;
    };
    const chunkAt = (number) => {
      if (!chunks.has(number)) {
        if (chunks.size > 12) chunks.delete(chunks.keys().next().value);
        chunks.set(number, unpack($(`texts-${number}`)));
      }
      return chunks.get(number);
    };
    const textsOf = async (row) => {
      if (!index.starts.length) return null;
      const number = chunkOf(row);
      const chunk = await chunkAt(number);
      const found = chunk.rows[row - index.starts[number]];
      return { ...found, prompt: found.prompt === null ? null : chunk.prompts[found.prompt], problem: chunk.problems[index.problems[problem[row]]] };
    };

    const transition = (a, b) => {
      const before = status[a] === correct, after = status[b] === correct;
      if (before) return after ? "kept" : "broken";
      return after ? "fixed" : "missed";
    };

    const filter = () => {
      const wanted = Object.fromEntries(Object.entries(field).map(([name, each]) => [name, each.value]));
      const isPair = wanted.right !== "" && wanted.left !== "" && wanted.right !== wanted.left;
      field.right.disabled = wanted.left === "";
      field.transition.disabled = !isPair;
      const needle = wanted.search.trim().toLowerCase();
      rows = []; pairs = isPair ? [] : null;
      for (let row = 0; row < size; row += 1) {
        if (wanted.benchmark !== "" && index.problem_benchmarks[problem[row]] !== Number(wanted.benchmark)) continue;
        if (wanted.left !== "" && cell[row] !== Number(wanted.left)) continue;
        if (wanted.status !== "" && status[row] !== Number(wanted.status)) continue;
        if (wanted.truncated !== "" && truncated[row] !== Number(wanted.truncated)) continue;
        if (wanted.loop !== "" && loop && loop[row] !== Number(wanted.loop)) continue;
        if (needle && textHits === null && !index.problems[problem[row]].toLowerCase().includes(needle)) continue;
        if (textHits !== null && !textHits.has(row)) continue;
        if (isPair) {
          const other = placeOf(Number(wanted.right), problem[row], sample[row]);
          if (other === undefined) continue;
          if (wanted.transition && transition(row, other) !== wanted.transition) continue;
          pairs.push(other);
        }
        rows.push(row);
      }
      const what = pairs ? "pairs" : "responses";
      const all = index.total > size ? ` (this file holds ${size.toLocaleString("en")} of ${index.total.toLocaleString("en")})` : "";
      $("count").textContent = `${rows.length.toLocaleString("en")} ${what}${textHits ? ` with “${wanted.search.trim()}” in their texts` : ""}${all}`;
      shown = 0;
      $("list").replaceChildren();
      more();
      select(rows.length ? 0 : -1, false);
    };

    const sign = (row) => {
      const name = index.statuses[status[row]];
      const element = make("span", `sign is-${name}`, SIGNS[name] ?? "·");
      element.title = name.replace("_", " ");
      element.setAttribute("aria-label", name.replace("_", " "));
      return element;
    };
    const length = (row) => tokens[row] === null ? "?" : tokens[row].toLocaleString("en");
    const flags = (row) => `${truncated[row] ? " ✂" : ""}${loop && loop[row] ? " ↻" : ""}`;

    const item = (place) => {
      const row = rows[place];
      const button = make("button", "item");
      button.type = "button"; button.tabIndex = -1; button.dataset.place = place; button.id = `item-${place}`;
      button.setAttribute("role", "option");
      const signs = make("span", "", sign(row));
      let sizes = length(row) + flags(row);
      if (pairs) { signs.append(" ", sign(pairs[place])); sizes += ` → ${length(pairs[place])}${flags(pairs[place])}`; }
      button.append(signs, make("span", "", index.problems[problem[row]]), make("span", "size", sizes));
      const who = [];
      if (field.left.value === "") who.push(names[cell[row]]);
      if (sample[row] > 0) who.push(`sample ${sample[row]}`);
      if (who.length) button.append(make("span", "who", who.join(" · ")));
      return button;
    };
    const more = () => {
      $("list").querySelector(".more")?.remove();
      const until = Math.min(rows.length, shown + PAGE);
      const added = document.createDocumentFragment();
      for (; shown < until; shown += 1) added.append(item(shown));
      if (shown < rows.length) {
        const button = make("button", "more", `${(rows.length - shown).toLocaleString("en")} more`);
        button.type = "button"; button.tabIndex = -1;
        button.addEventListener("click", more);
        added.append(button);
      }
      $("list").append(added);
    };

    const fact = (list, name, ...values) => { list.append(make("dt", "", name), make("dd", "", ...values)); };

    const side = (row, texts) => {
      const box = make("section", "box");
      const name = index.statuses[status[row]];
      const head = make("p", "", make("strong", "", names[cell[row]]), make("br"), make("span", `chip is-${name}`, `${SIGNS[name]} ${name.replace("_", " ")}`));
      if (truncated[row]) head.append(" ", make("span", "chip cut", "✂ truncated"));
      if (loop && loop[row]) head.append(" ", make("span", "chip cut", "↻ repetition loop"));
      box.append(head);
      const facts = make("dl", "facts");
      fact(facts, "length", `${length(row)} tokens, sample ${sample[row]}`);
      if (texts) {
        const answer = make("code", "", texts.extracted ?? "none");
        fact(facts, "extracted", answer, texts.extraction ? ` (${texts.extraction})` : "");
        fact(facts, "gold", make("code", "", texts.gold ?? "none"));
        fact(facts, "verdict", `${texts.reason ?? ""}${texts.method ? ` (decided by ${texts.method})` : ""}`);
        if (texts.finish_reason) fact(facts, "ended by", texts.stop_reason ? `${texts.finish_reason}: ${texts.stop_reason}` : texts.finish_reason);
        if (texts.error) fact(facts, "error", texts.error);
      }
      box.append(facts);
      if (texts) {
        if (texts.prompt !== null) {
          box.append(make("details", "", make("summary", "", "prompt"), make("pre", "", texts.prompt)));
        }
        const said = make("div", "said");
        said.lang = "en";
        window.writeMath(said, texts.response, rendered);
        box.append(said);
      }
      return box;
    };

    const select = async (place, scroll = true) => {
      at = place;
      const list = $("list"), detail = $("detail");
      list.querySelector("[aria-selected=true]")?.removeAttribute("aria-selected");
      if (place < 0) { list.removeAttribute("aria-activedescendant"); detail.replaceChildren(make("p", "note", "No response passes these filters.")); return; }
      while (place >= shown) more();
      const button = list.children[place];
      button.setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", button.id);
      if (scroll) {
        const top = button.offsetTop - list.offsetTop;
        if (top < list.scrollTop || top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
      }
      const mine = (ticket += 1);
      const both = pairs ? [rows[place], pairs[place]] : [rows[place]];
      const texts = await Promise.all(both.map(textsOf));
      if (mine !== ticket) return;
      const row = both[0], id = index.problems[problem[row]];
      const buttons = make("span", "tools");
      for (const [text, label, work] of [["‹", "Previous (k)", () => move(-1)], ["›", "Next (j)", () => move(1)], [rendered ? "as written" : "rendered", "Mathematics rendered or as written (m)", () => toggleMath()]]) {
        const control = make("button", "", text);
        control.type = "button"; control.title = label; control.setAttribute("aria-label", label);
        control.addEventListener("click", work);
        buttons.append(control);
      }
      const asked = make("section", "box");
      asked.append(make("header", "", make("h3", "", id), buttons));
      if (texts[0]) {
        const about = texts[0].problem, text = make("div", "asked");
        window.writeMath(text, about.text, rendered);
        const facts = make("dl", "facts");
        fact(facts, "gold", make("code", "", about.golds.join("  or  ")));
        if (about.corrected !== null) fact(facts, "corrected", make("code", "", about.corrected.join("  or  ") || "there is no answer"), ` ${about.erratum}`);
        asked.append(text, facts);
      } else asked.append(make("p", "note", "This file was made without texts; `evalharness show` has them."));
      detail.classList.toggle("raw", !rendered);
      detail.replaceChildren(asked, make("div", "sides", ...both.map((each, i) => side(each, texts[i]))));
      const hash = `#r=${encodeURIComponent(id)}&a=${cell[row]}&s=${sample[row]}${pairs ? `&b=${cell[both[1]]}` : ""}`;
      if (scroll) history.replaceState(null, "", hash);
    };

    move = (step) => { if (rows.length) select(Math.max(0, Math.min(rows.length - 1, at + step))); };
    toggleMath = () => { rendered = !rendered; select(at, false); };
    swap = () => {
      if (!pairs) return;
      [field.left.value, field.right.value] = [field.right.value, field.left.value];
      filter();
    };

    const unsearch = () => { search += 1; textHits = null; filter(); };

    const searchTexts = async () => {
      const needle = field.search.value.trim().toLowerCase(), mine = (search += 1);
      if (!needle || !index.starts.length) { textHits = null; filter(); return; }
      const hits = new Set();
      for (let number = 0; number < index.starts.length; number += 1) {
        $("count").textContent = `searching, ${Math.round(100 * number / index.starts.length)}%`;
        const chunk = await unpack($(`texts-${number}`));
        if (mine !== search) return;
        const asked = new Set(Object.entries(chunk.problems).filter(([, each]) => each.text.toLowerCase().includes(needle)).map(([id]) => id));
        chunk.rows.forEach((each, offset) => {
          const row = index.starts[number] + offset;
          const id = index.problems[problem[row]];
          if (asked.has(id) || id.toLowerCase().includes(needle) || each.response.toLowerCase().includes(needle)) hits.add(row);
        });
      }
      textHits = hits;
      filter();
    };

    const goTo = () => {
      const found = new URLSearchParams(location.hash.slice(1));
      if (!found.has("r")) return false;
      field.left.value = found.get("a") ?? "";
      field.right.value = found.get("b") ?? "";
      for (const name of ["benchmark", "status", "transition", "truncated", "loop", "search"]) field[name].value = "";
      unsearch();
      const wanted = Number(found.get("s") ?? 0);
      const place = rows.findIndex((row) => index.problems[problem[row]] === found.get("r") && sample[row] === wanted);
      if (place >= 0) { select(place); $("responses").scrollIntoView(); }
      return true;
    };

    form.addEventListener("change", (event) => { if (event.target.name !== "search") filter(); });
    form.addEventListener("input", (event) => { if (event.target.name === "search") unsearch(); });
    form.addEventListener("submit", (event) => { event.preventDefault(); searchTexts(); });
    form.addEventListener("reset", () => setTimeout(unsearch));
    $("list").addEventListener("click", (event) => {
      const button = event.target.closest(".item");
      if (button) select(Number(button.dataset.place));
    });
    $("list").addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); move(step); }
    });
    addEventListener("hashchange", goTo);
    if (!goTo()) filter();
    document.documentElement.dataset.browserMilliseconds = (performance.now() - started).toFixed(0);
  };
  open().then(ready);
})();
