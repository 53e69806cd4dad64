"use strict";

// Copy buttons. The clipboard API is missing on plain http from another machine, where this page is mostly used.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => {
    const field = document.getElementById(button.dataset.copy);
    field.focus();
    field.select();
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  });
}

// Show work in progress as it goes on, but never take a form away from somebody who is using it.
const main = document.getElementById("main");
if (main.dataset.reload) {
  setInterval(() => {
    const files = document.getElementById("images");
    const idle = !document.activeElement || document.activeElement === document.body;
    if (idle && !(files && files.files.length)) {
      location.reload();
    }
  }, Number(main.dataset.reload));
}
