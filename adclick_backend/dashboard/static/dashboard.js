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

// Somebody who has just followed a link must not be brought back here.
let leaving = false;
addEventListener("beforeunload", () => {
  leaving = true;
});
addEventListener("pageshow", () => {
  leaving = false;
});
const reload = () => {
  if (!leaving) {
    location.reload();
  }
};

// Show work in progress as it goes on, but never take a form away from somebody who is using it.
const main = document.getElementById("main");
if (main.dataset.reload) {
  setInterval(() => {
    const files = document.getElementById("images");
    const idle = !document.activeElement || document.activeElement === document.body;
    if (idle && !(files && files.files.length)) {
      reload();
    }
  }, Number(main.dataset.reload));
}

// Follow a job: each part that has changed is replaced, so that focus, selection and scrolling stay where they are.
for (const live of document.querySelectorAll("[data-live]")) {
  const timer = setInterval(async () => {
    if (document.hidden) {
      return;
    }
    const answer = await fetch(live.dataset.live).catch(() => null); // the server may be starting again
    if (!answer || !answer.ok) {
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (fresh.querySelector("[data-ended]")) {
      clearInterval(timer);
      reload();
      return;
    }
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const shown = live.querySelector(`[data-part="${part.dataset.part}"]`);
      if (shown.innerHTML !== part.innerHTML) {
        shown.innerHTML = part.innerHTML;
      }
    }
  }, 1500);
}
