"use strict";

// A slider that moves asks for the same page with its new position, and takes over the parts that changed.
const sliders = document.getElementById("sliders");

if (sliders) {
  const PAUSE_MS = 80;
  let number = 0;
  let waiting = null;

  const move = async () => {
    clearTimeout(waiting);
    waiting = null;
    number += 1;
    const mine = number;
    const address = new URL(sliders.action);
    address.search = new URLSearchParams(new FormData(sliders));
    const answer = await fetch(address).catch(() => null); // the server may be starting again
    if (!answer || !answer.ok || mine !== number) {
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh.querySelectorAll("#sliders [data-part], [data-part=save]")) {
      const shown = document.querySelector(`[data-part="${part.dataset.part}"]`);
      if (shown && shown.innerHTML !== part.innerHTML) {
        shown.innerHTML = part.innerHTML;
      }
    }
    for (const slider of fresh.querySelectorAll("#sliders input[type=range]")) {
      const words = slider.getAttribute("aria-valuetext"); // the point, not the number of the step
      document.getElementById(slider.id).setAttribute("aria-valuetext", words);
    }
    history.replaceState(null, "", address);
  };

  for (const button of sliders.querySelectorAll("[data-without-script]")) {
    button.hidden = true;
  }
  sliders.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(move, PAUSE_MS);
  });
  sliders.addEventListener("submit", (event) => {
    event.preventDefault();
    move();
  });
  document.addEventListener("submit", async (event) => {
    if (event.target.id === "save" && waiting) {
      event.preventDefault(); // what is saved is what the sliders show
      await move();
      document.getElementById("save").requestSubmit();
    }
  });
}
