/** Why a rule fired or did not, and why somebody was told or was not: its decision trace. */
import { useResource } from '../api';
import { alerts, now } from '../store';
import { NONE, clock, exact, number } from '../format';
import { link } from '../routes';
import type { Alert, Num, Time } from '../types';
import { Note, Panel } from '../ui/parts';

interface Reason { stage: string; text: string; until?: Time }
interface Input { name: string; labels: Record<string, string>; value: Num }
export interface Decision {
  id: string; time: Time; text: string; labels: Record<string, string>; before: string | null; after: string | null; value: Num;
  inputs: Input[]; notify: boolean | null; reasons: Reason[];
}
interface Explanation {
  standing: { state: string; lastValue: Num; error: string | null; inputs: Input[]; alerts: Array<{ alert: Alert; waits: Reason[] }> } | null;
  items: Decision[];
}
export function labelText(name: string, labels: Record<string, string>): string {
  const inside = Object.entries(labels).filter(([key]) => key !== 'alertname').map(([key, value]) => `${key}="${value}"`).join(', ');
  return inside ? `${name}{${inside}}` : name;
}
/** What became of the alert, and whether somebody was told. */
export function outcome(one: Pick<Decision, 'before' | 'after' | 'notify'>): string {
  const change = !one.after ? NONE : one.before === one.after ? one.after : `${one.before ?? 'inactive'} → ${one.after}`;
  return one.notify === null ? change : `${change}, ${one.notify ? 'told' : 'not told'}`;
}
const reason = (one: Reason): string => `${one.text}${one.until ? ` (until ${clock(one.until)})` : ''}`;
const reads = (inputs: Input[]): string => inputs.map((one) => `${labelText(one.name, one.labels)} = ${number(one.value)}`).join(' · ');

export function Why({ rule }: { rule: string }) {
  const states = [...alerts.value.values()].filter((item) => item.ruleId === rule).map((item) => `${item.id}${item.status}`).join();
  const found = useResource<Explanation>(`/api/v1/alerts/${encodeURIComponent(rule)}/explain?limit=50`, `${Math.floor(now.value / 5000)}/${states}`);
  const standing = found.data?.standing;
  return (
    <Panel title={`Why: ${rule}`} note={standing ? standing.state : ''} side={<a href={link('alerts')}>Close</a>} class="c12" testid="why">
      {found.error || !found.data ? <Note error={found.error} loading={found.loading} /> : null}
      {standing?.error ? <p class="problem">{standing.error}</p> : null}
      {standing?.inputs.length ? <p class="note mono">{reads(standing.inputs)}</p> : null}
      {standing?.alerts.flatMap(({ alert, waits }) => waits.map((one) => <p class="note" key={`${alert.id}${one.stage}`}>{alert.status} {labelText('', alert.labels ?? {})}: {reason(one)}</p>))}
      {found.data && !found.data.items.length ? <p class="note">Nothing was decided yet: the condition has not held.</p> : null}
      {found.data?.items.length ? <table><thead><tr><th class="w-n">When</th><th class="w-why">Outcome</th><th>Why</th></tr></thead><tbody>
        {found.data.items.map((one) => (
          <tr key={one.id}><td class="dim" title={exact(one.time)}>{clock(one.time)}</td><td class="wrap" title={labelText('', one.labels)}>{outcome(one)} <span class="dim">{labelText('', one.labels)}</span></td>
            <td class="wrap" title={reads(one.inputs)}>{[one.text, ...one.reasons.map(reason)].join('; ')} <span class="dim mono">{reads(one.inputs)}</span></td></tr>
        ))}
      </tbody></table> : null}
    </Panel>
  );
}
