/** The sentence that answers "is anything wrong", made from facts only. */
import type { Alert, Execution, Health, Metrics } from './types';
import type { Presence } from './store';
import type { Why } from './closing';
import { WINDOW, figure, isActive, isFailed, sortAlerts } from './store';
import { clock, durationText, errorText, ms, number, plural } from './format';

export interface Facts {
  presence: Presence; now: number; metricsAt: number; health: Health | null; metrics: Metrics | null;
  alerts: Iterable<Alert>; executions: Iterable<Execution>; why?: Why | undefined;
  /** Age of the newest message, ms. */
  age?: number;
}
export interface Headline { tone: 'critical' | 'high' | 'wait' | 'ok'; title: string; detail: string; execution?: string | undefined; page?: string }

/** How many ended runs, how many of them failed, over which window; memory may hold less than 15 min of a busy system. */
export function endedRuns(executions: Iterable<Execution>, now: number): { ended: number; failed: Execution[]; window: string } {
  const all = [...executions].filter((item) => !isActive(item.status) && item.status !== 'stale');
  const inside = all.filter((item) => now - (ms(item.endTime) ?? 0) <= WINDOW);
  const failed = inside.filter((item) => isFailed(item.status)).sort((a, b) => (ms(b.endTime) ?? 0) - (ms(a.endTime) ?? 0));
  const cut = inside.length === all.length && all.length >= 100;
  return { ended: inside.length, failed, window: cut ? 'lately' : 'in 15 min' };
}
/** *24 of 30 runs failed in 15 min*, or of the last so many where memory holds no more. */
const counted = (runs: ReturnType<typeof endedRuns>, whose = ''): string =>
  (runs.window === 'lately' ? `${number(runs.failed.length)} of the last ${number(runs.ended)} ${whose}runs failed` : `${number(runs.failed.length)} of ${number(runs.ended)} ${whose}runs failed ${runs.window}`);
function why(run: Execution): string {
  const error = errorText(run.error);
  return `${run.flowId} ${run.status === 'timeout' ? 'timed out' : run.status}${run.currentStep ? ` at ${run.currentStep}` : ''}${error ? `: ${error}` : ''}`;
}
function told(alert: Alert): string {
  const sent = alert.notifications?.filter((item) => item.channel !== 'dashboard') ?? [];
  const bad = sent.find((item) => item.status === 'failed' || item.status === 'dead');
  if (bad) return `NOT delivered to ${bad.channel}.`;
  const good = sent.find((item) => item.status === 'delivered' || item.status === 'sent');
  return good ? `${good.channel} was told${good.at ? ` at ${clock(good.at, 2)}` : ''}.` : '';
}
const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

export function headline(facts: Facts): Headline {
  const { health, now } = facts;
  if (facts.presence === 'refused') {
    return { tone: 'high', title: facts.why === 'login' ? 'Not logged in' : 'No permission', detail: 'Nothing that stands below is of this moment.' };
  }
  if (!health || facts.presence === 'connecting') {
    return facts.presence === 'reconnecting'
      ? { tone: 'high', title: 'No connection to the daemon', detail: 'Nothing is known yet; trying again.' }
      : { tone: 'wait', title: 'Connecting to the daemon', detail: 'No figures yet.' };
  }
  if (facts.presence === 'reconnecting' || facts.presence === 'stale') {
    const since = facts.metricsAt ? ` since ${clock(facts.metricsAt)}` : '';
    return { tone: 'high', title: `No fresh figures${since}`, detail: `${facts.presence === 'stale' ? 'The daemon is connected but sends no figures' : 'The connection to the daemon is lost'}; what stands below is what was last known.` };
  }
  const firing = sortAlerts(facts.alerts).filter((item) => item.status === 'firing' || item.status === 'acknowledged');
  const runs = endedRuns(facts.executions, now);
  const count = counted(runs);
  const worst = firing[0];
  if (worst) {
    const flow = worst.labels?.flow ?? worst.labels?.flowId;
    const run = flow || /error|fail/i.test(worst.condition) ? runs.failed.find((item) => !flow || item.flowId === flow) : undefined;
    const severe = worst.severity === 'critical';
    const own = flow ? endedRuns([...facts.executions].filter((item) => item.flowId === flow), now) : runs;
    const detail = [
      run && flow ? '' : sentence(worst.annotations?.summary || `${worst.condition}${worst.value === null || worst.value === undefined ? '' : `, now ${number(worst.value)}`}`),
      run ? sentence(`${counted(own, flow ? `${flow} ` : '')}; last${flow ? '' : `: ${run.flowId}`}${run.currentStep ? ` at ${run.currentStep}` : ''}: ${errorText(run.error) || run.status}`) : '',
      told(worst), worst.acknowledgedBy ? `Acknowledged by ${worst.acknowledgedBy}.` : '',
      firing.length > 1 ? `${plural(firing.length - 1, 'more alert')} firing.` : '',
    ].filter(Boolean).join(' ');
    const since = clock(worst.firedAt ?? worst.startsAt, 2);
    return { tone: severe ? 'critical' : 'high', title: `${worst.name} since ${since}`, detail, execution: run?.executionId, page: 'alerts' };
  }
  const last = runs.failed[0];
  const p95 = durationText(figure(facts.metrics, 'p95'));
  if (health.overall === 'unhealthy' || health.overall === 'degraded') {
    return { tone: health.overall === 'unhealthy' ? 'critical' : 'high', title: `The daemon is ${health.overall}`, detail: sentence(health.reasons?.join('; ') || 'It gave no reason'), page: 'system' };
  }
  if (typeof health.rulesTotal !== 'number' || health.rulesEvaluated !== health.rulesTotal || health.overall === 'starting') {
    return { tone: 'wait', title: `Starting: ${number(health.rulesEvaluated)} of ${number(health.rulesTotal)} rules checked`, detail: last ? sentence(`${count}; last: ${why(last)}`) : 'Whether all is quiet is known when every rule was checked once.' };
  }
  if (last) return { tone: 'high', title: `No alert fires, but ${count}`, detail: `Last at ${clock(last.endTime, 2)}: ${sentence(why(last))}`, execution: last.executionId };
  return {
    tone: facts.presence === 'behind' ? 'wait' : 'ok',
    title: facts.presence === 'paused' ? 'Quiet when paused' : facts.presence === 'behind' ? `Quiet as of ${clock(now - (facts.age ?? 0))}` : 'All quiet',
    detail: `${number(health.rulesEvaluated)} of ${plural(health.rulesTotal, 'rule')} checked, none fires. ${runs.ended ? `${plural(runs.ended, 'run')} ended ${runs.window}, none failed; latency p95 ${p95}.` : 'No run ended in 15 min.'}`,
  };
}
