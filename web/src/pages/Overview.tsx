import { alerts, asOf, connection, executions, health, metrics, metricsAt, now, present } from '../store';
import { freshness, steady } from '../freshness';
import { headline } from '../headline';
import { link } from '../routes';
import { HealthPanel, PerformancePanel, ValidationPanel } from '../panels/figures';
import { ActiveFlows } from '../panels/ActiveFlows';
import { AlertsPanel } from '../panels/AlertsPanel';
import { EventLog } from '../panels/EventLog';

const ICONS = { critical: 'M11 2.5 20 18.5H2ZM11 8.5v5M11 16v.4', high: 'M11 2.5 20 18.5H2ZM11 8.5v5M11 16v.4', wait: 'M11 3a8 8 0 1 0 .01 0M11 6.5V11l3 2', ok: 'M11 3a8 8 0 1 0 .01 0M7.5 11.2l2.5 2.4 4.5-5' };

export function Overview() {
  const kind = present();
  const answer = headline({
    presence: kind, now: now.value, metricsAt: metricsAt.value, health: health.value, metrics: metrics.value,
    alerts: alerts.value.values(), executions: executions.value.values(), why: connection.value.why, age: freshness.age(steady()),
  });
  const stale = asOf(kind);
  return (
    <>
      <div class={`headline ${answer.tone}`} data-testid="headline" data-tone={answer.tone}>
        <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true"><path d={ICONS[answer.tone]} /></svg>
        <div><strong>{answer.title}</strong><p>{answer.detail}</p></div>
        {answer.execution ? <a class="btn" href={link('executions', answer.execution)}>Open run</a> : answer.page ? <a class="btn" href={link(answer.page)}>Open {answer.page}</a> : null}
      </div>
      <div class="grid">
        <HealthPanel stale={stale} /><PerformancePanel stale={stale} />
        <ActiveFlows stale={stale} /><AlertsPanel stale={stale} />
        <ValidationPanel stale={stale} /><EventLog />
      </div>
    </>
  );
}
