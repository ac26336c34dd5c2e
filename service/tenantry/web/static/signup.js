// The signup form works without this. With it: the time zone is known, a second click does not sign
// up twice, and nobody is asked to send again what was refused.
"use strict";

(() => {
  const form = document.querySelector("[data-signup]");

  // a form that is to be corrected answers what was sent, and Back would send that once more
  history.replaceState(null, "", "/");

  const zone = form.querySelector('input[type="hidden"][name="time_zone"]');
  if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";

  const submit = form.querySelector('button[type="submit"]');
  const label = submit.textContent;
  const wait = (waiting) => {
    submit.disabled = waiting;
    submit.textContent = waiting ? "Creating your instance…" : label;
  };
  form.addEventListener("submit", () => wait(true));
  window.addEventListener("pageshow", () => wait(false)); // back from the status page
})();
