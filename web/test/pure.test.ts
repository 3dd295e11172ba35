import test from 'node:test';
import assert from 'node:assert/strict';
import { bytes, duration, ms, number, percent, span } from '../src/format';
import { appendLines, extend, group, limitOf, trendWindow, listActive, mergeAlerts, mergeExecutions, presence, sortAlerts } from '../src/store';
import { Positions, backoff } from '../src/positions';
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
  assert.equal(presence({ state: 'live', retryAt: 0 }, false, 1000, 9000), 'stale');
});
test('routes', () => {
  const route = parse(link('executions', 'a/b c', { log: 'x' }));
  assert.deepEqual([route.page, route.id, route.query.get('log')], ['executions', 'a/b c', 'x']);
});
