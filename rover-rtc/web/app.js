// Joins the hub that served this page as a client, and stays joined. What comes from the network
// is only ever shown as text.

const GATHERING_MS = 1000;
const CALL_MS = 5000;
const CONNECT_MS = 10000;
const DISCONNECTED_MS = 1000;
const MIN_PAUSE_MS = 500;
const MAX_PAUSE_MS = 10000;
const MAX_SHOWN = 200;

const byId = (id) => document.getElementById(id);
const [state, status, messages, form, input, button] =
  ["state", "status", "messages", "form", "text", "send"].map(byId);

// The link in use or in the making; null while the page waits for the next attempt. All that
// happens later to a link that is not this one any more is of no interest.
let link = null;
let attempts = 0;
let retry = 0;

function connect() {
  clearTimeout(retry);
  hangUp();
  show("connecting", attempts ? `Connecting, attempt ${attempts + 1}` : "Connecting");
  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel("test");
  const mine = { pc, channel, session: null, timer: 0, restarting: false };
  link = mine;
  const lost = (why) => mine === link && reconnect(why);
  mine.timer = setTimeout(() => lost("no connection in time"), CONNECT_MS);

  channel.binaryType = "arraybuffer";
  channel.onopen = () => {
    if (mine !== link) return;
    clearTimeout(mine.timer);
    attempts = 0;
    show("connected", "Connected");
  };
  channel.onclose = () => lost("the hub said good-bye");
  channel.onmessage = ({ data }) => mine === link && receive(data);
  pc.onconnectionstatechange = () => {
    if (mine !== link) return;
    const now = pc.connectionState;
    if (now === "failed" || now === "closed") return lost("the connection failed");
    if (channel.readyState !== "open") return;
    clearTimeout(mine.timer);
    if (now === "disconnected") {
      show("connecting", "Connection lost, looking for another way");
      mine.timer = setTimeout(() => restart(mine).catch(lost), DISCONNECTED_MS);
    } else if (now === "connected") {
      show("connected", "Connected");
    }
  };
  negotiate(mine).catch(lost);
}

async function negotiate(mine) {
  const { response, answer } = await offer(mine, "/v1/sessions", "POST");
  mine.session = response.headers.get("Location");
  if (mine !== link) return end(mine);
  await mine.pc.setRemoteDescription(answer);
}

// The network under the connection has gone: new candidates, the same session. A hub that does
// not know the session was restarted, and only a new one helps.
async function restart(mine) {
  if (mine !== link || mine.restarting) return;
  mine.restarting = true;
  mine.pc.restartIce();
  const { answer } = await offer(mine, mine.session, "PATCH");
  if (mine !== link) return;
  await mine.pc.setRemoteDescription(answer);
  mine.restarting = false;
  if (mine.pc.connectionState === "connected") return;
  mine.timer = setTimeout(() => mine === link && reconnect("the network is gone"), CONNECT_MS);
}

async function offer({ pc }, url, method) {
  await pc.setLocalDescription();
  await gathered(pc);
  const { type, sdp } = pc.localDescription;
  const response = await fetch(url, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ type, sdp }),
    signal: AbortSignal.timeout(CALL_MS),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `the hub answered ${response.status}`);
  return { response, answer };
}

// All candidates go with the offer; one that takes longer than this is not worth waiting for.
function gathered(pc) {
  return new Promise((resolve) => {
    const check = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHERING_MS);
    check();
  });
}

// Closes the link without trying again.
function hangUp() {
  const old = link;
  link = null;
  if (!old) return;
  clearTimeout(old.timer);
  end(old);
}

function end({ pc, session }) {
  pc.close();
  // The hub would find out by itself, but later. Outlives the page.
  if (session) fetch(session, { method: "DELETE", keepalive: true }).catch(() => {});
}

function reconnect(why) {
  hangUp();
  // Not all pages at once, when the hub is back.
  const pause = Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** attempts) * (0.7 + 0.6 * Math.random());
  attempts += 1;
  const reason = why instanceof Error ? why.message : why;
  show("waiting", `Not connected: ${reason}. Next attempt in ${(pause / 1000).toFixed(1)} s`);
  clearTimeout(retry);
  retry = setTimeout(connect, pause);
}

function show(name, text) {
  state.dataset.state = name;
  state.textContent = text;
  button.disabled = name !== "connected";
}

function receive(data) {
  if (typeof data === "string") {
    const report = statusOf(data);
    return report ? showStatus(report) : add("received", data);
  }
  const bytes = new Uint8Array(data);
  const payload = decodePayload(bytes);
  if (!payload) return add("received", `${bytes.length} bytes`);
  const made = new Date(Number(payload.timestamp / 1000000n));
  add("received", textOf(payload.data) ?? `a payload of ${payload.data.length} bytes`, made);
}

function statusOf(text) {
  try {
    const read = JSON.parse(text);
    return read?.type === "status" ? read : null;
  } catch {
    return null;
  }
}

function showStatus(report) {
  const row = ([name, value]) => {
    const line = document.createElement("tr");
    const [head, cell] = ["th", "td"].map((tag) => document.createElement(tag));
    head.scope = "row";
    head.textContent = name.replaceAll("_", " ");
    cell.textContent = typeof value === "object" ? JSON.stringify(value) : String(value);
    line.append(head, cell);
    return line;
  };
  status.replaceChildren(...Object.entries(report).filter(([name]) => name !== "type").map(row));
}

function add(kind, text, made = new Date()) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  const valid = !Number.isNaN(made.getTime());
  time.textContent = valid ? made.toLocaleTimeString([], { hour12: false }) : "?";
  if (valid) time.dateTime = made.toISOString();
  line.className = kind;
  line.append(time, text);
  // Follows the newest, unless the reader has scrolled back.
  const follow = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
  messages.append(line);
  while (messages.childElementCount > MAX_SHOWN) messages.firstElementChild.remove();
  if (follow) messages.scrollTop = messages.scrollHeight;
}

function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Reads a payload of rover-rtc peers, `{ data: Vec<u8>, timestamp: i64 }` as bincode 2 writes it
// in its standard configuration: integers of variable length, signed ones in zigzag order. Null if
// the bytes are anything else.
function decodePayload(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (length) => (at += length) - length;
  const varint = () => {
    const first = view.getUint8(take(1));
    if (first < 251) return BigInt(first);
    if (first === 251) return BigInt(view.getUint16(take(2), true));
    if (first === 252) return BigInt(view.getUint32(take(4), true));
    if (first === 253) return view.getBigUint64(take(8), true);
    throw new RangeError("no integer of 64 bits");
  };
  try {
    const length = varint();
    if (length > BigInt(bytes.length - at)) return null;
    const from = take(Number(length));
    const data = bytes.subarray(from, at);
    const zigzag = varint();
    const timestamp = zigzag & 1n ? -(zigzag >> 1n) - 1n : zigzag >> 1n;
    return at === bytes.length ? { data, timestamp } : null;
  } catch {
    return null; // it ends too soon
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value;
  if (!text || link?.channel.readyState !== "open") return;
  try {
    link.channel.send(text);
  } catch (error) {
    return add("sent", `not sent: ${error.message}`);
  }
  add("sent", text);
  input.value = "";
  input.focus();
});

addEventListener("pagehide", () => {
  clearTimeout(retry);
  hangUp();
});
// Back from the browser's cache of left pages.
addEventListener("pageshow", (event) => event.persisted && connect());
addEventListener("online", () => link ?? connect());

connect();
