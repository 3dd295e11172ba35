import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { range, useResource, type RangeSeries } from '../api';
import { health, now } from '../store';
import { NONE, bytes, clock, number, span } from '../format';
import { ClientsPanel } from '../panels/Clients';
import { Note, Panel } from '../ui/parts';
import { shown } from '../ui/theme';

interface Spec { title: string; query: string; label: string; unit: (value: number) => string; top?: number }
const ratio = (value: number): string => `${Math.round(value * 100)} %`;
const rate = (value: number): string => `${bytes(value)}/s`;
const CHARTS: Spec[] = [
  { title: 'CPU', query: 'cpu_utilization', label: '', unit: ratio, top: 1 }, { title: 'Memory', query: 'memory_utilization', label: '', unit: ratio, top: 1 },
  { title: 'Load, 1 min', query: 'load1', label: '', unit: number }, { title: 'Disk used', query: 'disk_utilization', label: 'mount', unit: ratio, top: 1 },
  { title: 'Network in', query: 'network_receive_bytes_per_second', label: 'device', unit: rate }, { title: 'Network out', query: 'network_transmit_bytes_per_second', label: 'device', unit: rate },
];
const INKS = ['--accent', '--medium', '--ok', '--high', '--low', '--critical'];

function Chart({ spec, version, minutes }: { spec: Spec; version: number; minutes: number }) {
  const box = useRef<HTMLDivElement>(null);
  const [found, set] = useState<RangeSeries[] | null>(null);
  const [error, fail] = useState<string | null>(null);
  const theme = shown.value;
  useEffect(() => {
    const control = new AbortController();
    const end = Date.now();
    range(spec.query, end - minutes * 60_000, end, minutes * 60 > 3600 ? 60 : 15, control.signal).then((data) => { set(data); fail(null); }, (reason: Error) => { if (!control.signal.aborted) fail(reason.message); });
    return () => control.abort();
  }, [spec.query, version, minutes]);
  useEffect(() => {
    const element = box.current;
    if (!element || !found?.length) return undefined;
    const style = getComputedStyle(document.documentElement);
    const ink = (name: string): string => style.getPropertyValue(name).trim();
    const series = found.slice(0, INKS.length);
    const times = [...new Set(series.flatMap((item) => item.points.map((point) => point[0])))].sort((a, b) => a - b);
    const step = minutes * 60 > 3600 ? 60_000 : 15_000;
    // Where no figure came the line has to break: a moment without values stands in each gap.
    for (const [index, time] of [...times].entries()) { const next = times[index + 1]; if (next !== undefined && next - time > step * 1.5) times.push(time + step); }
    times.sort((a, b) => a - b);
    const columns = series.map((item) => { const by = new Map(item.points); return times.map((time) => by.get(time) ?? null); });
    const axis = { stroke: ink('--faint'), grid: { stroke: ink('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
    const plot = new uPlot({
      width: element.clientWidth, height: 150, cursor: { sync: { key: 'host' }, drag: { x: false } }, legend: { show: true },
      scales: { y: { range: (_plot, _low, high) => [0, spec.top ?? Math.max(high * 1.1, 1e-9)] } }, axes: [{ ...axis, size: 26, space: 60, values: (_plot, ticks) => ticks.map((tick, index) => clock(tick * 1000, (ticks[index + 1] ?? Infinity) - tick < 60 || tick % 60 ? 3 : 2)) }, { ...axis, size: 66, values: (_plot, ticks) => ticks.map(spec.unit) }],
      series: [{ value: '{HH}:{mm}:{ss}' }, ...series.map((item, index) => ({ label: item.labels[spec.label] ?? spec.title, stroke: ink(INKS[index]!), width: 1.5, points: { show: false }, value: (_plot: uPlot, value: number | null) => (value === null || value === undefined ? NONE : spec.unit(value)) }))],
    }, [times.map((time) => time / 1000), ...columns], element);
    const watch = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 150 }));
    watch.observe(element);
    return () => { watch.disconnect(); plot.destroy(); };
  }, [found, theme]);
  return <Panel title={spec.title} note={`last ${minutes} min`} class="c6 chart"><div ref={box} />{error ? <Note error={error} /> : !found?.length ? <Note loading={!found}>No figures in this time.</Note> : null}</Panel>;
}
export function SystemPage() {
  const { data, error } = useResource<Record<string, unknown>>('/api/v1/dashboard/stats', Math.floor(now.value / 2000));
  const version = Math.floor(now.value / 15_000);
  const words = (name: string): string => name.replace(/([A-Z])/g, ' $1').toLowerCase().replace(/^./, (c) => c.toUpperCase());
  const text = (name: string, value: unknown): string => (typeof value !== 'number' ? String(value ?? NONE) : name === 'uptime' ? span(value * 1000) : /bytes/i.test(name) ? bytes(value) : number(value));
  return (
    <div class="grid">
      <Panel title="The daemon" class="c6">{error ? <Note error={error} /> : null}<dl>{Object.entries(data ?? {}).filter(([, value]) => typeof value !== 'object').map(([name, value]) => [<dt>{words(name)}</dt>, <dd>{text(name, value)}</dd>])}</dl></Panel>
      <Panel title="Components" class="c6"><dl>{Object.entries(health.value?.components ?? {}).map(([name, part]) => [<dt>{name}</dt>, <dd>{part.status}{part.detail ? ` · ${part.detail}` : ''}</dd>])}</dl></Panel>
      <ClientsPanel />
      {CHARTS.map((spec) => <Chart key={spec.query} spec={spec} version={version} minutes={15} />)}
    </div>
  );
}
