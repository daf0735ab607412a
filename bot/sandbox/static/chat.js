// The chat page of the sandbox. It keeps what the server told of the chats, draws it, and sends what a person does.
// Whatever came from people or from the bot goes into the page as text nodes and checked addresses, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const MAX_FILE = 50 * 1024 * 1024; // bytes: what the server takes
const ACTIONS = {
  typing: "печатает…",
  upload_document: "отправляет файл…",
  upload_photo: "отправляет картинку…",
};

const state = {
  me: null,
  bot: null,
  online: false,
  description: "",
  chats: new Map(), // id -> {info, commands, messages: Map(id -> message)}
  current: null, // id of the chat that is shown
  replyTo: null, // the message that is being answered
  editing: null, // the own message that is being changed
  files: [], // {file, address}
  beside: true, // descriptions of one picture stand beside each other
  busy: new Set(), // "message_id data" of buttons that wait for the bot
  queries: new Map(), // callback query id -> the same
  answered: new Set(), // callback queries answered before we learned their ids
  hint: 0,
};

// --- small helpers ---------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function drawing(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

const CROSS = "M6 6l12 12M18 6L6 18";
const ARROW_DOWN = "M12 4v12M6 11l6 6 6-6M5 20h14";
const PEN = "M4 20l1-4L16 5l3 3L8 19l-4 1z";
const REPLY = "M10 6L4 12l6 6M4 12h10a6 6 0 0 1 6 6";

function address(fileId, download = false) {
  return `/api/files/${encodeURIComponent(fileId)}${download ? "?download" : ""}`;
}

