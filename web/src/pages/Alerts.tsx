import { useResource } from '../api';
import { alerts, mergeAlerts, now, sortAlerts } from '../store';
import { NONE, number } from '../format';
import { AlertRow } from '../panels/AlertsPanel';
import type { Alert, Rule } from '../types';
import { Ago, Note, Panel, Severity } from '../ui/parts';

const itemsOf = <T,>(data: { items: T[] } | T[] | null): T[] => (Array.isArray(data) ? data : data?.items ?? []);

export function AlertsPage() {
  const version = Math.floor(now.value / 5000);
  const active = useResource<{ items: Alert[] }>('/api/v1/alerts/active', [...alerts.value.keys()].join());
  const rules = useResource<{ items: Rule[] }>('/api/v1/dashboard/alerts', version);
  const known = alerts.value.size ? alerts.value : mergeAlerts(new Map(), itemsOf(active.data));
  const list = sortAlerts(known.values());
  return (
    <div class="grid">
      <Panel title="Active" note={`${list.filter((item) => item.status === 'firing').length} firing`} class="c12">
        {list.map((alert) => <AlertRow key={alert.id} alert={alert} />)}
        {!list.length && <Note error={active.error} loading={active.loading && !active.data}>Nothing fires.</Note>}
      </Panel>
      <Panel title="Rules" note={rules.data ? `${itemsOf(rules.data).length}` : ''} class="c12">
        {rules.error || !rules.data ? <Note error={rules.error} loading={rules.loading} /> : null}
        <div class="wide"><table><thead><tr><th>Rule</th><th class="hide-s">Condition</th><th>State</th><th class="n">Value</th><th class="n hide-s">Checked</th><th class="hide-s">From</th></tr></thead><tbody>
          {itemsOf(rules.data).map((rule) => (
            <tr key={rule.id}><td title={rule.id}><Severity severity={rule.severity} /> {rule.name}</td><td class="mono hide-s" title={rule.condition}>{rule.condition}</td>
              <td>{rule.enabled === false ? 'off' : rule.state ?? NONE}</td><td class="n">{number(rule.lastValue)}</td><td class="n hide-s dim"><Ago time={rule.lastEvaluation} /></td>
              <td class="hide-s dim">{rule.source?.file ? `${rule.source.file.split('/').at(-1)}:${rule.source.line ?? '?'}` : rule.source?.kind ?? NONE}</td></tr>
          ))}
        </tbody></table></div>
      </Panel>
    </div>
  );
}
