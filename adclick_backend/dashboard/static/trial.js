"use strict";

// An image that is dropped anywhere on the form is sent.
for (const form of document.querySelectorAll("[data-drop]")) {
  const field = form.querySelector("input[type=file]");
  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.add("drop");
    });
  }
  form.addEventListener("dragleave", () => form.classList.remove("drop"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("drop");
    if (event.dataTransfer.files.length) {
      field.files = event.dataTransfer.files;
      form.requestSubmit();
    }
  });
}

// The threshold: the map comes once, and every mask is cut from it here.
const loaded = (address) =>
  new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = address;
  });

const pixelsOf = (image) => {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
};

const HIDES = 0.35; // as much of a mask as in the pictures that the server draws

for (const figure of document.querySelectorAll("[data-threshold]")) {
  Promise.all([loaded(figure.dataset.image), loaded(figure.dataset.map)]).then(([image, map]) => {
    const plain = pixelsOf(image);
    const grey = pixelsOf(map).data;
    const { width, height } = plain;
    const slider = document.getElementById("threshold");
    const said = document.querySelector("[data-share]");
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.setAttribute("role", "img");
    const context = canvas.getContext("2d");
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--type-0").trim();
    const tint = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

    const draw = () => {
      const least = Math.ceil((255 * Number(slider.value)) / 100);
      const shown = new ImageData(new Uint8ClampedArray(plain.data), width, height);
      const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && grey[4 * (y * width + x)] >= least;
      let marked = 0;
      for (let y = 0; y < height; y += 1) {
        for (let x = 0; x < width; x += 1) {
          if (!inside(x, y)) {
            continue;
          }
          marked += 1;
          const edge = !inside(x - 1, y) || !inside(x + 1, y) || !inside(x, y - 1) || !inside(x, y + 1);
          const hides = edge ? 1 : HIDES;
          const at = 4 * (y * width + x);
          for (let channel = 0; channel < 3; channel += 1) {
            shown.data[at + channel] = (1 - hides) * plain.data[at + channel] + hides * tint[channel];
          }
        }
      }
      context.putImageData(shown, 0, 0);
      const words = `${((100 * marked) / (width * height)).toFixed(2)} % of the image is marked.`;
      said.textContent = words;
      canvas.setAttribute("aria-label", `What has at least ${slider.value} % probability: ${words}`);
      document.querySelector("output[for=threshold]").textContent = `${slider.value} %`;
    };

    slider.addEventListener("input", draw);
    slider.form.addEventListener("submit", (event) => event.preventDefault());
    slider.form.querySelector("[data-without-script]").hidden = true;
    draw();
    figure.replaceChildren(canvas);
  }, () => undefined); // the picture that the server drew stays
}

// Looking takes a second or more, and longer while a training runs.
for (const form of document.querySelectorAll("[data-looks]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button[type=submit]:not([name])");
    if (button) {
      button.textContent = "Looking \u2026";
    }
    form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload(); // brought back by the browser as it was left
  }
});