function size(bytes) {
  const units = ["байт", "КБ", "МБ"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < 2) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toLocaleString("ru", { maximumFractionDigits: unit ? 1 : 0 })} ${units[unit]}`;
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("ru", { hour: "2-digit", minute: "2-digit" });
}

function day(seconds) {
  return new Date(seconds * 1000).toLocaleDateString("ru", { day: "numeric", month: "long" });
}

const timers = new Map();
function show(id, text, milliseconds = 5000) {
  const element = $(id);
  element.textContent = text;
  element.hidden = false;
  clearTimeout(timers.get(id));
  timers.set(
    id,
    setTimeout(() => {
      element.hidden = true;
    }, milliseconds),
  );
}

const problem = (text) => show("problem", text, 9000);

async function post(path, body) {
  const form = body instanceof FormData;
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: form ? {} : { "Content-Type": "application/json" },
      body: form ? body : JSON.stringify(body),
    });
    if (response.ok) return await response.json();
    problem(`Не получилось: ${(await response.text()).slice(0, 200)}`);
  } catch {
    problem("Песочница не отвечает. Проверьте, что она запущена, и повторите.");
  }
  return null;
}

// --- text with entities ----------------------------------------------------------------------------------------

const STYLES = {
  bold: "strong",
  italic: "em",
  underline: "u",
  strikethrough: "s",
  spoiler: "span",
  code: "code",
  pre: "pre",
  blockquote: "blockquote",
  expandable_blockquote: "blockquote",
};

function safeLink(url) {
  try {
    const parsed = new URL(url);
    return ["http:", "https:", "mailto:", "tel:", "tg:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

function entityElement(entity, text) {
  if (entity.type === "bot_command") {
    return make("button", { type: "button", class: "command", onclick: () => sendText(text) });
  }
  if (entity.type === "url" || entity.type === "text_link") {
    const link = safeLink(entity.url || text);
    if (link) return make("a", { href: link, target: "_blank", rel: "noopener noreferrer" });
  }
  return make(STYLES[entity.type] || "span");
}

// Offsets are in UTF-16 units, as the indices of JavaScript's strings are.
function formatted(text, entities, from = 0, to = text.length) {
  const parts = [];
  let at = from;
  let index = 0;
  while (index < entities.length) {
    const entity = entities[index];
    const start = Math.max(at, entity.offset);
    const end = Math.min(to, entity.offset + entity.length);
    index += 1;
    if (end <= start) continue;
    const inner = [];
    while (index < entities.length && entities[index].offset < end) inner.push(entities[index++]);
    if (start > at) parts.push(text.slice(at, start));
    const element = entityElement(entity, text.slice(start, end));
    element.append(...formatted(text, inner, start, end));
    parts.push(element);
    at = end;
  }
  if (at < to) parts.push(text.slice(at, to));
  return parts;
}

// --- messages --------------------------------------------------------------------------------------------------

const chat = () => state.chats.get(state.current);
const own = (message) => state.me && message.from.id === state.me.id;

function gist(message) {
  const words = message.text || message.caption;
  if (words) return words;
  if (message.photo) return pictureName(message);
  if (message.sticker) return "Стикер";
  if (message.animation) return "Анимация";
  if (message.video) return "Видео";
  if (message.voice) return "Голосовое сообщение";
  if (message.document) return message.document.file_name || "Файл";
  return "Сообщение";
}

function originName(origin) {
  if (origin.type === "user") return origin.sender_user.first_name;
  if (origin.type === "hidden_user") return origin.sender_user_name;
  return (origin.chat || origin.sender_chat || {}).title || "канал";
}

// An album is drawn as one message: the key of the group that a message belongs to.
const groupKey = (message) => (message.media_group_id ? `g${message.media_group_id}` : `m${message.message_id}`);

function groups() {
  const found = new Map();
  for (const message of chat().messages.values()) {
    const key = groupKey(message);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(message);
  }
  return found;
}

// Of an album each has a name of its own, by which its description is told from the others'.
function pictureName(message) {
  const album = message.media_group_id ? groups().get(groupKey(message)) || [] : [];
  const photos = album.filter((one) => one.photo);
  const place = photos.findIndex((one) => one.message_id === message.message_id);
  return place >= 0 && photos.length > 1 ? `Картинка ${place + 1} из ${photos.length}` : "Картинка";
}

function picture(message) {
  const best = message.photo[message.photo.length - 1];
  const name = pictureName(message);
  const image = make("img", {
    src: address(best.file_id),
    width: best.width,
    height: best.height,
    alt: message.caption ? `${name}: ${message.caption}` : name,
  });
  image.addEventListener("load", stick);
  return make(
    "a",
    { href: address(best.file_id), target: "_blank", rel: "noopener", "aria-label": `${image.alt}. Открыть целиком` },
    image,
  );
}

function fileCard(document_) {
  const small = document_.thumbnail
    ? make("img", { src: address(document_.thumbnail.file_id), alt: "" })
    : drawing(ARROW_DOWN);
  const name = document_.file_name || "файл";
  return make(
    "a",
    { class: "file", href: address(document_.file_id, true), download: name, "aria-label": `Скачать файл ${name}` },
    make("span", { class: "file-mark" }, small),
    make(
      "span",
      {},
      make("span", { class: "file-name" }, name),
      make("span", { class: "file-size" }, size(document_.file_size)),
    ),
  );
}

function media(messages) {
  const photos = messages.filter((message) => message.photo);
  const parts = [];
  if (photos.length) {
    parts.push(make("div", { class: photos.length > 1 ? "pictures many" : "pictures" }, ...photos.map(picture)));
  }
  for (const message of messages) {
    if (message.animation) {
      const source = { src: address(message.animation.file_id) };
      const gif = message.animation.mime_type === "image/gif";
      parts.push(
        make(
          "div",
          { class: "pictures" },
          gif ? make("img", { ...source, alt: "Анимация" }) : make("video", { ...source, controls: true, loop: true, "aria-label": "Анимация" }),
        ),
      );
    } else if (message.document) parts.push(fileCard(message.document));
    if (message.sticker) {
      const { file_id: id, width, height, is_animated: tgs, is_video: webm } = message.sticker;
      parts.push(
        tgs || webm
          ? make("p", { class: "body" }, "Анимированный стикер")
          : make("img", { src: address(id), width, height, alt: `Стикер ${message.sticker.emoji || ""}` }),
      );
    }
    if (message.video) {
      parts.push(make("div", { class: "pictures" }, make("video", { src: address(message.video.file_id), controls: true, "aria-label": "Видео" })));
    }
    if (message.voice) parts.push(make("audio", { src: address(message.voice.file_id), controls: true, "aria-label": "Голосовое сообщение" }));
  }
  return parts;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    show("toast", "Скопировано");
  } catch {
    problem("Браузер не дал скопировать. Выделите слова в сообщении и скопируйте их сами.");
  }
}

function keyboard(message) {
  const rows = message.reply_markup?.inline_keyboard;
  if (!rows) return null;
  const drawn = rows.map((row) =>
    make(
      "div",
      {},
      ...row.map((button) => {
        const style = ["primary", "success", "danger"].includes(button.style) ? button.style : null;
        const link = button.url && safeLink(button.url);
        if (link) return make("a", { href: link, target: "_blank", rel: "noopener noreferrer", class: style }, button.text);
        const waits = state.busy.has(`${message.message_id} ${button.callback_data}`);
        return make(
          "button",
          {
            type: "button",
            class: style,
            "aria-busy": waits ? "true" : null,
            onclick: () => (button.copy_text ? copy(button.copy_text.text) : press(message, button.callback_data)),
          },
          button.text,
        );
      }),
    ),
  );
  // Beside each other stand keyboards of the same labels: whose each is must be heard.
  const label = `Кнопки под сообщением: ${gist(message).split("\n")[0].slice(0, 60)}`;
  return make("div", { class: "keyboard", role: "group", "aria-label": label }, ...drawn);
}

function quote(message) {
  const answered = message.reply_to_message;
  if (!answered) return null;
  return make(
    "button",
    { type: "button", class: "quote", "aria-label": `В ответ на: ${gist(answered)}`, onclick: () => reveal(answered) },
    answered.photo ? make("img", { src: address(answered.photo[0].file_id), alt: "" }) : null,
    make("strong", {}, answered.from.first_name),
    make("span", {}, gist(answered)),
  );
}

function tool(label, path, onclick) {
  return make("button", { type: "button", class: "icon", "aria-label": label, onclick }, drawing(path));
}

function draw(messages) {
  const first = messages[0];
  const last = messages[messages.length - 1];
  const mine = own(first);
  const worded = messages.find((message) => message.text || message.caption);
  const text = worded && (worded.text || worded.caption);
  const group = chat().info.type !== "private";
  const bubble = make(
    "div",
    { class: "bubble" },
    group && !mine ? make("p", { class: "author" }, first.from.first_name) : null,
    first.forward_origin ? make("p", { class: "forwarded" }, `Переслано: ${originName(first.forward_origin)}`) : null,
    quote(first),
    ...media(messages),
    text ? make("div", { class: "body" }, ...formatted(text, worded.entities || worded.caption_entities || [])) : null,
    make(
      "p",
      { class: "meta" },
      make("span", { class: "hidden" }, mine ? "Вы, " : `${first.from.first_name}, `),
      last.edit_date ? "изменено " : "",
      make("time", { datetime: new Date(last.date * 1000).toISOString() }, clock(last.date)),
    ),
  );
  const kind = first.sticker ? "message sticker" : "message";
  return make(
    "li",
    {
      class: mine ? `${kind} own` : kind,
      "data-key": groupKey(first),
      "data-message-id": first.message_id,
    },
    make(
      "div",
      { class: "card" },
      bubble,
      keyboard(last),
      make(
        "div",
        { class: "tools" },
        tool(`Ответить на сообщение: ${gist(first).slice(0, 60)}`, REPLY, () => answer(first)),
        mine && first.text ? tool(`Изменить сообщение: ${gist(first).slice(0, 60)}`, PEN, () => change(first)) : null,
      ),
    ),
  );
}

// What a message is laid beside others by: a picture that it describes, with buttons under it.
function described(message) {
  if (!message || own(message) || !message.reply_markup?.inline_keyboard) return null;
  return message.reply_to_message?.photo || message.reply_to_message?.document ? message.reply_to_message.message_id : null;
}

// Descriptions of one picture that follow each other stand side by side where there is room. Only their looks change:
// a screen reader and the Tab key go through them one after another, as they came.
function arrange() {
  const runs = [[]];
  let before = null;
  for (const item of $("messages").children) {
    const subject = described(chat().messages.get(Number(item.dataset.messageId)));
    if (subject === null || subject !== before) runs.push([]);
    runs.at(-1).push(item);
    before = subject;
  }
  for (const run of runs) {
    const columns = Math.min(run.length, 3);
    for (const item of run) item.dataset.columns = state.beside ? columns : 1;
  }
  $("beside").hidden = runs.every((run) => run.length < 2);
}

// One message anew, the focus kept on the button it was on: the bot edits keyboards under people's fingers.
function redraw(message) {
  const key = groupKey(message);
  const old = $("messages").querySelector(`[data-key="${CSS.escape(key)}"]`);
  const messages = groups().get(key);
  if (!old || !messages) return;
  const controls = (element) => [...element.querySelectorAll("button, a")];
  const focused = controls(old).indexOf(document.activeElement);
  const fresh = draw(messages);
  old.replaceWith(fresh);
  arrange();
  if (focused >= 0) controls(fresh)[focused]?.focus({ preventScroll: true });
}

function append(message) {
  const key = groupKey(message);
  if ($("messages").querySelector(`[data-key="${CSS.escape(key)}"]`)) {
    redraw(message);
    return;
  }
  const before = [...chat().messages.values()].filter((other) => other.message_id < message.message_id).at(-1);
  if (!before || day(before.date) !== day(message.date)) {
    $("messages").append(make("li", { class: "day" }, make("span", {}, day(message.date))));
  }
  $("messages").append(draw(groups().get(key)));
}

function drawChat() {
  const { info, messages } = chat();
  $("messages").replaceChildren();
  const drawn = new Set();
  for (const message of messages.values()) {
    if (drawn.has(groupKey(message))) continue;
    drawn.add(groupKey(message));
    append(message);
  }
  arrange();
  const personal = info.type === "private";
  $("title").textContent = personal ? state.bot.first_name : info.title;
  $("avatar").hidden = !personal;
  drawStatus();
  drawEmpty();
  drawHints();
  stick(true);
}

function drawEmpty() {
  const nothing = chat().messages.size === 0;
  $("empty").hidden = !nothing || chat().info.type !== "private";
  $("description").textContent = state.description || "Пришлите картинку, и бот опишет её словами.";
}

function drawStatus() {
  const personal = chat().info.type === "private";
  const status = $("status");
  status.className = state.online ? "online" : "";
  const presence = state.online ? "бот на связи" : "бот не запущен";
  status.textContent = personal ? presence : `группа, ${presence}`;
}

function drawChats() {
  $("chat-list").replaceChildren(
    ...[...state.chats.values()].map(({ info, messages }) => {
      const personal = info.type === "private";
      const name = personal ? state.bot.first_name : info.title;
      const last = [...messages.values()].at(-1);
      return make(
        "li",
        {},
        make(
          "button",
          {
            type: "button",
            "aria-current": info.id === state.current ? "true" : null,
            onclick: () => open(info.id),
          },
          personal
            ? make("img", { class: "avatar", src: "/static/icon.svg", alt: "" })
            : make("span", { class: "avatar letter", "aria-hidden": "true" }, name.slice(0, 1)),
          make(
            "span",
            {},
            make("span", { class: "name" }, name),
            make("span", { class: "last" }, last ? gist(last) : "Сообщений пока нет"),
          ),
        ),
      );
    }),
  );
}

function open(id) {
  state.current = id;
  answer(null);
  stopTyping();
  drawChats();
  drawChat();
}

function reveal(message) {
  const element = [...$("messages").children].find((item) => item.dataset.messageId === String(message.message_id));
  if (!element) return;
  element.scrollIntoView({ block: "center" });
  element.classList.add("found");
  setTimeout(() => element.classList.remove("found"), 1800);
}

// --- the end of the conversation stays in view, unless somebody reads further up ------------------------------

let following = true;
function stick(force) {
  const scroll = $("scroll");
  if (force === true) following = true;
  if (following) scroll.scrollTop = scroll.scrollHeight;
}

function watchScroll() {
  const scroll = $("scroll");
  following = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  $("down").hidden = following;
}

// --- what the bot does -----------------------------------------------------------------------------------------

let typingTimer = 0;
function stopTyping() {
  clearTimeout(typingTimer);
  $("typing").hidden = true;
}

function startTyping(action) {
  clearTimeout(typingTimer);
  $("typing-text").textContent = `${state.bot.first_name} ${ACTIONS[action] || "занят…"}`;
  $("typing").hidden = false;
  typingTimer = setTimeout(stopTyping, 5500); // Telegram shows an action for about five seconds
  stick();
}

function settle(queryId) {
  const key = state.queries.get(queryId);
  if (!key) return;
  state.queries.delete(queryId);
  state.busy.delete(key);
  const message = [...state.chats.values()]
    .map(({ messages }) => messages.get(Number(key.split(" ", 1)[0])))
    .find(Boolean);
  if (message && message.chat.id === state.current) redraw(message);
}

const happened = {
  message({ message }) {
    const place = state.chats.get(message.chat.id);
    if (!place) {
      load();
      return;
    }
    place.messages.set(message.message_id, message);
    drawChats();
    if (message.chat.id !== state.current) return;
    if (!own(message)) stopTyping();
    append(message);
    arrange();
    drawEmpty();
    stick(own(message));
    if (message._page?.force_reply) answer(message, message._page.placeholder);
  },
  edit({ message }) {
    const place = state.chats.get(message.chat.id);
    if (!place?.messages.has(message.message_id)) return;
    place.messages.set(message.message_id, message);
    drawChats();
    if (message.chat.id !== state.current) return;
    redraw(message);
    stick();
    $("spoken").textContent = `Сообщение изменено: ${gist(message).split("\n").at(-1)}`;
  },
  delete({ chat_id: id, message_id: number }) {
    const place = state.chats.get(id);
    if (!place?.messages.delete(number)) return;
    drawChats();
    if (id === state.current) drawChat();
  },
  action({ chat_id: id, action }) {
    if (id === state.current) startTyping(action);
  },
  answer({ callback_query_id: id, text, show_alert: alert }) {
    state.answered.add(id);
    settle(id);
    if (text) show("toast", text, alert ? 12000 : 4000);
  },
  bot() {
    load();
  },
  reset() {
    load();
  },
  stop() {
    state.online = false;
    drawStatus();
  },
};

let loading = null;
let again = false;
async function load() {
  if (loading) {
    again = true;
    return loading;
  }
  loading = (async () => {
    do {
      again = false;
      const response = await fetch("/api/state");
      if (!response.ok) throw new Error(response.statusText);
      take(await response.json());
    } while (again);
  })();
  try {
    await loading;
  } catch {
    problem("Песочница не отвечает. Проверьте, что она запущена.");
  } finally {
    loading = null;
  }
  return null;
}

function take(fresh) {
  const before = state.chats;
  const known = JSON.stringify([...before.values()].map(({ messages }) => [...messages.values()]));
  state.me = fresh.me;
  state.bot = fresh.bot;
  state.online = fresh.online;
  state.description = fresh.description;
  state.chats = new Map(
    fresh.chats.map(({ info, commands, messages }) => [
      info.id,
      { info, commands, messages: new Map(messages.map((message) => [message.message_id, message])) },
    ]),
  );
  if (!state.chats.has(state.current)) state.current = fresh.chats[0].info.id;
  $("language").value = fresh.me.language_code;
  drawChats();
  // Everything is drawn anew only when something was missed: a redraw would take the focus away.
  const now = JSON.stringify([...state.chats.values()].map(({ messages }) => [...messages.values()]));
  if (now !== known || $("title").textContent === "" || !before.size) drawChat();
  else {
    drawStatus();
    drawEmpty();
    drawHints();
    if (chat().info.type === "private") $("title").textContent = state.bot.first_name;
  }
}

function listen() {
  const source = new EventSource("/api/events");
  source.addEventListener("open", load);
  source.addEventListener("message", (event) => {
    const told = JSON.parse(event.data);
    happened[told.type]?.(told);
  });
  source.addEventListener("error", () => {
    state.online = false;
    $("status").className = "";
    $("status").textContent = "нет связи с песочницей, пробую снова…";
  });
}

// --- what the person does --------------------------------------------------------------------------------------

async function press(message, data) {
  const key = `${message.message_id} ${data}`;
  if (state.busy.has(key)) return;
  state.busy.add(key);
  redraw(message);
  const result = await post("/api/press", { message_id: message.message_id, data });
  if (!result) {
    state.busy.delete(key);
    redraw(message);
    return;
  }
  state.queries.set(result.callback_query_id, key);
  if (state.answered.has(result.callback_query_id)) settle(result.callback_query_id);
}

function change(message) {
  answer(null);
  state.editing = message;
  $("replying").hidden = false;
  $("replying-name").textContent = "Изменить сообщение";
  $("replying-text").textContent = gist(message);
  $("text").value = message.text;
  grow();
  $("text").focus();
}

function answer(message, placeholder = "") {
  if (state.editing) $("text").value = "";
  state.editing = null;
  state.replyTo = message;
  $("replying").hidden = !message;
  $("text").placeholder = placeholder || (message ? "Ваш ответ" : "Сообщение или картинка");
  if (!message) return;
  $("replying-name").textContent = `В ответ: ${message.from.first_name}`;
  $("replying-text").textContent = gist(message);
  $("text").focus();
}

async function deliver(text, files, asFile) {
  const form = new FormData();
  // Written before the chats are known: it goes to the private one.
  if (state.current !== null) form.append("chat", String(state.current));
  form.append("text", text);
  if (state.replyTo) form.append("reply_to", String(state.replyTo.message_id));
  if (asFile) form.append("as_file", "1");
  for (const file of files) form.append("file", file, file.name);
  return post("/api/messages", form);
}

async function sendText(text) {
  await deliver(text, [], false);
  answer(null);
}

let sending = false;
async function submit(event) {
  event?.preventDefault();
  const box = $("text");
  const text = box.value.trim();
  if (sending || (!text && (state.editing || !state.files.length))) return;
  sending = true;
  const done = state.editing
    ? await post("/api/edit", { message_id: state.editing.message_id, text })
    : await deliver(
        text,
        state.files.map(({ file }) => file),
        $("as-file").checked,
      );
  sending = false;
  if (!done) return;
  box.value = "";
  for (const { address: used } of state.files) URL.revokeObjectURL(used);
  state.files = [];
  drawTray();
  answer(null);
  grow();
  drawHints();
}

function addFiles(files) {
  for (const file of files) {
    if (file.size > MAX_FILE) {
      problem(`«${file.name}» больше 50 МБ, Telegram такой файл от бота не примет. Возьмите файл поменьше.`);
    } else state.files.push({ file, address: URL.createObjectURL(file) });
  }
  drawTray();
  $("text").focus();
}

function drawTray() {
  $("tray").hidden = !state.files.length;
  $("tray-list").replaceChildren(
    ...state.files.map((entry) => {
      const image = entry.file.type.startsWith("image/")
        ? make("img", { src: entry.address, alt: entry.file.name })
        : null;
      image?.addEventListener("error", () => image.replaceWith(entry.file.name));
      return make(
        "li",
        {},
        image || entry.file.name,
        make(
          "button",
          {
            type: "button",
            class: "icon",
            "aria-label": `Убрать ${entry.file.name}`,
            onclick: () => {
              URL.revokeObjectURL(entry.address);
              state.files = state.files.filter((other) => other !== entry);
              drawTray();
              $("text").focus();
            },
          },
          drawing(CROSS),
        ),
      );
    }),
  );
}

function grow() {
  const box = $("text");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

// --- commands --------------------------------------------------------------------------------------------------

function matching() {
  const text = $("text").value;
  if (!/^\/\w*$/.test(text) || !state.current) return [];
  return chat().commands.filter(({ command }) => command.startsWith(text.slice(1).toLowerCase()));
}

function drawHints() {
  const found = matching();
  state.hint = Math.min(state.hint, Math.max(0, found.length - 1));
  $("hints").hidden = !found.length;
  $("text").setAttribute("aria-expanded", String(found.length > 0));
  if (found.length) $("text").setAttribute("aria-activedescendant", `hint-${state.hint}`);
  else $("text").removeAttribute("aria-activedescendant");
  $("hints").replaceChildren(
    ...found.map(({ command, description }, index) =>
      make(
        "li",
        {
          id: `hint-${index}`,
          role: "option",
          "aria-selected": String(index === state.hint),
          // The box keeps the focus: a press, not a click.
          onmousedown: (event) => {
            event.preventDefault();
            choose(command);
          },
        },
        make("b", {}, `/${command}`),
        make("span", {}, description),
      ),
    ),
  );
}

function hideHints() {
  $("hints").hidden = true;
  $("text").setAttribute("aria-expanded", "false");
  $("text").removeAttribute("aria-activedescendant");
}

function choose(command) {
  const whole = chat().info.type === "private" ? `/${command}` : `/${command}@${state.bot.username}`;
  $("text").value = whole;
  hideHints();
  submit();
}

function typed(event) {
  const found = $("hints").hidden ? [] : matching();
  if (found.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    const step = event.key === "ArrowDown" ? 1 : -1;
    state.hint = (state.hint + step + found.length) % found.length;
    drawHints();
    $(`hint-${state.hint}`).scrollIntoView({ block: "nearest" });
  } else if (found.length && event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    choose(found[state.hint].command);
  } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    submit(event);
  } else if (event.key === "Escape") {
    if (found.length) hideHints();
    else answer(null);
  }
}

// --- appearance ------------------------------------------------------------------------------------------------

function theme(dark, remember) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", String(dark));
  if (remember) localStorage.setItem("theme", dark ? "dark" : "light");
}

function lay(beside) {
  state.beside = beside;
  $("beside").setAttribute("aria-pressed", String(beside));
}

function begin() {
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const kept = localStorage.getItem("theme");
  theme(kept ? kept === "dark" : preferred.matches, false);
  preferred.addEventListener("change", (event) => {
    if (!localStorage.getItem("theme")) theme(event.matches, false);
  });
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark", true));

  lay(localStorage.getItem("beside") !== "no");
  $("beside").addEventListener("click", () => {
    lay(!state.beside);
    localStorage.setItem("beside", state.beside ? "yes" : "no");
    arrange();
    stick();
  });

  $("composer").addEventListener("submit", submit);
  $("text").addEventListener("keydown", typed);
  $("text").addEventListener("input", () => {
    state.hint = 0;
    grow();
    drawHints();
  });
  $("text").addEventListener("blur", hideHints);
  $("text").addEventListener("focus", drawHints);
  $("menu").addEventListener("click", () => {
    $("text").value = "/";
    $("text").focus();
    drawHints();
    if ($("hints").hidden) show("toast", "Бот ещё не назвал своих команд");
  });
  $("attach").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => {
    addFiles($("files").files);
    $("files").value = "";
  });
  $("replying-cancel").addEventListener("click", () => {
    answer(null);
    $("text").focus();
  });
  $("start").addEventListener("click", () => sendText("/start"));
  $("language").addEventListener("change", (event) => post("/api/language", { language: event.target.value }));
  $("scroll").addEventListener("scroll", watchScroll);
  // What is written below may grow (an answer's bar, several lines): the end must not slip behind it.
  new ResizeObserver(stick).observe($("scroll"));
  $("down").addEventListener("click", () => stick(true));
  addEventListener("resize", () => stick());

  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    addFiles(event.clipboardData.files);
  });
  let depth = 0; // dragenter and dragleave come for every element on the way
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth -= 1;
    $("drop").hidden = depth > 0 ? false : true;
  });
  addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    $("drop").hidden = true;
    addFiles(event.dataTransfer.files);
  });
  listen();
}

begin();
