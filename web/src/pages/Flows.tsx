import { useResource } from '../api';
import { executions, now } from '../store';
import { NONE, durationText, errorText, exact, ms, number, percent, span } from '../format';
import { link, route } from '../routes';
import type { Execution, Flow } from '../types';
import { Ago, FirstFlow, Note, Panel, Status } from '../ui/parts';

type List<T> = { items: T[]; nextCursor: string | null };
/** Runs counted, from `counts` by status or a plain number. */
function runs(flow: Flow): number | null {
  if (typeof flow.executions === 'number') return flow.executions;
  const counts = Object.values(flow.counts ?? {});
  return counts.length ? (flow.counts?.total ?? counts.reduce((sum, value) => sum + value, 0)) : null;
}
export function Flows() {
  const version = Math.floor(now.value / 5000);
  const { data, error, loading } = useResource<List<Flow>>('/api/v1/flows', version);
  const needle = (route.value.query.get('search') ?? '').toLowerCase();
  const items = (data?.items ?? []).filter((flow) => flow.flowId.toLowerCase().includes(needle))
    .sort((a, b) => (b.errorRate ?? -1) - (a.errorRate ?? -1) || a.flowId.localeCompare(b.flowId));
  if (data && !data.items.length) return <FirstFlow />;
  return (
    <div class="grid"><Panel title="Flows" note={data ? `${items.length} of ${data.items.length}` : ''} class="c12" stale={error && data ? 'not renewed' : null}>
      {error || !data ? <Note error={error} loading={loading} /> : null}
      <div class="wide"><table><thead><tr><th class="w-flow">Flow</th><th class="n hide-s">Runs</th><th class="n">Errors</th><th class="n hide-s">Latency p95</th><th class="n">Last run</th></tr></thead><tbody>
        {items.map((flow) => {
          const last = flow.lastExecution;
          return (
            <tr key={flow.flowId} class={(flow.errorRate ?? 0) > 0.05 ? 'trouble' : ''}>
              <td><a href={link('flows', flow.flowId)}>{last ? <Status status={last.status} text={flow.flowId} /> : flow.flowId}</a></td>
              <td class="n hide-s">{number(runs(flow))}</td><td class="n">{percent(flow.errorRate)}{typeof flow.errorRate === 'number' ? ' %' : ''}</td>
              <td class="n hide-s">{durationText(flow.latency?.p95)}</td><td class="n dim">{last ? <Ago time={last.endTime ?? last.startTime} /> : NONE}</td>
            </tr>
          );
        })}
      </tbody></table></div>
      {data && !items.length ? <p class="note">No flow has “{needle}” in its name.</p> : null}
    </Panel></div>
  );
}
export function FlowPage({ id }: { id: string }) {
  const live = [...executions.value.values()].filter((item) => item.flowId === id);
  const version = Math.floor(now.value / 5000);
  const { data, error, loading } = useResource<List<Execution>>(`/api/v1/executions?limit=100&flow=${encodeURIComponent(id)}`, version);
  const all = new Map((data?.items ?? []).map((item) => [item.executionId, item]));
  for (const item of live) all.set(item.executionId, item);
  const items = [...all.values()].sort((a, b) => (ms(b.startTime) ?? 0) - (ms(a.startTime) ?? 0));
  const slowest = Math.max(1, ...items.slice(0, 60).map((item) => item.durationMs ?? 0));
  return (
    <div class="grid"><Panel title={id} note={items.length ? `the newest ${items.length} runs` : ''} side={<a href={link('flows')}>All flows</a>} class="c12">
      <div class="runs" aria-hidden="true">{items.slice(0, 60).reverse().map((item) => <a key={item.executionId} class={item.status} href={link('executions', item.executionId)} title={`${item.status}, ${durationText(item.durationMs)}`} style={{ height: `${8 + 40 * ((item.durationMs ?? slowest / 2) / slowest)}px` }} />)}</div>
      {error || !items.length ? <Note error={error} loading={loading}>No run of this flow is kept.</Note> : null}
      <div class="wide"><table><thead><tr><th>Run</th><th>Status</th><th class="hide-s">Error</th><th class="n">Took</th><th class="n">Started</th></tr></thead><tbody>
        {items.map((item) => (
          <tr key={item.executionId}><td class="mono"><a href={link('executions', item.executionId)}>{item.executionId}</a></td><td><Status status={item.status} /></td>
            <td class="hide-s dim" title={errorText(item.error)}>{errorText(item.error)}</td>
            <td class="n">{item.durationMs !== null && item.durationMs !== undefined ? durationText(item.durationMs) : item.startTime && !item.endTime ? span(now.value - (ms(item.startTime) ?? 0)) : NONE}</td>
            <td class="n dim" title={exact(item.startTime)}><Ago time={item.startTime} /></td></tr>
        ))}
      </tbody></table></div>
    </Panel></div>
  );
}
