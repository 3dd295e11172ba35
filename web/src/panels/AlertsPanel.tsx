import { useState } from 'preact/hooks';
import { alerts, health, now, sortAlerts } from '../store';
import { call } from '../api';
import { NONE, clock, coarse, exact, ms, number } from '../format';
import { link } from '../routes';
import type { Alert } from '../types';
import { Panel, Severity } from '../ui/parts';

export function AlertRow({ alert }: { alert: Alert }) {
  const [state, set] = useState<string | null>(null);
  const done = alert.status === 'acknowledged';
  const act = async (what: 'ack' | 'unack'): Promise<void> => {
    set('…');
    try { await call(`/api/v1/alerts/${encodeURIComponent(alert.id)}/${what}`, { method: 'POST', body: { comment: '' } }); set(null); }
    catch (error) { set((error as Error).message); }
  };
  const since = ms(alert.firedAt) ?? ms(alert.startsAt);
  const labels = Object.entries(alert.labels ?? {}).filter(([name]) => name !== 'alertname' && name !== '__name__').map(([name, value]) => `${name}=${value}`).join(' ');
  return (
    <div class={`al ${alert.status}`} data-alert={alert.id} data-rule={alert.ruleId}>
      <Severity severity={alert.severity} /><strong title={`${alert.name}: why`}><a href={link('alerts', alert.ruleId)}>{alert.name}</a></strong>
      <time title={exact(since)}>{since === null ? NONE : coarse(now.value - since)}</time>
      <p title={alert.condition}>{alert.status}{done && alert.acknowledgedBy ? ` by ${alert.acknowledgedBy}` : ''} since {clock(since, 2)} · {alert.annotations?.summary || alert.condition}{!alert.annotations?.summary && alert.value !== null && alert.value !== undefined ? `, now ${number(alert.value)}` : ''}{labels ? ` · ${labels}` : ''}</p>
      <span class="act">{state && state !== '…' ? <em role="alert">{state}</em> : null}
        {alert.status === 'firing' && <button disabled={state === '…'} onClick={() => void act('ack')}>Acknowledge</button>}
        {done && <button disabled={state === '…'} onClick={() => void act('unack')}>Undo</button>}</span>
    </div>
  );
}
export function AlertsPanel({ stale }: { stale: string | null }) {
  const list = sortAlerts(alerts.value.values());
  const count = (status: string): number => list.filter((item) => item.status === status).length;
  const hidden = list.filter((item) => item.silencedBy?.length || item.inhibitedBy?.length).length;
  const note = [`${count('firing')} firing`, count('acknowledged') ? `${count('acknowledged')} acknowledged` : '', count('pending') ? `${count('pending')} pending` : '', hidden ? `${hidden} held back` : ''].filter(Boolean).join(' · ');
  const total = health.value?.rulesTotal;
  return (
    <Panel title="Alerts" note={note} side={<a href={link('alerts')}>All alerts</a>} class="c5 o1" stale={stale} testid="alerts">
      <div class="scroll">{list.map((alert) => <AlertRow key={alert.id} alert={alert} />)}</div>
      {!list.length && <p class="note">Nothing fires. {typeof total === 'number' ? `${number(health.value?.rulesEvaluated)} of ${number(total)} rules checked.` : ''}</p>}
    </Panel>
  );
}
