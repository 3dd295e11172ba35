/** What the page knows. Pure reducers first, then the signals that hold their results. */
import { batch, signal } from '@preact/signals';
import type { Alert, Execution, Health, LogLine, Message, Metrics, RuleLimit, Validation } from './types';
import type { Why } from './closing';
import { BEHIND, SILENT, freshness, steady } from './freshness';
import { clock, ms } from './format';

export const LOG_LIMIT = 2000;
export const ENDED_LIMIT = 300;
export const WINDOW = 15 * 60_000;
const ACTIVE = new Set(['queued', 'running', 'paused']);
const FAILED = new Set(['failed', 'aborted', 'timeout']);
const RANK: Record<string, number> = { critical: 0, high: 1, medium: 2, low: 3 };

export const isActive = (status: string): boolean => ACTIVE.has(status);
export const isFailed = (status: string): boolean => FAILED.has(status);
export interface KeyedLine extends LogLine { key: number }
export interface Trend { times: number[]; values: Array<number | null> }

/** Latest record wins; all active ones are kept and the newest `limit` ended. */
export function mergeExecutions(old: ReadonlyMap<string, Execution>, changes: readonly Execution[], limit = ENDED_LIMIT): Map<string, Execution> {
  const next = new Map(old);
  for (const change of changes) next.set(change.executionId, change);
  const ended = [...next.values()].filter((item) => !isActive(item.status));
  if (ended.length > limit) {
    ended.sort((a, b) => (ms(b.endTime) ?? ms(b.startTime) ?? 0) - (ms(a.endTime) ?? ms(a.startTime) ?? 0));
    for (const item of ended.slice(limit)) next.delete(item.executionId);
  }
  return next;
}
export function appendLines(old: readonly KeyedLine[], lines: readonly LogLine[], firstKey: number, limit = LOG_LIMIT): KeyedLine[] {
  const next = old.concat(lines.map((line, index) => ({ ...line, key: firstKey + index })));
  return next.length > limit ? next.slice(next.length - limit) : next;
}
/** Alerts by id; a resolved one leaves. */
export function mergeAlerts(old: ReadonlyMap<string, Alert>, changes: readonly Alert[]): Map<string, Alert> {
  const next = new Map(old);
  for (const change of changes) {
    if (change.status === 'resolved') next.delete(change.id);
    else next.set(change.id, { ...next.get(change.id), ...change });
  }
  return next;
}
/** Firing before acknowledged before pending, then by severity, then the oldest first. */
export function sortAlerts(alerts: Iterable<Alert>): Alert[] {
  const state = (item: Alert): number => (item.status === 'firing' ? 0 : item.status === 'acknowledged' ? 1 : 2);
  return [...alerts].sort((a, b) => state(a) - state(b) || (RANK[a.severity] ?? 9) - (RANK[b.severity] ?? 9)
    || (ms(a.startsAt) ?? 0) - (ms(b.startsAt) ?? 0) || a.id.localeCompare(b.id));
}
export function extend(trend: Trend, time: number, value: number | null, window = WINDOW): Trend {
  const last = trend.times.at(-1);
  if (last !== undefined && time <= last) return trend;
  let from = 0;
  while (from < trend.times.length && (trend.times[from] ?? 0) < time - window) from += 1;
  return { times: [...trend.times.slice(from), time], values: [...trend.values.slice(from), value] };
}
/** Failing first, then late, running, paused, queued, and what just ended. Ended ones stay a minute, failed ones five. */
export function listActive(executions: Iterable<Execution>, now: number): Execution[] {
  const rank = (item: Execution): number => {
    if (isFailed(item.status)) return 0;
    if (item.status === 'running') return (ms(item.estimatedEnd) ?? Infinity) < now ? 1 : 2;
    return item.status === 'paused' ? 3 : item.status === 'queued' ? 4 : 5;
  };
  return [...executions].filter((item) => {
    if (isActive(item.status)) return true;
    return item.status !== 'stale' && now - (ms(item.endTime) ?? 0) < (isFailed(item.status) ? 300_000 : 60_000);
  }).sort((a, b) => rank(a) - rank(b) || (isActive(a.status)
    ? (ms(a.startTime) ?? 0) - (ms(b.startTime) ?? 0) : (ms(b.endTime) ?? 0) - (ms(a.endTime) ?? 0)) || a.executionId.localeCompare(b.executionId));
}

/** Ended runs of a flow stand in one row, the newest, with how many there are: failed ones apart from the others. */
export interface Group { run: Execution; count: number; key: string }
export function group(list: readonly Execution[]): Group[] {
  const rows = new Map<string, Group>();
  for (const run of list) {
    const key = isActive(run.status) ? run.executionId : `${run.flowId}\n${isFailed(run.status)}`;
    const row = rows.get(key);
    if (row) row.count += 1; else rows.set(key, { run, count: 1, key });
  }
  return [...rows.values()];
}
/** The span that sparklines show: 15 min, or since the first figure while there is less. */
export function trendWindow(all: Record<string, Trend>, time: number): number {
  const first = Math.min(...Object.values(all).map((trend) => trend.times[0] ?? time), time);
  return Math.min(WINDOW, Math.max(30_000, time - first));
}
/** The lowest limit of the enabled rules on `metric` whose condition is no more than `metric > number`. */
export function limitOf(rules: readonly RuleLimit[], metric: string): number | undefined {
  const found = rules.filter((rule) => rule.enabled !== false).map((rule) => /^\s*([a-zA-Z_:][\w:]*)\s*>=?\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$/i.exec(rule.condition))
    .filter((match) => match?.[1] === metric).map((match) => Number(match![2]));
  return found.length ? Math.min(...found) : undefined;
}

