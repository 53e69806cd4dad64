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

// Where the row of pages is wider than the screen, show the part that says which page this is.
const here = document.querySelector(".tabs [aria-current]");
if (here) {
  const row = here.closest(".tabs");
  row.scrollLeft += here.getBoundingClientRect().left - row.getBoundingClientRect().left - 48;
}

// A list that hangs over the page closes like any other: by Escape, or by a click elsewhere.
for (const list of document.querySelectorAll("details.projects")) {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && list.open) {
      list.open = false;
      list.querySelector("summary").focus();
    }
  });
  addEventListener("click", (event) => {
    if (!list.contains(event.target)) {
      list.open = false;
    }
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
// What a download does is followed from the moment it is asked for, and the page stays.
const follow = (live) => {
  const download = "download" in live.dataset;
  let begun = !download;
  const timer = setInterval(async () => {
    if (document.hidden) {
      return;
    }
    const answer = await fetch(live.dataset.live).catch(() => null); // the server may be starting again
    if (!answer || !answer.ok) {
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const ended = fresh.querySelector("[data-ended]") !== null;
    if (ended && begun) {
      clearInterval(timer);
      if (!download) {
        reload();
        return;
      }
    }
    begun ||= !ended;
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const shown = live.querySelector(`[data-part="${part.dataset.part}"]`);
      if (shown.innerHTML !== part.innerHTML) {
        shown.innerHTML = part.innerHTML;
      }
    }
  }, 1500);
};
for (const live of document.querySelectorAll("[data-live]")) {
  const form = "download" in live.dataset ? live.closest("section").querySelector("form") : null;
  if (form) {
    form.addEventListener("submit", () => follow(live));
  } else {
    follow(live);
  }
}
