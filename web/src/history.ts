/** Fills the sparklines with the last 15 min at load; live figures extend them. */
import { range } from './api';
import { WINDOW, trends, type Trend } from './store';

/** The metric behind each tile. */
export const QUERIES: Record<string, string> = {
  flows: 'flows_per_second', p50: 'execution_latency_p50', p95: 'execution_latency_p95', p99: 'execution_latency_p99',
  errors: 'error_rate', cpu: 'cpu_utilization', memory: 'memory_utilization',
};
/** Past points before the first live one. */
export function prepend(past: Trend, live: Trend | undefined): Trend {
  const first = live?.times[0] ?? Infinity;
  const count = past.times.filter((time) => time < first).length;
  return { times: [...past.times.slice(0, count), ...(live?.times ?? [])], values: [...past.values.slice(0, count), ...(live?.values ?? [])] };
}
export async function loadHistory(): Promise<void> {
  const end = Date.now();
  await Promise.allSettled(Object.entries(QUERIES).map(async ([name, query]) => {
    const found = (await range(query, end - WINDOW, end, 15))[0];
    if (!found) return;
    const past = { times: found.points.map((point) => point[0]), values: found.points.map((point) => point[1]) };
    trends.value = { ...trends.value, [name]: prepend(past, trends.value[name]) };
  }));
}
