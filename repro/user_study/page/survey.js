"use strict";
// One participant's way through the tasks. Answers are kept in localStorage until they have been sent.
const study = JSON.parse(document.getElementById("study").textContent);
const main = document.getElementById("main");
const statusLine = document.getElementById("status");
const [page, key] = location.hash.slice(1).split(".");
const store = `survey-${page}`;
const DRIFT_S = 0.08; // two videos further apart than this are brought together

let tasks = [];
let state = { at: 0, answers: {}, seconds: {}, sent: false, started: false };
let shownAt = 0;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function say(text) {
  statusLine.textContent = text;
}

function save() {
  try {
    localStorage.setItem(store, JSON.stringify(state));
  } catch {
    say("This browser cannot keep your progress: finish without closing the page.");
  }
}

function fail(text) {
  main.replaceChildren(make("p", { className: "error", textContent: text, role: "alert" }));
}

async function start() {
  if (!page || !key) return fail("This link is not complete. Please open the whole link that was sent to you.");
  if (!/^[0-9a-f]+$/.test(page)) return fail("This link is not one of this survey's.");
  if (!window.crypto?.subtle) return fail("Please open this survey over https.");
  try {
    const reply = await fetch(`tasks/${page}.json`);
    if (!reply.ok) throw new Error(reply.status);
    tasks = await reply.json();
  } catch {
    return fail("The tasks of this link could not be loaded. Check the link and your connection, then reload.");
  }
  try {
    state = { ...state, ...JSON.parse(localStorage.getItem(store) ?? "{}") };
  } catch {
    localStorage.removeItem(store);
  }
  show();
}

function show() {
  say("");
  document.getElementById("where").hidden = !state.started || state.sent;
  if (state.sent) return thanks();
  if (!state.started) return welcome();
  if (state.at >= tasks.length) return finish();
  task(tasks[state.at]);
}

function place(text, value) {
  document.getElementById("place").textContent = text;
  const bar = document.getElementById("progress");
  bar.max = tasks.length;
  bar.value = value;
}

function render(...children) {
  main.replaceChildren(...children);
  main.focus();
  scrollTo(0, 0);
}

function welcome() {
  const begin = make("button", { className: "main", textContent: "Begin" });
  begin.onclick = () => {
    state.started = true;
    save();
    show();
  };
  render(
    make("h2", { textContent: "Welcome" }),
    make("p", { textContent:
      `You will answer ${tasks.length} short tasks. Most show one video, or two side by side; watch them as often as ` +
      "you like and answer by what you see. There is no right or wrong answer. Nobody who reads the answers learns " +
      "your name." }),
    make("p", { textContent:
      "Your progress is kept in this browser: you may close the page and come back to it with the same link. " +
      "Taking part is voluntary; nothing is sent before you press Send at the end." }),
    begin,
  );
}

function task(item) {
  const part = study.parts[item.part];
  place(`Task ${state.at + 1} of ${tasks.length}`, state.at);
  const form = make("form", { noValidate: true });
  const heading = make("h2", { textContent: part.title });
  form.append(heading);
  if (item.prompt) form.append(make("p", { textContent: "The video was asked for with these words:" }),
                               make("blockquote", { textContent: item.prompt }));
  if (item.videos.length) form.append(...player(item.videos));
  const given = (state.answers[item.task] ??= {});
  for (const question of part.questions) form.append(field(question, given));
  const problem = make("p", { className: "error", id: "problem", role: "alert" });
  const back = make("button", { type: "button", textContent: "Back", disabled: state.at === 0 });
  const next = make("button", { className: "main", textContent: "Next" });
  form.append(problem, make("div", { className: "buttons" }, back, next));
  back.onclick = () => move(item, -1);
  form.onsubmit = (event) => {
    event.preventDefault();
    const missing = part.questions.filter((q) => q.required && !given[q.key]);
    for (const q of part.questions) document.getElementById(`q-${q.key}`).classList.toggle("missing", missing.includes(q));
    if (!missing.length) return move(item, 1);
    problem.textContent = `Please answer: ${missing.map((q) => q.text).join(", ")}.`;
    document.querySelector(`#q-${missing[0].key} input`).focus();
  };
  render(form);
  shownAt = performance.now();
}

function spend(item) {
  state.seconds[item.task] = (state.seconds[item.task] ?? 0) + (performance.now() - shownAt) / 1000;
  shownAt = performance.now();
}

function move(item, step) {
  spend(item);
  state.at += step;
  save();
  show();
}

function field(question, given) {
  const legend = make("legend", { textContent: question.text });
  const box = make("fieldset", { id: `q-${question.key}` }, legend);
  if (!question.options.length) {
    const text = make("textarea", { maxLength: study.maxText, value: given[question.key] ?? "", "aria-label": question.text });
    text.oninput = () => {
      // maxLength may cut a character in two: the half is no text, and the collector would refuse it.
      given[question.key] = text.value.replace(/[\ud800-\udfff]/gu, "");
      save();
    };
    box.append(text);
    return box;
  }
  const options = make("div", { className: "options" });
  for (const [value, label] of question.options) {
    const radio = make("input", { type: "radio", name: question.key, value, checked: given[question.key] === value });
    radio.onchange = () => {
      given[question.key] = value;
      save();
    };
    options.append(make("label", {}, radio, label));
  }
  box.append(options);
  return box;
}

