// Connects the parts of the page.

import { notify, say } from "./announce.js";
import { Asking } from "./asking.js";
import { connect } from "./connection.js";
import { CorrectionPanel } from "./correction_panel.js";
import { byId, nameOf } from "./elements.js";
import { Frames } from "./frames.js";
import { Goals } from "./goals.js";
import { startKeys } from "./keys.js";
import { showLights } from "./lights.js";
import { listObjects } from "./objects.js";
import { startPlayer } from "./player.js";
import { newRequest } from "./protocol.js";
import { download, endWaiting, startRecording } from "./recording.js";
import { Stage } from "./stage.js";
import { Status } from "./status.js";
import { startTheme } from "./theme.js";
import * as thinking from "./thinking.js";
import { View } from "./view.js";

const frames = new Frames();
const view = new View(true);
const stage = new Stage(view, (frame, result) => listObjects(result?.objects ?? []), tellSeen);
const status = new Status(() => stage.shown);
const goals = new Goals((goal) => stop(goal));
const asked = new Map(); // requests of this page: {goal, follow}
let can = new Set();
let unseen = null; // stamp of the newest frame, until it was drawn or left out
let carried = null; // {goal, request}: the goal whose followed frames are saved

const connection = connect(receive, showConnection);
const player = startPlayer(send, () => view.dropMasks());
const asking = new Asking({ ask, error: (text) => notify("error", text) });
const correction = new CorrectionPanel(stage, {
  send,
  keep,
  end: (replaced) => {
    goals.replaced(replaced);
    if (replaced.length) view.dropMasks();
    goOn();
  },
  questionOf: (goal) => goals.questionOf(goal),
});

startTheme(byId("theme"));
startRecording(send, () => view.still?.stamp);
startKeys({
  cancel: () => (correction.isActive ? correction.end() : cancel()),
  pause: togglePause,
  correct: () => can.has("correct") && correction.start(),
  undo: () => correction.isActive && correction.undo(),
  deleteObject: () => correction.isActive && correction.deleteSelected(),
  newObject: () => correction.isActive && correction.newObject(),
  save: () => correction.isActive && can.has("save") && correction.save(),
  follow: () => correction.isActive && correction.follow(),
});
byId("pause").addEventListener("click", togglePause);
byId("correct").addEventListener("click", () => correction.start());
byId("cancel").addEventListener("click", cancel);
byId("clear-all").addEventListener("click", () => stop(null));
byId("carry").addEventListener("click", toggleCarrying);
listenForPictures();
// What nothing else tells: a fault of this page must not look as if it waited.
addEventListener("error", ({ message }) => notify("error", `This page failed: ${message}`));
addEventListener("unhandledrejection", ({ reason }) => {
  notify("error", `This page failed: ${reason?.message ?? reason}`);
});

function receive(message) {
  const handlers = {
    hello: begin,
    frame: takeFrame,
    result: takeResult,
    thinking: thinking.think,
    ended: endQuestion,
    lights: ({ lights }) => {
      showLights(lights);
      stage.explain(lights);
    },
    refined: (refined) => correction.refined(refined),
    saved: showSaved,
    download,
    player: player.show,
    notice: ({ level, text }) => notify(level, text),
    error: showError,
  };
  handlers[message.type]?.(message);
  byId("cancel").hidden = thinking.openRequests().length === 0;
}

function send(message) {
  const isSent = connection.send({ request: newRequest(), ...message });
  if (!isSent) notify("error", "The server is gone: wait until the page is connected again.");
  return isSent;
}

function showConnection(state, reason) {
  const isLost = state === "lost";
  byId("connection").hidden = !isLost;
  byId("connection").textContent = isLost
    ? `${reason || "The server is gone."} This page connects again as soon as it can.`
    : "";
  document.body.dataset.connection = state;
  if (!isLost) return;
  thinking.loseAll();
  endWaiting();
  showLights([]);
  byId("cancel").hidden = true;
}

function begin({ source, profile, goals: known, can: able }) {
  correction.end();
  frames.clear();
  view.reset();
  view.isLive = source.live;
  goals.reset(known);
  asked.clear();
  showCarrying(null);
  can = new Set(able);
  byId("source").textContent = `${source.name} · ${profile}`;
  byId("pause").hidden = !source.live;
  byId("correct").hidden = !can.has("correct");
  byId("save-row").hidden = !can.has("save");
  byId("exports").hidden = !can.has("record");
  byId("player").hidden = !can.has("seek");
  byId("carrying").hidden = !can.has("save");
  asking.setKind(source.kind);
  showPause();
  say(`Connected to ${source.name}.`);
}

function takeFrame(message) {
  const frame = frames.add(message);
  unseen = message.stamp;
  if (message.request) {
    keep(frame); // a picture that was dropped in
    return;
  }
  view.addFrame(frame);
  status.addFrame(message.dropped);
}

// The server sends a few frames at most before it hears that they were drawn.
function tellSeen() {
  if (unseen === null) return;
  connection.send({ type: "seen", request: "", stamp: unseen });
  unseen = null;
}

