// Without this file every link still leads to its page; it only shows records in place and stops videos.
"use strict";

// A record's page inside the dialog goes without the report's header.
if (window.self !== window.top) document.documentElement.classList.add("framed");

const dialog = document.getElementById("provenance");
document.addEventListener("click", (event) => {
  const number = event.target.closest("a.number");
  if (!number || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  dialog.querySelector("iframe").src = number.href;
  document.getElementById("provenance-page").href = number.href;
  dialog.showModal();
});

const videos = [...document.querySelectorAll("img[data-gif]")];
const all = document.getElementById("all-videos");

function play(image, on) {
  image.dataset.playing = on;
  image.src = on ? image.dataset.gif : image.dataset.still;
  image.parentElement.setAttribute("aria-pressed", on);
}

for (const image of videos) {
  const button = document.createElement("button");
  button.className = "video";
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => play(image, image.dataset.playing !== "true"));
  play(image, !matchMedia("(prefers-reduced-motion: reduce)").matches);
}

if (all && videos.length) {
  const moving = () => videos.some((image) => image.dataset.playing === "true");
  const name = () => { all.textContent = moving() ? "Stop all" : "Play all"; };
  all.hidden = false;
  all.addEventListener("click", () => {
    const on = !moving();
    videos.forEach((image) => play(image, on));
    name();
  });
  name();
  document.addEventListener("click", name);
}