// One set of controls for all videos: they start, stop and wind together.
function player(files) {
  const names = files.length > 1 ? ["A", "B"] : ["Video"];
  const videos = files.map((file, i) => make("video", {
    src: `videos/${file}`, muted: true, playsInline: true, preload: "auto", loop: false,
    "aria-label": files.length > 1 ? `Video ${names[i]}` : "Video" }));
  const lead = videos[0];
  const toggle = make("button", { type: "button", textContent: "Play" });
  const wind = make("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Position in the video" });
  const all = (act) => videos.forEach(act);
  const play = async () => {
    if (lead.ended) all((v) => { v.currentTime = 0; });
    try {
      await Promise.all(videos.map((v) => v.play()));
    } catch {
      say("The video could not be played. Reload the page to try again.");
    }
  };
  toggle.onclick = () => (lead.paused ? play() : all((v) => v.pause()));
  const named = () => { toggle.textContent = lead.paused ? "Play" : "Pause"; };
  lead.onplay = lead.onpause = lead.onended = named;
  // When one has to wait for data, the other waits with it.
  for (const video of videos) {
    video.onerror = () => say("A video could not be loaded. Check your connection and reload the page.");
    video.onwaiting = () => videos.filter((v) => v !== video && !v.ended).forEach((v) => v.pause());
    video.onplaying = () => { if (videos.some((v) => v.paused && !v.ended)) play(); };
  }
  lead.ontimeupdate = () => {
    if (lead.duration) wind.value = (1000 * lead.currentTime) / lead.duration;
    for (const video of videos.slice(1)) {
      const apart = Math.abs(video.currentTime - lead.currentTime);
      if (apart > DRIFT_S && !video.ended && !lead.ended) video.currentTime = lead.currentTime;
    }
  };
  wind.oninput = () => all((v) => { if (v.duration) v.currentTime = (wind.value / 1000) * v.duration; });
  const figures = videos.map((video, i) => make("figure", {},
    make("figcaption", { textContent: names[i] === "Video" ? "" : names[i] }), video));
  return [make("div", { className: "videos" }, ...figures), make("div", { className: "player" }, toggle, wind)];
}

function hex(buffer) {
  return [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// What is sent, or exported: the answers as text, signed with the key of the link.
async function signed() {
  const answers = tasks.map((item) => {
    const asked = study.parts[item.part].questions;
    const values = Object.fromEntries(asked.map((q) => [q.key, state.answers[item.task]?.[q.key] ?? ""]));
    return { task: item.task, values, seconds: Math.round(10 * (state.seconds[item.task] ?? 0)) / 10 };
  });
  const payload = JSON.stringify({ page, answers });
  const code = new TextEncoder();
  const secret = await crypto.subtle.importKey("raw", code.encode(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return JSON.stringify({ page, payload, mac: hex(await crypto.subtle.sign("HMAC", secret, code.encode(payload))) });
}

function exporter() {
  const button = make("button", { type: "button", textContent: "Export as a file" });
  button.onclick = async () => {
    const url = URL.createObjectURL(new Blob([await signed()], { type: "application/json" }));
    make("a", { href: url, download: `answers-${page}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    say("The file has been saved.");
  };
  return button;
}

function finish() {
  place("All tasks answered", tasks.length);
  const send = make("button", { className: "main", textContent: "Send" });
  const back = make("button", { textContent: "Back" });
  back.onclick = () => {
    state.at = tasks.length - 1;
    save();
    show();
  };
  send.onclick = async () => {
    send.disabled = true;
    say("Sending …");
    try {
      const reply = await fetch("responses", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: await signed() });
      const { message } = await reply.json();
      if (reply.ok || reply.status === 409) {
        state.sent = true;
        save();
        show();
      }
      say(message);
    } catch {
      say("The answers could not be sent. Try again, or export them as a file and send it to who invited you.");
    }
    send.disabled = false;
  };
  render(
    make("h2", { textContent: "Thank you, that was the last task" }),
    make("p", { textContent: "Send your answers, or export them as a file and send it to who invited you." }),
    make("div", { className: "buttons" }, back, exporter(), send),
  );
}

function thanks() {
  render(
    make("h2", { textContent: "Your answers have been sent" }),
    make("p", { textContent: "You may close this page. If you like, keep a copy of your answers." }),
    make("div", { className: "buttons" }, exporter()),
  );
}

// Time with the page hidden is not time spent on a task.
document.addEventListener("visibilitychange", () => {
  const item = tasks[state.at];
  if (!state.started || !item) return;
  if (document.hidden) {
    spend(item);
    save();
  } else {
    shownAt = performance.now();
  }
});
addEventListener("pagehide", () => {
  const item = tasks[state.at];
  if (!state.started || !item || document.hidden) return;
  spend(item);
  save();
});
addEventListener("hashchange", () => location.reload());
start();
