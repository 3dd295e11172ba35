import test from 'node:test';
import assert from 'node:assert/strict';
import { bytes, duration, ms, number, percent, span } from '../src/format';
import { appendLines, extend, group, limitOf, trendWindow, listActive, mergeAlerts, mergeExecutions, presence, sortAlerts } from '../src/store';
import { Positions, backoff } from '../src/positions';
import { EXPLAINED, STATE, afterClose } from '../src/closing';
import { Freshness } from '../src/freshness';
import { pace } from '../src/panels/Clients';
import { headline } from '../src/headline';
import { earlier } from '../src/pages/Execution';
import { link, parse } from '../src/routes';
import { labelText, outcome } from '../src/panels/Why';

test('unknown is a dash, never 0', () => {
  for (const text of [number(null), percent(undefined), bytes(null), span(null), duration(null)[0]]) assert.equal(text, '–');
});
test('ended runs of a flow share a row; limits come from simple rules only; the window grows to 15 min', () => {
  const run = (executionId: string, status: string) => ({ executionId, flowId: 'f', status });
  assert.deepEqual(group([run('a', 'failed'), run('b', 'failed'), run('c', 'running'), run('d', 'completed')]).map((row) => [row.run.executionId, row.count]), [['a', 2], ['c', 1], ['d', 1]]);
  const rules = [{ condition: 'cpu_utilization > 0.9' }, { condition: 'cpu_utilization > 0.8' }, { condition: 'cpu_utilization > 0.1', enabled: false }, { condition: 'avg(cpu_utilization) > 0.2' }];
  assert.equal(limitOf(rules, 'cpu_utilization'), 0.8);
  assert.equal(limitOf(rules, 'error_rate'), undefined);
  assert.equal(trendWindow({ a: { times: [100_000], values: [1] } }, 200_000), 100_000);
  assert.equal(trendWindow({ a: { times: [1], values: [1] } }, 9_000_000), 900_000);
});
test('earlier attempts come from the raw events', () => {
  const of = (type: string, time: number, attempt?: number) => ({ type: `q.qflow.exec.step.${type}.v1`, time, data: { stepId: 's', ...(attempt ? { attempt } : {}) } });
  assert.deepEqual(earlier([of('dispatched', 1, 1), of('completed', 3), of('dispatched', 5, 2), of('completed', 9)]), [{ step: 's', number: 1, start: 1, end: 3 }]);
});
test('a decision says what became of the alert and whether somebody was told', () => {
  assert.equal(outcome({ before: null, after: 'firing', notify: false }), 'inactive → firing, not told');
  assert.equal(outcome({ before: 'firing', after: 'firing', notify: true }), 'firing, told');
  assert.equal(outcome({ before: null, after: 'pending', notify: null }), 'inactive → pending');
  assert.equal(outcome({ before: null, after: null, notify: null }), '–');
  assert.equal(labelText('up', { host: 'a', alertname: 'X' }), 'up{host="a"}');
});
test('figures', () => {
  assert.equal(percent(0.062), '6.2');
  assert.deepEqual(duration(1480), ['1.48', 's']);
  assert.equal(span(1_051_200_000), '12 d 4 h');
  assert.equal(ms('2026-01-01T00:00:00.000Z'), Date.UTC(2026, 0, 1));
});
test('executions: latest wins, ended are limited, active stay', () => {
  const one = mergeExecutions(new Map(), [{ executionId: 'a', flowId: 'f', status: 'running', startTime: 1 }]);
  const two = mergeExecutions(one, [1, 2, 3].map((n) => ({ executionId: `e${n}`, flowId: 'f', status: 'completed', endTime: n })), 2);
  assert.deepEqual([...two.keys()], ['a', 'e2', 'e3']);
});
test('the failing and the late first', () => {
  const run = (executionId: string, status: string, more = {}) => ({ executionId, flowId: 'f', status, startTime: 1, ...more });
  const list = listActive([run('ok', 'running'), run('late', 'running', { estimatedEnd: 5 }), run('bad', 'failed', { endTime: 99_000 }), run('done', 'completed', { endTime: 99_000 })], 100_000);
  assert.deepEqual(list.map((item) => item.executionId), ['bad', 'late', 'ok', 'done']);
});
test('log keeps its newest lines; trends slide', () => {
  const line = { time: 1, level: 'info', source: 's', text: 't', type: 'x' };
  assert.deepEqual(appendLines(appendLines([], [line, line], 1, 3), [line, line], 3, 3).map((item) => item.key), [2, 3, 4]);
  assert.deepEqual(extend({ times: [1, 50], values: [1, 2] }, 100, null, 60).times, [50, 100]);
});
test('alerts: resolved leave, severity orders', () => {
  const alert = (id: string, severity: string, status = 'firing') => ({ id, severity, status, ruleId: 'r', name: id, condition: 'c' });
  const map = mergeAlerts(new Map(), [alert('a', 'low'), alert('b', 'critical'), alert('c', 'high')]);
  assert.deepEqual(sortAlerts(mergeAlerts(map, [alert('c', 'high', 'resolved')]).values()).map((item) => item.id), ['b', 'a']);
});
test('positions resume, backoff is bounded', () => {
  const p = new Positions();
  p.note('event_log', 'e1', 5);
  assert.ok(p.seen('event_log', 'e1', 5) && !p.seen('event_log', 'e1', 6) && !p.seen('event_log', 'e2', 1));
  assert.deepEqual(p.resume(), { event_log: { epoch: 'e1', seq: 5 } });
  assert.equal(backoff(20, () => 1), 15_000);
});
test('all quiet only when every rule was checked and the link is live', () => {
  const facts = { presence: 'live' as const, now: 1, metricsAt: 1, metrics: null, alerts: [], executions: [], health: { overall: 'healthy', rulesTotal: 4, rulesEvaluated: 2 } };
  assert.equal(headline(facts).title, 'Starting: 2 of 4 rules checked');
  facts.health.rulesEvaluated = 4;
  assert.equal(headline(facts).title, 'All quiet');
  assert.notEqual(headline({ ...facts, presence: 'stale' as const }).title, 'All quiet');
  assert.match(headline({ ...facts, presence: 'behind' as const, age: 4000 }).title, /^Quiet as of /);
  assert.equal(headline({ ...facts, presence: 'refused' as const, why: 'login' as const }).title, 'Not logged in');
  assert.equal(presence({ state: 'live', retryAt: 0 }, false, 1000, 9000), 'stale');
});
test('the age of the newest message, on a connection that was slow from the start', () => {
  const f = new Freshness();
  assert.equal(f.age(0), 0);
  // The server's clock is 1,000,000 ahead of the page's, and everything from it takes 4 s.
  f.asks(10);
  f.heard(1_000_005, 4005, true);
  f.answered(1_000_015, 4015);
  assert.equal(f.age(4015), 4015 + 1_000_005 - 1_000_005);
  for (let at = 5000; at < 60_000; at += 1000) f.heard(1_000_000 + at - 4000, at, true);
  assert.ok(Math.abs(f.age(59_000) - 4005) <= 5, String(f.age(59_000)));
  assert.equal(f.silent(59_000 + 3000), false);
  assert.equal(f.silent(59_000 + 4000), true);
  // It has caught up; then the server's clock is set back by ten seconds, and after the next answer that is known.
  f.heard(1_061_000, 61_000, true);
  assert.ok(f.age(61_000) <= 5);
  f.begin();
  f.asks(62_000);
  f.answered(1_052_005, 62_010);
  f.heard(1_053_000, 63_000, true);
  assert.ok(f.age(63_000) <= 10);
  // Set forward by an hour: at once.
  f.heard(4_664_000, 64_000, true);
  assert.equal(f.age(64_000), 0);
});
test('behind is told from two seconds on, while anything comes', () => {
  const live = { state: 'live' as const, retryAt: 0 };
  assert.equal(presence(live, false, 1000, 2000, 1999), 'live');
  assert.equal(presence(live, false, 1000, 2000, 2000), 'behind');
  assert.equal(presence(live, false, 1000, 9000, 9000, true), 'stale');
  assert.equal(presence(live, true, 1000, 2000, 9000), 'paused');
  assert.equal(presence({ state: 'refused', retryAt: 0, why: 'login' }, false, 1000, 2000, 9000), 'refused');
  assert.deepEqual([pace(0), pace(300), pace(4200)], [['ok', 'keeps up'], ['slow', 'waits'], ['fail', 'behind by 4 s']]);
});
test('what a close code means for the next attempt', () => {
  const next = (code: number, attempt = 0, away: number | null = null) => afterClose(code, attempt, away, () => 0.5);
  assert.deepEqual(next(4001), { wait: null, why: 'login' });
  assert.deepEqual(next(4003, 0, 100), { wait: null, why: 'forbidden' });
  assert.deepEqual(next(1001, 3, 4321), { wait: 4321, why: 'away' });
  assert.deepEqual(next(1013), { wait: 15_000, why: 'full' });
  assert.deepEqual(next(4008), { wait: 375, why: 'slow' });
  assert.deepEqual(next(4008, 9), { wait: 11_250, why: 'slow' });
  assert.deepEqual(next(4029), { wait: 11_250, why: 'flood' });
  assert.deepEqual(next(1006, 1), { wait: 750, why: '' });
  for (const why of ['', 'slow', 'full', 'away', 'flood', 'login', 'forbidden'] as const) assert.ok(STATE[why](3) && EXPLAINED[why] !== undefined);
});
test('routes', () => {
  const route = parse(link('executions', 'a/b c', { log: 'x' }));
  assert.deepEqual([route.page, route.id, route.query.get('log')], ['executions', 'a/b c', 'x']);
});
