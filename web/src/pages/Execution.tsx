import { useResource } from '../api';
import { executions, isActive, now } from '../store';
import { NONE, clock, durationText, errorText, exact, ms } from '../format';
import { link } from '../routes';
import type { Execution, Step } from '../types';
import { Note, Panel, Status, statusClass, statusWord } from '../ui/parts';

export interface Row { step: Step; depth: number }
/** The steps in tree order, by start; a step whose parent is missing stands at the top. */
export function tree(steps: readonly Step[]): Row[] {
  const ids = new Set(steps.map((step) => step.stepId));
  const children = new Map<string, Step[]>();
  for (const step of steps) {
    const parent = step.parentStepId && ids.has(step.parentStepId) && step.parentStepId !== step.stepId ? step.parentStepId : '';
    children.set(parent, [...(children.get(parent) ?? []), step]);
  }
  const rows: Row[] = [];
  const seen = new Set<Step>();
  const walk = (list: Step[], depth: number): void => {
    for (const step of [...list].sort((a, b) => (ms(a.startTime) ?? Infinity) - (ms(b.startTime) ?? Infinity) || (a.attempt ?? 1) - (b.attempt ?? 1))) {
      if (seen.has(step)) continue;
      seen.add(step);
      rows.push({ step, depth });
      walk(children.get(step.stepId) ?? [], depth + 1);
    }
  };
  walk(children.get('') ?? [], 0);
  // A circle of parents has no top; its steps still have to be seen.
  walk(steps.filter((step) => !seen.has(step)), 0);
  return rows;
}
export interface Attempt { step: string; number: number; start: number; end: number }
/** Attempts before the newest, which the steps no longer hold, from the raw events. */
export function earlier(events: ReadonlyArray<Record<string, unknown>>): Attempt[] {
  const open = new Map<string, Attempt>();
  const done: Attempt[] = [];
  const sorted = [...events].sort((a, b) => (ms(a.time as string) ?? 0) - (ms(b.time as string) ?? 0));
  for (const event of sorted) {
    const data = (event.data ?? {}) as { stepId?: string; attempt?: number };
    const time = ms(event.time as string);
    const id = data.stepId;
    if (!id || time === null) continue;
    if (/step\.dispatched/.test(String(event.type))) {
      const before = open.get(id);
      if (before) done.push(before);
      open.set(id, { step: id, number: data.attempt ?? (before?.number ?? 0) + 1, start: time, end: time });
    } else if (/step\.completed/.test(String(event.type))) {
      const now = open.get(id);
      if (now) now.end = time;
    }
  }
  return done;
}
function Gantt({ rows, from, to, past }: { rows: Row[]; from: number; to: number; past: Attempt[] }) {
  const whole = Math.max(1, to - from);
  const at = (time: number): number => Math.max(0, Math.min(100, ((time - from) / whole) * 100));
  return (
    <div class="gantt">
      <div class="g-axis"><span /><div>{[0, 0.25, 0.5, 0.75, 1].map((part) => <i key={part} style={{ left: `${part * 100}%` }}>{durationText(part * whole)}</i>)}</div></div>
      {rows.map(({ step, depth }) => {
        const start = ms(step.startTime) ?? (ms(step.endTime) !== null ? ms(step.endTime)! - (step.durationMs ?? 0) : null);
        const end = ms(step.endTime) ?? (step.status === 'running' ? to : start);
        return (
          <div class="g-row" key={`${step.stepId}/${step.attempt ?? 1}`}>
            <span style={{ paddingLeft: `${depth * 14}px` }} title={step.name}><Status status={step.status} text={step.name || step.stepId} /></span>
            <div>{past.filter((item) => item.step === step.stepId && item.number !== (step.attempt ?? 1)).map((item) => <b key={item.number} class="fail past" style={{ left: `${at(item.start)}%`, width: `max(3px, ${at(item.end) - at(item.start)}%)` }} title={`attempt ${item.number}, ${durationText(item.end - item.start)}`} />)}
              {start !== null && end !== null ? <b class={statusClass(step.status)} style={{ left: `${at(start)}%`, width: `max(3px, ${at(end) - at(start)}%)` }} title={`attempt ${step.attempt ?? 1}, ${statusWord(step.status)}, ${durationText(end - start)}`} /> : null}</div>
          </div>
        );
      })}
    </div>
  );
}
export function ExecutionPage({ id }: { id: string }) {
  const live = executions.value.get(id);
  const running = live ? isActive(live.status) : false;
  const { data, error, loading } = useResource<Execution>(`/api/v1/executions/${encodeURIComponent(id)}`, `${live?.status}/${running ? Math.floor(now.value / 2000) : 0}`);
  const run = data ? { ...data, ...live, steps: data.steps, events: data.events } : live;
  if (!run) return <div class="grid"><Panel title={`Run ${id}`} class="c12"><Note error={error} loading={loading} /></Panel></div>;
  const rows = tree(run.steps ?? []);
  const starts = [ms(run.startTime), ...rows.map(({ step }) => ms(step.startTime))].filter((value): value is number => value !== null);
  const from = starts.length ? Math.min(...starts) : now.value;
  const to = ms(run.endTime) ?? (isActive(run.status) ? now.value : Math.max(from, ...rows.map(({ step }) => ms(step.endTime) ?? from)));
  const problem = errorText(run.error);
  return (
    <div class="grid">
      <Panel title={run.flowId} note={<span class="mono">{id}</span>} side={<a href={link('flows', run.flowId)}>All runs</a>} class="c12">
        {problem ? <p class="problem" role="alert">✕ {run.currentStep ? `${run.currentStep}: ` : ''}{problem}</p> : null}
        <dl class="facts"><div><dt>Status</dt><dd><Status status={run.status} /></dd></div><div><dt>Started</dt><dd title={exact(run.startTime)}>{clock(run.startTime)}</dd></div>
          <div><dt>{isActive(run.status) ? 'Running for' : 'Took'}</dt><dd>{durationText(run.durationMs ?? (run.startTime ? to - from : null))}</dd></div><div><dt>Step</dt><dd>{run.currentStep ?? NONE}</dd></div>
          <div><dt>Trigger</dt><dd>{run.triggerType ?? NONE}</dd></div><div><dt>Tenant</dt><dd>{run.tenant ?? NONE}</dd></div><div><dt>Source</dt><dd>{run.source ?? NONE}</dd></div></dl>
      </Panel>
      <Panel title="Steps" note={rows.length ? `${rows.length}` : ''} class="c12">
        {rows.length ? <Gantt rows={rows} from={from} to={to} past={earlier(run.events ?? [])} /> : <Note error={error} loading={loading && !data}>This run sent no steps.</Note>}
        {rows.length ? <div class="wide"><table><thead><tr><th>Step</th><th class="hide-s">Status</th><th class="n hide-s">Attempt</th><th class="n">Took</th><th>Error</th></tr></thead><tbody>
          {rows.map(({ step, depth }) => <tr key={`${step.stepId}/${step.attempt ?? 1}`}><td style={{ paddingLeft: `${12 + depth * 14}px` }}>{step.name || step.stepId}</td><td class="hide-s"><Status status={step.status} /></td><td class="n hide-s">{step.attempt ?? 1}</td><td class="n">{durationText(step.durationMs)}</td><td class="wrap">{errorText(step.error)}</td></tr>)}
        </tbody></table></div> : null}
      </Panel>
      {run.events?.length ? <Panel title="Events" note={`${run.events.length}`} class="c12"><div class="raw scroll">{run.events.map((event, index) => <details key={index}><summary class="mono">{clock(event.time as number)} {String(event.type)}</summary><pre>{JSON.stringify(event, null, 2)}</pre></details>)}</div></Panel> : null}
    </div>
  );
}
