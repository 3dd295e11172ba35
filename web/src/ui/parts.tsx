/** Small parts that every page uses. */
import type { ComponentChildren } from 'preact';
import type { Time } from '../types';
import type { Trend } from '../store';
import { ago, exact } from '../format';
import { now, WINDOW } from '../store';

export function Panel(props: { title: string; note?: ComponentChildren; side?: ComponentChildren; class?: string; testid?: string; stale?: string | null; children: ComponentChildren }) {
  return (
    <section class={`panel ${props.class ?? ''} ${props.stale ? 'stale' : ''}`} data-testid={props.testid} aria-label={props.title}>
      <h2>{props.title} <span>{props.stale ?? props.note}</span><div class="side">{props.side}</div></h2>
      {props.children}
    </section>
  );
}
const WORDS: Record<string, [string, string]> = {
  running: ['run', 'running'], completed: ['ok', 'completed'], success: ['ok', 'success'], failed: ['fail', 'failed'], failure: ['fail', 'failed'],
  aborted: ['fail', 'aborted'], timeout: ['fail', 'timed out'], paused: ['pause', 'paused'], queued: ['queue', 'queued'], stale: ['old', 'stale'],
  skipped: ['skip', 'skipped'], cancelled: ['skip', 'cancelled'], slow: ['slow', 'late'],
};
export const statusClass = (status: string): string => WORDS[status]?.[0] ?? 'queue';
export const statusWord = (status: string): string => WORDS[status]?.[1] ?? status;
export function Status({ status, text }: { status: string; text?: string }) {
  return <span class={`st ${statusClass(status)}`}><i aria-hidden="true" />{text === undefined ? statusWord(status) : <>{text}<span class="sr"> {statusWord(status)}</span></>}</span>;
}
const SHAPES: Record<string, string> = { critical: '◆', high: '▲', medium: '●', low: '■' };
export function Severity({ severity, word }: { severity: string; word?: boolean }) {
  return <span class={`sev ${severity}`}><span aria-hidden="true">{SHAPES[severity] ?? '○'}</span>{word ? ` ${severity}` : <span class="sr">{severity}</span>}</span>;
}
export function Ago({ time }: { time: Time }) {
  return <time title={exact(time)}>{ago(time, now.value)}</time>;
}
/** A trend over the last 15 min; gaps are gaps, the threshold is a dashed line, the axis starts at zero. */
export function Spark({ trend, limit, bad, height = 34, window = WINDOW }: { trend: Trend | undefined; limit?: number; bad?: boolean; height?: number; window?: number }) {
  const times = trend?.times ?? [];
  const values = trend?.values ?? [];
  const end = times.at(-1) ?? 0;
  let max = limit ?? 0;
  for (const value of values) if (value !== null && value > max) max = value;
  max = max * 1.08 || 1;
  const y = (value: number): string => (height - 1 - (value / max) * (height - 3)).toFixed(1);
  let path = '';
  let open = false;
  let last = 0;
  values.forEach((value, index) => {
    const time = times[index] ?? 0;
    if (value === null || value === undefined) { open = false; return; }
    if (open && time - last > 60_000) open = false;
    path += `${open ? 'L' : 'M'}${(200 - Math.min(1, (end - time) / window) * 200).toFixed(1)} ${y(value)}${open ? '' : 'h.01'}`;
    open = true;
    last = time;
  });
  return (
    <svg class={`spark ${bad ? 'bad' : ''}`} viewBox={`0 0 200 ${height}`} preserveAspectRatio="none" height={height} aria-hidden="true">
      {limit !== undefined && <path class="limit" d={`M0 ${y(limit)}H200`} vector-effect="non-scaling-stroke" />}
      <path d={path} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
export function Bar({ value, kind }: { value: number | null; kind: string }) {
  if (value === null) return <div class={`bar unknown ${kind}`} title="Progress is not known" />;
  const full = Math.max(0, Math.min(1, value)) * 100;
  return <div class={`bar ${kind}`} role="progressbar" aria-valuenow={Math.round(full)} aria-valuemin={0} aria-valuemax={100}><i style={{ width: `${full}%` }} /></div>;
}
export function Note({ error, loading, children }: { error?: string | null; loading?: boolean; children?: ComponentChildren }) {
  if (error) return <p class="note bad" role="alert">✕ {error}</p>;
  return <p class="note">{loading ? 'Loading…' : children}</p>;
}
export function FirstFlow() {
  return <div class="empty"><p>No flow has been seen. This sends the first one:</p><code>qflowd exec --flow hello -- sleep 5</code></div>;
}
