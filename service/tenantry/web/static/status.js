// Keeps the status page up to date. The server renders; this asks the API whether there is news
// (mostly a 304), then fetches the page again and takes over what differs, in place.
"use strict";

(() => {
  const main = document.querySelector("[data-poll]");
  const offline = document.getElementById("offline");
  const token = location.pathname.split("/").pop();
  const HIDDEN = 15; // seconds between two looks while nobody looks
  const PATIENCE = 15; // seconds at most between two tries while the server is away

  let etag = "";
  let failures = 0;
  let timer = 0;
  let ahead = 0; // milliseconds that the server's clock is ahead of ours

  const pad = (number) => String(number).padStart(2, "0");
  const format = (options) => (date) => new Intl.DateTimeFormat("en-GB", options).format(date);
  const day = { day: "numeric", month: "long", year: "numeric" };
  const FORMATS = {
    clock: (date) => [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":"),
    "day-clock": format({ ...day, hour: "2-digit", minute: "2-digit" }),
  };

  function duration(milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  }

  // Everything that depends on the reader: zone and clock.
  function localize(root) {
    for (const time of root.querySelectorAll("time[data-format]")) {
      time.textContent = FORMATS[time.dataset.format](new Date(time.dateTime));
    }
    tick(root);
  }

  function tick(root) {
    const now = Date.now() + ahead;
    for (const running of root.querySelectorAll("[data-since]")) {
      running.textContent = duration(now - new Date(running.dataset.since));
    }
  }

  // Makes `old` equal to `fresh` and touches only what differs, so that nothing flickers, focus
  // stays, and what is announced is what changed.
  function morph(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(document.importNode(fresh, true));
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const before = [...old.childNodes];
    const after = [...fresh.childNodes];
    before.slice(after.length).forEach((node) => node.remove());
    after.forEach((node, index) => {
      if (before[index]) morph(before[index], node);
      else old.append(document.importNode(node, true));
    });
  }

  async function refresh() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-poll]");
    ahead = new Date(fresh.dataset.now) - Date.now();
    localize(fresh);
    morph(main, fresh);
    document.title = page.title;
  }

  // Seconds until the next look.
  async function look() {
    const headers = { Accept: "application/json", Authorization: `Bearer ${token}` };
    if (etag) headers["If-None-Match"] = etag;
    const answer = await fetch(main.dataset.poll, { headers, cache: "no-store" });
    if (answer.status === 404) {
      location.reload(); // the link has ended; the server says it best
      return PATIENCE;
    }
    if (answer.status === 200) {
      await refresh();
      etag = answer.headers.get("ETag");
    } else if (answer.status !== 304) {
      throw new Error(`status ${answer.status}`);
    }
    return Number(answer.headers.get("Retry-After")) || 1;
  }

  async function poll() {
    clearTimeout(timer);
    let seconds;
    try {
      seconds = await look();
      failures = 0;
      offline.textContent = "";
    } catch {
      failures += 1;
      seconds = Math.min(2 ** failures, PATIENCE);
      if (failures > 1) offline.textContent = "The connection was lost. Trying again…";
    }
    clearTimeout(timer);
    timer = setTimeout(poll, 1000 * (document.hidden ? Math.max(seconds, HIDDEN) : seconds));
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });
  ahead = new Date(main.dataset.now) - Date.now();
  localize(main);
  setInterval(() => tick(main), 1000);
  poll();
})();
