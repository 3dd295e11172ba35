// The page's shell outlives the daemon: a service worker keeps the page and its assets, and never an answer of the API.
const SHELL = 'qflowd-shell';
const ASSETS = ['/dashboard', '/static/app.js', '/static/app.css', '/static/icon.svg'];

interface Lifecycle extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetch extends Lifecycle {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Worker extends EventTarget {
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}

const worker = self as unknown as Worker;

worker.addEventListener('install', (event) => {
  const kept = caches.open(SHELL).then((cache) => cache.addAll(ASSETS));
  (event as Lifecycle).waitUntil(kept.then(() => worker.skipWaiting()));
});

worker.addEventListener('activate', (event) => (event as Lifecycle).waitUntil(worker.clients.claim()));

// The daemon first, so that an upgrade is seen at once; what was kept where it does not answer.
worker.addEventListener('fetch', (event) => {
  const { request, respondWith } = { request: (event as Fetch).request, respondWith: (event as Fetch).respondWith.bind(event) };
  const path = new URL(request.url).pathname;
  if (request.method !== 'GET' || !ASSETS.includes(path)) return;
  respondWith(
    fetch(request)
      .then(async (answer) => {
        if (answer.ok) await (await caches.open(SHELL)).put(path, answer.clone());
        return answer;
      })
      .catch(async (error: unknown) => {
        const kept = await caches.match(path);
        if (kept) return kept;
        throw error;
      }),
  );
});
