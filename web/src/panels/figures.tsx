/** System health, performance, validation pipeline. */
import { figure, health, limitOf, metrics, now, trends, trendWindow, validation } from '../store';
import { useResource } from '../api';
import { QUERIES } from '../history';
import type { Rule } from '../types';
import { NONE, duration, durationText, number, percent, span } from '../format';
import { Panel, Spark } from '../ui/parts';

type Stale = { stale: string | null };
const SHAPE: Record<string, string> = { healthy: '✓', degraded: '▲', unhealthy: '◆', starting: '◔' };

export function HealthPanel({ stale }: Stale) {
  const found = health.value;
  const overall = found?.overall ?? 'unknown';
  const word = overall.charAt(0).toUpperCase() + overall.slice(1);
  const parts = Object.entries(found?.components ?? {});
  const bad = parts.filter(([, part]) => !/^(ok|healthy|up|running|ready)$/.test(part.status));
  return (
    <Panel title="System health" class="c3 o3" stale={stale} testid="system-health">
      <div class={`state ${overall}`}><span aria-hidden="true">{SHAPE[overall] ?? '○'} </span>{found ? word : NONE}<small title={found?.reasons?.join('\n')}>{found?.reasons?.join('; ') || (overall === 'healthy' ? 'All components answer' : '')}</small></div>
      <dl>
        <dt>Connected clients</dt><dd>{number(found?.clients)}</dd><dt>Active streams</dt><dd>{number(found?.streams)}</dd>
        <dt>Rules checked</dt><dd>{number(found?.rulesEvaluated)} of {number(found?.rulesTotal)}</dd>
        <dt>Up</dt><dd>{typeof found?.uptime === 'number' ? span(found.uptime * 1000) : NONE}</dd>
        <dt>Components</dt><dd title={parts.map(([name, part]) => `${name}: ${part.status}${part.detail ? ` (${part.detail})` : ''}`).join('\n')}>{parts.length ? (bad.length ? `${bad.length} of ${parts.length} ailing` : `${parts.length} ok`) : NONE}</dd>
        {bad.map(([name, part]) => [<dt class="warn">▲ {name}</dt>, <dd class="warn">{part.status}</dd>])}
      </dl>
    </Panel>
  );
}
interface TileSpec { id: string; label: string; name: string; show: (value: number | null) => [string, string]; hint: string }
const ratio = (value: number | null): [string, string] => [percent(value), value === null ? '' : '%'];
const TILES: TileSpec[] = [
  { id: 'flows', label: 'Flows', name: 'flows', show: (v) => [number(v), v === null ? '' : '/s'], hint: '' },
  { id: 'p50', label: 'Latency p50', name: 'p50', show: duration, hint: 'last 5 min' },
  { id: 'p95', label: 'Latency p95', name: 'p95', show: duration, hint: 'last 5 min' },
  { id: 'p99', label: 'Latency p99', name: 'p99', show: duration, hint: 'last 5 min' },
  { id: 'errors', label: 'Error rate', name: 'errors', show: ratio, hint: 'of ended runs' },
  { id: 'cpu', label: 'CPU', name: 'cpu', show: ratio, hint: 'of all cores' },
  { id: 'memory', label: 'Memory', name: 'memory', show: ratio, hint: 'used' },
];
export function PerformancePanel({ stale }: Stale) {
  const perMinute = metrics.value?.throughput?.flowsPerMinute;
  const { data } = useResource<{ items: Rule[] }>('/api/v1/dashboard/alerts', Math.floor(now.value / 30_000));
  const rules = data?.items ?? [];
  const window = trendWindow(trends.value, now.value);
  return (
    <Panel title="Performance" note={`last ${span(window)}`} class="c9 o4" stale={stale} testid="performance">
      <div class="tiles">
        {TILES.map((tile) => {
          const value = figure(metrics.value, tile.name);
          const [text, unit] = tile.show(value);
          const limit = limitOf(rules, QUERIES[tile.name]!);
          const bad = limit !== undefined && value !== null && value > limit;
          const hint = limit === undefined ? tile.hint : `limit ${tile.show(limit).join(' ').replace('.0 %', ' %').replace('.00 s', ' s')}`;
          return (
            <div key={tile.id} class={`tile ${bad ? 'bad' : ''}`} data-testid={`tile-${tile.id}`}>
              <label>{tile.label}</label><div class="n"><span class="v">{text}</span> <small>{unit}</small></div>
              <div class="d">{bad ? '▲ over ' : ''}{tile.name === 'flows' && limit === undefined ? `${number(perMinute)} in the last min` : hint}</div>
              <Spark trend={trends.value[tile.name]} bad={bad} window={window} {...(limit === undefined ? {} : { limit })} />
            </div>
          );
        })}
      </div>
    </Panel>
  );
}
export function ValidationPanel({ stale }: Stale) {
  const found = validation.value;
  const layers = Object.entries(found?.layerPerformance ?? {});
  const window = trendWindow(Object.fromEntries(Object.entries(trends.value).filter(([name]) => name.startsWith('layer:'))), now.value);
  const cell = (value: number | null | undefined) => (typeof value === 'number' ? `${percent(value)} %` : NONE);
  return (
    <Panel title="Validation pipeline" note={found?.totalOperations ? `${number(found.totalOperations)} in 5 min` : ''} class="c5 o5" stale={stale} testid="validation">
      <table>
        <thead><tr><th>Layer</th><th class="n">Success</th><th class="n">Cache</th><th class="n">Average</th><th class="hide-s" /></tr></thead>
        <tbody>
          {layers.map(([name, layer]) => (
            <tr key={name} class={typeof layer.successRate === 'number' && layer.successRate < 0.95 ? 'trouble' : ''}><td>{name}</td><td class="n">{cell(layer.successRate)}</td><td class="n dim">{cell(layer.cacheHitRate)}</td>
              <td class="n">{durationText(layer.avgDuration)}</td><td class="hide-s"><Spark trend={trends.value[`layer:${name}`]} height={18} window={window} /></td></tr>
          ))}
          <tr class="all"><td>All</td><td class="n">{cell(found?.successRate)}</td><td class="n dim">{cell(found?.cacheHitRate)}</td><td class="n">{durationText(found?.avgDuration)}</td><td class="hide-s" /></tr>
        </tbody>
      </table>
      {!layers.length && <p class="note">No validation ran in 5 min.</p>}
    </Panel>
  );
}
