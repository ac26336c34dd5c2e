// A password can be looked at while it is typed.
"use strict";

for (const box of document.querySelectorAll(".with-toggle")) {
  const password = box.querySelector("input");
  const toggle = document.createElement("button");
  toggle.type = "button";
  toggle.className = "toggle";
  toggle.setAttribute("aria-controls", password.id);
  const show = (visible) => {
    password.type = visible ? "text" : "password";
    toggle.textContent = visible ? "Hide" : "Show";
    toggle.setAttribute("aria-label", visible ? "Hide password" : "Show password");
  };
  toggle.addEventListener("click", () => show(password.type === "password"));
  // browsers offer to save what is in a password field
  password.form.addEventListener("submit", () => show(false));
  box.append(toggle);
  show(false);
}
