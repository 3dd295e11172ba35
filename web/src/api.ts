/** The HTTP API: one call for JSON, the errors of RFC 9457 in words, and a hook that keeps the old answer while a new one comes. */
import { useEffect, useState } from 'preact/hooks';

export async function call<T>(path: string, options: { method?: string; body?: unknown; signal?: AbortSignal } = {}): Promise<T> {
  const init: RequestInit = { method: options.method ?? 'GET', headers: { accept: 'application/json' }, credentials: 'same-origin' };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    init.headers = { accept: 'application/json', 'content-type': 'application/json' };
  }
  const response = await fetch(path, init);
  const text = await response.text();
  let body: any = null;
  try { body = text ? JSON.parse(text) : null; } catch { body = null; }
  if (response.ok) return body as T;
  if (response.status === 401) throw new Error('Not logged in.');
  if (response.status === 403) throw new Error('Your role does not allow this.');
  if (response.status === 404) throw new Error('Not found: it does not exist, or is older than the retention.');
  throw new Error(body?.detail || body?.title || `The daemon answered ${response.status}.`);
}

export interface Resource<T> { data: T | null; error: string | null; loading: boolean }

/** The answer of `path`; asked again whenever `path` or `version` changes. A null path asks nothing. */
export function useResource<T>(path: string | null, version: unknown = 0): Resource<T> {
  const [state, set] = useState<Resource<T>>({ data: null, error: null, loading: path !== null });
  useEffect(() => {
    if (path === null) return undefined;
    const control = new AbortController();
    set((old) => ({ ...old, loading: true }));
    call<T>(path, { signal: control.signal }).then(
      (data) => set({ data, error: null, loading: false }),
      (error: Error) => { if (!control.signal.aborted) set((old) => ({ ...old, error: error.message, loading: false })); },
    );
    return () => control.abort();
  }, [path, version]);
  return state;
}

export interface RangeSeries { labels: Record<string, string>; points: Array<[number, number | null]> }

/** Series of a PromQL query, times in epoch ms; `start` and `end` in ms, `step` in seconds. */
export async function range(query: string, start: number, end: number, step: number, signal?: AbortSignal): Promise<RangeSeries[]> {
  const search = new URLSearchParams({ query, start: String(start / 1000), end: String(end / 1000), step: String(step) });
  const answer = await call<any>(`/api/v1/query_range?${search}`, signal ? { signal } : {});
  const result: any[] = answer?.data?.result ?? [];
  return result.map((item) => ({
    labels: item.metric ?? {},
    points: (item.values ?? []).map(([t, v]: [number, string]) => {
      const value = Number(v);
      return [t * 1000, Number.isFinite(value) ? value : null];
    }),
  }));
}
