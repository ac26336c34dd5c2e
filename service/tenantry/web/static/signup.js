// The signup form works without this. With it: the time zone is known, the password can be looked
// at, and a second click does not sign up twice.
"use strict";

(() => {
  const form = document.querySelector("[data-signup]");

  const zone = form.querySelector('input[type="hidden"][name="time_zone"]');
  if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";

  const password = form.querySelector("#password");
  const toggle = document.createElement("button");
  toggle.type = "button";
  toggle.className = "toggle";
  toggle.setAttribute("aria-controls", "password");
  const show = (visible) => {
    password.type = visible ? "text" : "password";
    toggle.textContent = visible ? "Hide" : "Show";
    toggle.setAttribute("aria-label", visible ? "Hide password" : "Show password");
  };
  toggle.addEventListener("click", () => show(password.type === "password"));
  const box = document.createElement("div");
  box.className = "with-toggle";
  password.replaceWith(box);
  box.append(password, toggle);
  show(false);

  const submit = form.querySelector('button[type="submit"]');
  const label = submit.textContent;
  const wait = (waiting) => {
    submit.disabled = waiting;
    submit.textContent = waiting ? "Creating your instance…" : label;
  };
  form.addEventListener("submit", () => {
    show(false); // browsers offer to save what is in a password field
    wait(true);
  });
  window.addEventListener("pageshow", () => wait(false)); // back from the status page
})();
