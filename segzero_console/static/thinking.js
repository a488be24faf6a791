// The questions since the page was opened, each with its thinking as it comes, answer and seconds.

import { say } from "./announce.js";
import { byId, element, foreign, nameOf, seconds, swatch } from "./elements.js";
import { styleOf } from "./palette.js";

const MOST = 20;
const cards = new Map(); // by request

/** A question was asked here. */
export function begin(request, question, goal) {
  return cards.get(request) ?? addCard(request, question, goal);
}

/** The next piece of the thinking. */
export function think({ request, goal, text }) {
  const card = cards.get(request) ?? addCard(request, "", goal);
  const isAtEnd = card.text.scrollHeight - card.text.scrollTop - card.text.clientHeight < 24;
  card.text.append(text);
  if (isAtEnd) card.text.scrollTop = card.text.scrollHeight;
  saySentences(card, text);
}

/** A question ended; it is the message `ended`. */
export function end(message) {
  const { request, question, goal, state, text, error, error_code, objects } = message;
  const card = cards.get(request) ?? addCard(request, question, goal);
  if (text) card.text.textContent = text;
  const answer = describe(state, objects, error, error_code);
  finish(card, state, answer, message.seconds);
  say(`${card.question || nameOf(goal)}: ${answer}`);
}

/** A question could not be asked. */
export function refuse(request, error) {
  const card = cards.get(request);
  if (!card || !card.isOpen) return false;
  finish(card, "failed", error, {});
  return true;
}

/** The server went away: what was open will never end. */
export function loseAll() {
  for (const card of cards.values()) {
    if (card.isOpen) finish(card, "failed", "The server went away before the answer.", {});
  }
}

/** The requests that are open, the newest first. */
export function openRequests() {
  return Array.from(cards.entries())
    .filter(([, card]) => card.isOpen)
    .map(([request]) => request)
    .reverse();
}

function addCard(request, question, goal) {
  const style = styleOf(goal);
  const text = element("p.thought", { dir: "auto", tabindex: "0", "aria-label": "Thinking" });
  const answer = element("p.answer", { dir: "auto" }, "thinking …");
  const stages = element("dl.stages", { hidden: true });
  const title = question ? foreign(question) : `a question of another page`;
  const heading = element("h3", {}, swatch(style.css), title, element("small", {}, nameOf(goal)));
  const item = element("li.card.open", { "data-request": request }, heading, text, answer, stages);
  const card = { item, text, answer, stages, question, isOpen: true, unsaid: "" };
  cards.set(request, card);
  byId("thoughts").prepend(item);
  byId("no-thoughts").hidden = true;
  while (cards.size > MOST) {
    const [oldest, { item: last }] = cards.entries().next().value;
    cards.delete(oldest);
    last.remove();
  }
  return card;
}

function finish(card, state, text, stages) {
  card.isOpen = false;
  card.item.classList.remove("open");
  card.item.dataset.state = state;
  card.answer.textContent = text;
  const known = Object.entries(stages ?? {});
  card.stages.hidden = !known.length;
  card.stages.replaceChildren(
    ...known.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, seconds(value))),
    ),
  );
}

function describe(state, objects, error, code) {
  if (state === "nothing") return "Nothing in the picture matches.";
  if (state === "answered") return objects === 1 ? "1 object" : `${objects} objects`;
  return error || code || state;
}

// Word by word, a screen reader would stutter: it gets whole sentences.
function saySentences(card, text) {
  card.unsaid += text;
  const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => card.unsaid.lastIndexOf(mark)));
  if (end < 0) return;
  say(card.unsaid.slice(0, end + 1).trim());
  card.unsaid = card.unsaid.slice(end + 1);
}