function takeResult(message) {
  const { state, request, goal, objects, error, error_code } = message;
  if (state === "failed") {
    if (!request || !asked.has(request)) notify("error", error || error_code);
    if (error_code === "following_ended") goals.cleared(goal);
    return;
  }
  const isFollowed = state === "tracked" || state === "lost";
  const kept = isFollowed ? goals.followed(objects) : objects;
  if (isFollowed && !kept.length) return;
  const frame = frames.addResult({ ...message, objects: kept });
  if (!frame) return;
  view.addResult(frame, performance.now());
  if (isFollowed) {
    status.addResult();
  } else if (state === "answered" && asked.get(request)?.follow === false && view.isLive) {
    keep(frame); // it is followed by nothing: it stays until somebody goes on
  }
}

function endQuestion(message) {
  const { request, goal, state, error_code } = message;
  thinking.end(message);
  const own = asked.get(request);
  asked.delete(request);
  const isFollowed = state === "answered" && own?.follow !== false;
  if (error_code !== "replaced") goals.ended(goal, isFollowed);
}

function showError({ request, text }) {
  if (thinking.refuse(request, text)) {
    goals.ended(asked.get(request)?.goal ?? "", false);
    asked.delete(request);
    say(text);
    return;
  }
  correction.failed(request);
  endWaiting(request || "none");
  if (request && request === carried?.request) showCarrying(null);
  notify("error", text);
}

function ask({ text, goal, follow, picture }) {
  const request = newRequest();
  if (picture) return askAbout(picture, text, request);
  const stamp = view.still?.stamp;
  const isOwnPicture = Boolean(view.still?.request);
  const isFollowed = follow && !isOwnPicture;
  if (!send({ type: "ask", request, text, goal, follow: isFollowed, stamp })) return false;
  register(request, text, goal, isFollowed);
  return true;
}

function askAbout(picture, text, request) {
  register(request, text, "", false);
  picture.arrayBuffer().then(
    (bytes) => {
      const isSent = connection.sendBinary({ type: "picture", request, text }, bytes);
      if (!isSent) thinking.refuse(request, "The server is gone.");
    },
    (error) => thinking.refuse(request, `The file can't be read: ${error.message}`),
  );
  return true;
}

function register(request, text, goal, follow) {
  asked.set(request, { goal, follow });
  thinking.begin(request, text, goal);
  if (follow) goals.asked(goal, text);
  byId("cancel").hidden = false;
}

function cancel() {
  const [request] = thinking.openRequests();
  if (request) send({ type: "cancel", request });
}

function stop(goal) {
  if (!send(goal === null ? { type: "clear", goal } : { type: "stop", goal })) return;
  goals.cleared(goal);
  if (carried && (goal === null || goal === carried.goal)) showCarrying(null);
  view.dropMasks();
  say(goal === null ? "All goals are stopped." : `${nameOf(goal)} is stopped.`);
}

/** Keep a frame in view, and let the server keep it, too. */
function keep(frame) {
  view.keep(frame);
  frames.pin(frame.stamp);
  if (!frame.request) send({ type: "pause", stamp: frame.stamp });
  showPause();
}

/** Show what is live again. */
function goOn() {
  if (!view.isStill) return;
  view.release();
  frames.pin();
  if (view.isLive) send({ type: "play" });
  showPause();
}

function togglePause() {
  if (correction.isActive) correction.end();
  else if (!view.isLive && !view.isStill) player.toggle();
  else if (view.isStill) goOn();
  else if (stage.shown.frame) keep(stage.shown.frame);
}

function showPause() {
  const isOwnPicture = Boolean(view.still?.request);
  byId("pause").hidden = !view.isLive && !isOwnPicture;
  byId("pause").textContent = view.isStill ? "Back to live" : "Pause";
  byId("kept").hidden = !view.isStill;
  byId("kept").textContent = isOwnPicture ? "your picture" : "paused";
}

function toggleCarrying() {
  const goal = carried ? carried.goal : byId("goal").value.trim();
  const question = goals.questionOf(goal) || byId("question").value.trim();
  const every = carried ? 0 : Number(byId("every").value) || 1;
  if (every && !question) {
    notify("warn", "Rows need a question: ask first, or type it above.");
    return;
  }
  const request = newRequest();
  if (send({ type: "carry", request, goal, question, every })) {
    showCarrying(every ? { goal, request } : null);
  }
}

function showCarrying(goal) {
  carried = goal;
  byId("carry").textContent = goal ? "Stop saving" : "Start saving";
  byId("carry").setAttribute("aria-pressed", String(goal !== null));
}

function showSaved(message) {
  if (message.request !== carried?.request) return correction.saved(message);
  byId("carried").textContent = `${message.rows} rows`;
  if (!message.more) showCarrying(null);
  return undefined;
}

function listenForPictures() {
  const place = document.documentElement;
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("dropping");
  });
  place.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) place.classList.remove("dropping");
  });
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) asking.takePicture(file, (text) => notify("error", text));
  });
}
