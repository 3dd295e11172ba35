/** The live connection: subscribes on welcome, resumes from its positions, beats, reconnects with backoff and jitter. */
import { clientId, connection, forgetPaging, held, metricsAt, paused, receive, version } from './store';
import { afterClose } from './closing';
import { freshness, steady } from './freshness';
import { Positions } from './positions';
import type { Message } from './types';

const HEARTBEAT = 15_000;
const HELD_LIMIT = 20_000;
/** A connection that lasted so long held: the next attempt is the first again. */
const HELD_FOR = 10_000;
const LOST = 1006;
const positions = new Positions();
let socket: WebSocket | null = null;
let attempt = 0;
let openedAt = 0;
/** `reconnectAfterMs` of a `going_away` on this connection. */
let away: number | null = null;
let inbox: Message[] = [];
let flushing = false;
let silence = 0;
let retry = 0;
/** Streams whose snapshot has begun and not ended: nothing that comes meanwhile is a position. */
const partial = new Set<string>();
/** The pause held more than it may; going on takes a fresh snapshot. */
let overflowed = false;

export function connect(): void {
  clearTimeout(retry);
  const ws = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
  socket = ws;
  openedAt = 0;
  away = null;
  ws.onmessage = (event) => { if (ws === socket) read(ws, String(event.data)); };
  ws.onclose = (event) => { if (ws === socket) again(event.code); };
}
function again(code: number): void {
  socket = null;
  if (openedAt && steady() - openedAt > HELD_FOR) attempt = 0;
  const { wait, why } = afterClose(code, attempt, away);
  attempt += 1;
  if (wait === null) { connection.value = { state: 'refused', retryAt: 0, why }; return; }
  connection.value = { state: 'reconnecting', retryAt: Date.now() + wait, why };
  retry = window.setTimeout(connect, wait);
}
/** Somebody asks for it: after a login, or a wait that is too long for them. */
export function tryAgain(): void {
  if (socket) return;
  clearTimeout(retry);
  connection.value = { state: 'connecting', retryAt: 0 };
  connect();
}
function send(ws: WebSocket, type: string, data: unknown): void {
  if (ws.readyState === WebSocket.OPEN) ws.send(JSON.stringify({ type, data }));
}
function beat(ws: WebSocket): void {
  if (ws.readyState !== WebSocket.OPEN) return;
  freshness.asks(steady());
  send(ws, 'heartbeat', {});
}
function read(ws: WebSocket, text: string): void {
  silence = 0;
  let message: Message;
  try { message = JSON.parse(text); } catch { return; }
  const stamp = message.timestamp ?? 0;
  if (message.type === 'heartbeat_ack') { freshness.answered(stamp, steady()); return; }
  if (message.type === 'welcome') freshness.begin();
  if (stamp) freshness.heard(stamp, steady(), message.stream !== undefined);
  if (message.type === 'welcome') {
    openedAt = steady();
    clientId.value = message.data?.clientId ?? '';
    version.value = message.data?.version ?? '';
    forgetPaging();
    partial.clear();
    send(ws, 'subscribe', { streams: message.data?.availableStreams ?? [], interval: 1000, resume: positions.resume() });
    connection.value = { state: 'live', retryAt: 0 };
    beat(ws);
  } else if (message.type === 'going_away') {
    away = Number(message.data?.reconnectAfterMs) || 0;
  } else if (message.stream) {
    const { stream, epoch = '', seq = 0 } = message;
    if (!message.snapshot && positions.seen(stream, epoch, seq)) return;
    // A page of a snapshot that is not the last is no position: resuming there would lose the rest.
    if (message.snapshot && message.more) partial.add(stream);
    else if (message.snapshot) partial.delete(stream);
    if (!partial.has(stream)) positions.note(stream, epoch, seq);
    if (overflowed) { held.value += 1; return; }
    inbox.push(message);
    later();
  }
}
function later(): void {
  if (paused.value) {
    held.value = inbox.length;
    if (inbox.length > HELD_LIMIT) { overflowed = true; inbox = []; }
    return;
  }
  if (flushing) return;
  flushing = true;
  setTimeout(flush, 50);
}
function flush(): void {
  flushing = false;
  if (paused.value || !inbox.length) return;
  const messages = inbox;
  inbox = [];
  receive(messages);
}
/** Connects anew without positions: the daemon answers with whole snapshots. */
function fresh(): void {
  overflowed = false;
  inbox = [];
  positions.forget();
  const old = socket;
  clearTimeout(retry);
  connect();
  old?.close();
}
export function togglePause(): void {
  paused.value = !paused.value;
  held.value = 0;
  if (!paused.value) {
    metricsAt.value = Date.now();
    if (overflowed) { fresh(); return; }
    flush();
  }
}
export function startSocket(): void {
  connect();
  setInterval(() => {
    // Two beats without any word from the server: the connection is dead even if TCP has not noticed.
    silence += 1;
    if (socket && silence > 2) { const dead = socket; again(LOST); dead.close(); silence = 0; return; }
    if (socket) beat(socket);
  }, HEARTBEAT);
  addEventListener('online', tryAgain);
  // Whoever logs in elsewhere and comes back does not have to say so.
  addEventListener('focus', () => { if (connection.value.state === 'refused') tryAgain(); });
}
