"use strict";

// Somebody who looks elsewhere hears that a job is over: by the tab's title and icon, and by a notification if allowed.
{
  const { jobs, icons } = document.currentScript.dataset;
  const icon = document.querySelector("link[rel=icon]");
  const plain = { title: document.title, icon: icon.href };
  const BUSY_S = 4;
  const IDLE_S = 30;
  const MARKS = { done: "\u2713", failed: "\u2717" };
  let ended = null; // the last job that was over when this page first asked
  let announced = false;

  const show = (title, variant) => {
    document.title = title ? `${title} \u00b7 ${plain.title}` : plain.title;
    const address = variant ? `${icons}-${variant}.svg` : plain.icon;
    if (icon.getAttribute("href") !== address) {
      icon.setAttribute("href", address);
    }
  };

  const seen = () => {
    if (announced && !document.hidden) {
      announced = false;
      show("", "");
    }
  };
  for (const kind of ["visibilitychange", "focus", "pointerdown", "keydown"]) {
    addEventListener(kind, seen, true);
  }

  const announce = (job) => {
    const words = `${job.kind} ${job.state}`;
    announced = true;
    show(`${MARKS[job.state]} ${words}`, job.state);
    if ("Notification" in window && Notification.permission === "granted" && document.hidden) {
      const notice = new Notification(words, { body: job.message, tag: `adclick-${job.page}` });
      notice.onclick = () => {
        focus();
        location.assign(job.page);
      };
    }
    // Where the job itself is on the page, it says so there.
    if (!document.hidden && !document.querySelector(`[data-live="${job.page}/live"]`)) {
      const line = document.createElement("p");
      const link = document.createElement("a");
      line.className = "notice";
      line.setAttribute("role", "status");
      link.href = job.page;
      link.textContent = `${words}.`;
      line.append(link, ` ${job.message}`);
      document.getElementById("main").prepend(line);
    }
  };

  const look = async () => {
    let wait = IDLE_S;
    const answer = await fetch(jobs).catch(() => null); // the server may be starting again
    if (answer && answer.ok) {
      const state = await answer.json();
      const last = state.ended ? state.ended.id : 0;
      if (ended !== null && last !== ended && MARKS[state.ended.state]) {
        announce(state.ended);
      }
      ended = last;
      const [running] = state.active.filter((job) => job.state !== "queued");
      if (running && !announced) {
        show(`${running.percent} % ${running.kind}`, "busy");
      } else if (!running && !announced) {
        show("", "");
      }
      wait = state.active.length ? BUSY_S : IDLE_S;
    } else {
      wait = BUSY_S * 2;
    }
    setTimeout(look, 1000 * wait);
  };
  look();

  const button = document.querySelector("[data-notify]");
  if (button) {
    const said = document.querySelector("[data-notify-said]");
    const say = () => {
      const state = "Notification" in window && isSecureContext ? Notification.permission : "missing";
      button.hidden = state !== "default";
      said.textContent = {
        default: "",
        granted: "This browser notifies you, as long as a page of the dashboard is open.",
        denied: "This browser may not notify you; its settings for this page can change that.",
        missing: "Browsers notify on https and on localhost only; here the title and the icon do.",
      }[state];
    };
    button.addEventListener("click", () => Notification.requestPermission().then(say));
    say();
  }
}
