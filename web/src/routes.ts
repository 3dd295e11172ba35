/** The URL is the state: `#/flows?search=pay`. */
import { signal } from '@preact/signals';

export interface Route { page: string; id: string | null; query: URLSearchParams }

export function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page, ...rest] = path.split('/');
  let id: string | null = rest.join('/') || null;
  try { id = id && decodeURIComponent(id); } catch { /* a hand-written %: taken as it stands */ }
  return { page: page || 'overview', id, query: new URLSearchParams(search) };
}
export function link(page: string, id?: string | null, query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString();
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ''}${search ? `?${search}` : ''}`;
}
export const route = signal<Route>(parse(typeof location === 'undefined' ? '' : location.hash));

export function watchRoute(): void {
  addEventListener('hashchange', () => { route.value = parse(location.hash); scrollTo(0, 0); });
}
/** Sets or (empty) removes one filter, without a step in the history. */
export function setQuery(name: string, value: string): void {
  const { page, id, query } = route.value;
  const next = Object.fromEntries(query);
  if (value) next[name] = value; else delete next[name];
  const hash = link(page, id, next);
  history.replaceState(null, '', hash);
  route.value = parse(hash);
}
