/** The live connection: subscribes on welcome, resumes from its positions, beats, reconnects with backoff and jitter. */
import { connection, forgetPaging, held, metricsAt, paused, receive, version } from './store';
import { Positions, backoff } from './positions';
import type { Message } from './types';

const HEARTBEAT = 15_000;
const HELD_LIMIT = 20_000;
const positions = new Positions();
let socket: WebSocket | null = null;
let attempt = 0;
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
  ws.onmessage = (event) => { if (ws === socket) read(ws, String(event.data)); };
  ws.onclose = () => { if (ws === socket) again(backoff(attempt)); };
}
function again(wait: number): void {
  socket = null;
  attempt += 1;
  connection.value = { state: 'reconnecting', retryAt: Date.now() + wait };
  retry = window.setTimeout(connect, wait);
}
function send(ws: WebSocket, type: string, data: unknown): void {
  if (ws.readyState === WebSocket.OPEN) ws.send(JSON.stringify({ type, data }));
}
function read(ws: WebSocket, text: string): void {
  silence = 0;
  let message: Message;
  try { message = JSON.parse(text); } catch { return; }
  if (message.type === 'welcome') {
    attempt = 0;
    version.value = message.data?.version ?? '';
    forgetPaging();
    partial.clear();
    send(ws, 'subscribe', { streams: message.data?.availableStreams ?? [], interval: 1000, resume: positions.resume() });
    connection.value = { state: 'live', retryAt: 0 };
  } else if (message.type === 'going_away') {
    attempt = 0;
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
    if (socket && silence > 2) { const dead = socket; again(backoff(0)); dead.close(); silence = 0; return; }
    if (socket) send(socket, 'heartbeat', {});
  }, HEARTBEAT);
  addEventListener('online', () => { if (!socket) connect(); });
}
