import { useRef, useState } from 'preact/hooks';
import { executions, group, isActive, isFailed, listActive, now, type Group } from '../store';
import { NONE, clock, coarse, errorText, exact, ms } from '../format';
import { link } from '../routes';
import type { Execution } from '../types';
import { Bar, FirstFlow, Panel, Status, statusClass, statusWord } from '../ui/parts';

const SHOWN = 60;

/** While the pointer is in the list its order stays; new rows go to the end. */
function holdOrder(items: Group[], order: string[]): Group[] {
  const place = new Map(order.map((id, index) => [id, index]));
  return [...items].sort((a, b) => (place.get(a.key) ?? 1e9) - (place.get(b.key) ?? 1e9));
}
function ends(run: Execution, time: number): string {
  const end = ms(run.estimatedEnd);
  if (run.status !== 'running') return statusWord(run.status);
  if (end === null) return NONE;
  return end < time ? `${coarse(time - end)} late` : `in ${coarse(end - time)}`;
}
export function ActiveFlows({ stale }: { stale: string | null }) {
  const [over, setOver] = useState(false);
  const order = useRef<string[]>([]);
  const sorted = listActive(executions.value.values(), now.value);
  const rows = group(sorted);
  const list = over ? holdOrder(rows, order.current) : rows;
  order.current = list.map((item) => item.key);
  const count = (status: string): number => sorted.filter((item) => item.status === status).length;
  const failed = sorted.filter((item) => isFailed(item.status)).length;
  const note = [`${count('running')} running`, count('paused') ? `${count('paused')} paused` : '', count('queued') ? `${count('queued')} queued` : '', failed ? `${failed} failed in 5 min` : ''].filter(Boolean).join(', ');
  return (
    <Panel title="Active flows" note={note} side={<a href={link('flows')}>All flows</a>} class="c7 o2" stale={stale} testid="active-flows">
      {list.length === 0 ? (executions.value.size ? <p class="note">Nothing runs now. <a href={link('flows')}>All flows</a></p> : <FirstFlow />) : (
        <div class="scroll" onPointerEnter={() => setOver(true)} onPointerLeave={() => setOver(false)}>
          <table class="flows">
            <thead><tr><th class="w-flow">Flow</th><th class="hide-s w-step">Step</th><th class="w-bar">Progress</th><th class="n w-n hide-s">Elapsed</th><th class="n w-n">Ends</th></tr></thead>
            <tbody>
              {list.slice(0, SHOWN).map(({ run, count: many, key }) => {
                const late = run.status === 'running' && (ms(run.estimatedEnd) ?? Infinity) < now.value;
                const kind = late ? 'slow' : statusClass(run.status);
                const start = ms(run.startTime);
                const until = isActive(run.status) ? now.value : ms(run.endTime);
                const progress = run.status === 'completed' ? 1 : run.progress ?? null;
                return (
                  <tr key={key} data-execution={run.executionId} data-status={run.status}>
                    <td><a href={link('executions', run.executionId)} title={run.executionId}><Status status={late ? 'slow' : run.status} text={run.flowId} /></a>{many > 1 ? <span class="times" title={`${many} runs; this is the newest`}> ×{many}</span> : null}</td>
                    <td class="dim hide-s" title={errorText(run.error)}>{isFailed(run.status) ? [run.currentStep, errorText(run.error)].filter(Boolean).join(': ') || NONE : run.currentStep ?? NONE}</td>
                    <td>{progress === null && !isActive(run.status) ? null : <Bar value={progress} kind={kind} />}</td>
                    <td class="n hide-s" title={exact(run.startTime)}>{start !== null && until !== null ? coarse(until - start) : NONE}</td>
                    <td class={`n t-${kind}`} title={run.estimatedEnd ? clock(run.estimatedEnd) : ''}>{ends(run, now.value)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
          {list.length > SHOWN && <p class="note">{list.length - SHOWN} more run; the failing and the late stand first.</p>}
        </div>
      )}
    </Panel>
  );
}
