import { useResource } from '../api';
import { alerts, mergeAlerts, now, sortAlerts } from '../store';
import { NONE, clock, exact, ms, number, span } from '../format';
import { AlertRow } from '../panels/AlertsPanel';
import { Why } from '../panels/Why';
import { link, route } from '../routes';
import type { Alert, Rule } from '../types';
import { Ago, Note, Panel, Severity } from '../ui/parts';

const itemsOf = <T,>(data: { items: T[] } | T[] | null): T[] => (Array.isArray(data) ? data : data?.items ?? []);

export function AlertsPage() {
  const version = Math.floor(now.value / 5000);
  const active = useResource<{ items: Alert[] }>('/api/v1/alerts/active', [...alerts.value.keys()].join());
  const rules = useResource<{ items: Rule[] }>('/api/v1/dashboard/alerts', version);
  const known = alerts.value.size ? alerts.value : mergeAlerts(new Map(), itemsOf(active.data));
  const history = useResource<{ items: Alert[] }>('/api/v1/alerts/history?limit=100', `${version}/${[...alerts.value.values()].map((item) => item.status).join()}`);
  const list = sortAlerts(known.values());
  return (
    <div class="grid">
      {route.value.id && <Why key={route.value.id} rule={route.value.id} />}
      <Panel title="Active" note={`${list.filter((item) => item.status === 'firing').length} firing`} class="c12">
        {list.map((alert) => <AlertRow key={alert.id} alert={alert} />)}
        {!list.length && <Note error={active.error} loading={active.loading && !active.data}>Nothing fires.</Note>}
      </Panel>
      <Panel title="Rules" note={rules.data ? `${itemsOf(rules.data).length}` : ''} class="c12">
        {rules.error || !rules.data ? <Note error={rules.error} loading={rules.loading} /> : null}
        <div class="wide"><table><thead><tr><th class="w-flow">Rule</th><th class="hide-s w-step">Condition</th><th>State</th><th class="n">Value</th><th class="n hide-s">Checked</th><th class="hide-s">From</th></tr></thead><tbody>
          {itemsOf(rules.data).map((rule) => (
            <tr key={rule.id}><td title={rule.id}><Severity severity={rule.severity} /> <a href={link('alerts', rule.id)}>{rule.name}</a></td><td class="mono hide-s" title={rule.condition}>{rule.condition}</td>
              <td>{rule.enabled === false ? 'off' : rule.state ?? NONE}</td><td class="n">{number(rule.lastValue)}</td><td class="n hide-s dim"><Ago time={rule.lastEvaluation} /></td>
              <td class="hide-s dim">{rule.source?.file ? `${rule.source.file.split('/').at(-1)}:${rule.source.line ?? '?'}` : rule.source?.kind ?? NONE}</td></tr>
          ))}
        </tbody></table></div>
      </Panel>
      <Panel title="History" note={history.data ? `the newest ${itemsOf(history.data).length} changes` : ''} class="c12" testid="alert-history" stale={history.error && history.data ? 'not renewed' : null}>
        {history.error || !history.data ? <Note error={history.error} loading={history.loading} /> : null}
        {history.data && !itemsOf(history.data).length ? <p class="note">No alert has fired within the retention.</p> : null}
        {itemsOf(history.data).length ? <table><thead><tr><th class="w-n">When</th><th>Alert</th><th class="w-n">Became</th><th class="hide-s">Why</th><th class="n hide-s w-n">Lasted</th></tr></thead><tbody>
          {itemsOf(history.data).map((item, index) => {
            const at = item.endsAt ?? item.firedAt ?? item.startsAt;
            return (
              <tr key={`${item.id}/${item.status}/${index}`}><td class="dim" title={exact(at)}>{clock(at)}</td><td title={item.condition}><Severity severity={item.severity} /> {item.name}</td><td>{item.status}</td>
                <td class="hide-s dim" title={item.condition}>{item.annotations?.summary || item.condition}</td><td class="n hide-s dim">{item.endsAt ? span((ms(item.endsAt) ?? 0) - (ms(item.startsAt) ?? 0)) : NONE}</td></tr>
            );
          })}
        </tbody></table> : null}
      </Panel>
    </div>
  );
}