export type Link = { state: 'connecting' | 'live' | 'reconnecting' | 'refused'; retryAt: number; why?: Why };
export const connection = signal<Link>({ state: 'connecting', retryAt: 0 });
/** This page's name on the server. */
export const clientId = signal('');
export const paused = signal(false);
export const held = signal(0);
export const now = signal(Date.now());
export const metrics = signal<Metrics | null>(null);
/** When the newest performance figures arrived, by this machine's clock; 0 before the first. */
export const metricsAt = signal(0);
export const executions = signal<ReadonlyMap<string, Execution>>(new Map());
export const alerts = signal<ReadonlyMap<string, Alert>>(new Map());
export const lines = signal<readonly KeyedLine[]>([]);
export const validation = signal<Validation | null>(null);
export const health = signal<Health | null>(null);
export const trends = signal<Record<string, Trend>>({});
export const version = signal('');

export type Presence = 'live' | 'reconnecting' | 'refused' | 'paused' | 'stale' | 'behind' | 'connecting';
/** `at`: when the newest figures came, `age`: how old the newest message is, `silent`: nothing comes at all. */
export function presence(link: Link, isPaused: boolean, at: number, time: number, age = 0, silent = false): Presence {
  if (isPaused) return 'paused';
  if (link.state !== 'live') return link.state;
  if (age >= BEHIND && !silent) return 'behind';
  return at && time - at > SILENT ? 'stale' : 'live';
}
/** How the page stands at this moment. */
export const present = (): Presence => presence(connection.value, paused.value, metricsAt.value, now.value, freshness.age(steady()), freshness.silent(steady()));
/** What stands beside figures that are not of this moment; null while they are. */
export function asOf(kind: Presence): string | null {
  if (kind === 'behind') return `as of ${clock(now.value - freshness.age(steady()))}`;
  return kind !== 'live' && kind !== 'paused' && metricsAt.value ? `as of ${clock(metricsAt.value)}` : null;
}

let nextKey = 1;
const paging = new Set<string>();
function take<T>(message: Message, old: T, empty: T): T {
  const stream = message.stream ?? '';
  const fresh = message.snapshot === true && !paging.has(stream);
  if (message.snapshot && message.more) paging.add(stream); else if (message.snapshot) paging.delete(stream);
  return fresh ? empty : old;
}
export function forgetPaging(): void { paging.clear(); }

const pick: Record<string, (m: Metrics) => number | null | undefined> = {
  flows: (m) => m.throughput?.flowsPerSecond, p50: (m) => m.latency?.flowExecution?.p50, p95: (m) => m.latency?.flowExecution?.p95,
  p99: (m) => m.latency?.flowExecution?.p99, errors: (m) => m.errorRates?.flowExecution ?? m.errorRates?.overall,
  cpu: (m) => m.resourceUtilization?.cpu, memory: (m) => m.resourceUtilization?.memory,
};
/** The figure of a tile: one of flows, p50, p95, p99, errors, cpu, memory. */
export const figure = (m: Metrics | null, name: string): number | null => (m ? pick[name]?.(m) ?? null : null);

/** Takes stream messages in order; one redraw for all of them. */
export function receive(messages: readonly Message[], time = Date.now()): void {
  batch(() => {
    for (const message of messages) one(message, time);
  });
}
function one(message: Message, time: number): void {
  const { data } = message;
  if (!data) return;
  switch (message.stream) {
    case 'performance_metrics': {
      metrics.value = data;
      metricsAt.value = time;
      const next = { ...trends.value };
      for (const name of Object.keys(pick)) next[name] = extend(next[name] ?? { times: [], values: [] }, message.timestamp ?? time, figure(data, name));
      trends.value = next;
      break;
    }
    case 'flow_executions':
      executions.value = mergeExecutions(take(message, executions.value, new Map()), data.changes ?? []);
      break;
    case 'event_log': {
      const added: LogLine[] = data.lines ?? [];
      lines.value = appendLines(take(message, lines.value, []), added, nextKey);
      nextKey += added.length;
      break;
    }
    case 'alert_events': {
      const base = take(message, alerts.value, new Map<string, Alert>());
      if (message.type.startsWith('alert_')) {
        const status = message.type === 'alert_resolved' ? 'resolved' : data.status;
        alerts.value = mergeAlerts(base, [{ ...data, status }]);
      } else alerts.value = mergeAlerts(base, data.alerts ?? []);
      break;
    }
    case 'validation_pipeline':
      validation.value = data;
      trends.value = Object.entries((data as Validation).layerPerformance ?? {}).reduce((all, [name, layer]) => ({
        ...all, [`layer:${name}`]: extend(all[`layer:${name}`] ?? { times: [], values: [] }, message.timestamp ?? time, layer.avgDuration ?? null),
      }), trends.value);
      break;
    case 'system_health':
      health.value = data;
      break;
    default:
  }
}
