/** Words for figures. What is not known is an en dash, never 0. */
import type { ErrorInfo, Num, Time } from './types';

export const NONE = '–';

/** Epoch ms of a stream's number or of a REST answer's ISO text; null when there is none. */
export function ms(time: Time): number | null {
  if (time === null || time === undefined || time === '') return null;
  const value = typeof time === 'number' ? time : Date.parse(time);
  return Number.isFinite(value) ? value : null;
}
export const known = (value: Num): value is number => typeof value === 'number' && Number.isFinite(value);

/** At most three figures that matter: 0.42, 15.5, 1,204. */
export function number(value: Num): string {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
/** A ratio of 0 to 1 as per cent, without the sign. */
export function percent(ratio: Num): string {
  if (!known(ratio)) return NONE;
  const value = ratio * 100;
  return value.toFixed(value === 0 || value >= 99.95 ? 0 : value < 0.1 ? 2 : 1);
}
/** [figure, unit] of a duration in ms, chosen so that the figure stays short. */
export function duration(value: Num): [string, string] {
  if (!known(value)) return [NONE, ''];
  if (value < 1000) return [value < 10 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value)), 'ms'];
  if (value < 60_000) return [(value / 1000).toFixed(value < 10_000 ? 2 : 1), 's'];
  return [span(value), ''];
}
export const durationText = (value: Num): string => duration(value).join(' ').trim();

/** A span in whole units, two at most: 45 s, 18 min, 4 h 5 min, 12 d 4 h. */
export function span(value: Num): string {
  if (!known(value)) return NONE;
  const s = Math.max(0, Math.floor(value / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return m < 10 && s % 60 ? `${m} min ${s % 60} s` : `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return h % 24 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${Math.floor(h / 24)} d`;
}
/** A span in its largest unit alone, for narrow columns: 12 min. */
export const coarse = (value: Num): string => span(value).split(' ').slice(0, 2).join(' ');
export function bytes(value: Num): string {
  if (!known(value)) return NONE;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let index = 0;
  let rest = value;
  while (Math.abs(rest) >= 1000 && index < units.length - 1) { rest /= 1000; index += 1; }
  return `${number(rest)} ${units[index]}`;
}
const two = (value: number): string => String(value).padStart(2, '0');
/** Local time of day; `parts` 2 is HH:MM, 3 with seconds, 4 with milliseconds. */
export function clock(time: Time, parts: 2 | 3 | 4 = 3): string {
  const value = ms(time);
  if (value === null) return NONE;
  const d = new Date(value);
  const text = `${two(d.getHours())}:${two(d.getMinutes())}`;
  if (parts === 2) return text;
  return `${text}:${two(d.getSeconds())}${parts === 4 ? `.${String(d.getMilliseconds()).padStart(3, '0')}` : ''}`;
}
/** For hovers: local date and time, and UTC. */
export function exact(time: Time): string {
  const value = ms(time);
  if (value === null) return '';
  const d = new Date(value);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(value, 4)} local · ${d.toISOString()}`;
}
export function ago(time: Time, now: number): string {
  const value = ms(time);
  return value === null ? NONE : `${span(now - value)} ago`;
}
export function errorText(error: ErrorInfo | string | null | undefined): string {
  if (!error) return '';
  if (typeof error === 'string') return error;
  return String(error.message ?? error.code ?? error.type ?? JSON.stringify(error));
}
export const plural = (count: number, one: string, many = `${one}s`): string => `${number(count)} ${count === 1 ? one : many}`;
