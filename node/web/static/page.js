// What htmx does not do: it listens for changes, keeps what was opened open, and says whether the page is live.
(() => {
  "use strict";
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  const words = document.getElementById("live-words");
  const tell = (state, text) => { live.dataset.state = state; words.textContent = text; };
  const source = new EventSource("/live");
  source.onopen = () => tell("on", "live");
  source.onerror = () => tell("off", "not live");
  source.addEventListener("change", () => document.body.dispatchEvent(new CustomEvent("changed")));
  window.addEventListener("pagehide", () => source.close());

  let opened = new Set();
  document.body.addEventListener("htmx:beforeSwap", () => {
    opened = new Set([...document.querySelectorAll("details[open]")].map((one) => one.id));
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  });
})();
