/** A virtual list: only the rows in view exist. Follows the newest line until one scrolls up. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { lines } from '../store';
import { clock, exact, number } from '../format';
import { link, route, setQuery } from '../routes';
import { Panel } from '../ui/parts';
import type { KeyedLine } from '../store';

const ROW = 20;
const LEVELS: Array<[string, string[]]> = [['all', []], ['info', ['info', 'warning', 'error']], ['warnings', ['warning', 'error']], ['errors', ['error']]];

export function EventLog() {
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  const [top, setTop] = useState(0);
  const [frozen, setFrozen] = useState<readonly KeyedLine[] | null>(null);
  const mark = useRef(0);
  const first = useRef(0);
  const text = route.value.query.get('log') ?? '';
  const level = route.value.query.get('level') ?? 'info';
  const wanted = LEVELS.find(([name]) => name === level)?.[1] ?? [];
  const needle = text.toLowerCase();
  const all = frozen ?? lines.value;
  const list = !needle && !wanted.length ? all : all.filter((line) => (!wanted.length || wanted.includes(line.level))
    && (!needle || `${line.text} ${line.source} ${line.flowId ?? ''} ${line.executionId ?? ''}`.toLowerCase().includes(needle)));
  const newest = lines.value.at(-1)?.key ?? 0;
  if (follow && !frozen) mark.current = newest;
  const waiting = newest - mark.current;
  const height = box.current?.clientHeight ?? 200;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const head = list[0]?.key ?? 0;
    if (follow) element.scrollTop = element.scrollHeight;
    else if (first.current && head > first.current) element.scrollTop -= (head - first.current) * ROW;
    first.current = head;
  }, [list.length, newest, follow, frozen]);
  const from = Math.max(0, (follow ? list.length - Math.ceil(height / ROW) : Math.floor(top / ROW)) - 10);
  const shown = list.slice(from, from + Math.ceil(height / ROW) + 20);
  const scrolled = (): void => {
    const element = box.current!;
    setTop(element.scrollTop);
    setFollow(element.scrollHeight - element.scrollTop - element.clientHeight < ROW * 1.5);
  };
  return (
    <Panel title="Event log" class="c7 o6" testid="event-log" note={frozen ? 'paused' : ''} side={
      <div class="filters">
        <input type="search" placeholder="Filter" aria-label="Filter the log by text" value={text} onInput={(event) => setQuery('log', event.currentTarget.value)} />
        {LEVELS.map(([name]) => <button key={name} class={`chip ${level === name ? 'on' : ''}`} aria-pressed={level === name} onClick={() => setQuery('level', name === 'info' ? '' : name)}>{name}</button>)}
        <button class={`chip ${frozen ? 'on' : ''}`} aria-pressed={frozen !== null} onClick={() => setFrozen(frozen ? null : lines.value)}>{frozen ? 'go on' : 'pause'}</button>
      </div>}>
      <div class="logwrap">
        <div class="log" ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-live="off">
          <div style={{ height: `${list.length * ROW}px`, position: 'relative' }}>
            {shown.map((line, index) => (
              <div key={line.key} class={`line ${line.level}`} style={{ top: `${(from + index) * ROW}px` }} data-level={line.level}>
                <time title={exact(line.time)}>{clock(line.time, 4)}</time><span class="lv">{line.level === 'warning' ? 'warn' : line.level}</span><span class="src">{line.source}</span>
                {line.executionId ? <a class="tx" href={link('executions', line.executionId)} title={line.text}>{line.text}</a> : <span class="tx" title={line.text}>{line.text}</span>}
              </div>
            ))}
          </div>
        </div>
        {!list.length && <p class="note over">{all.length ? 'No line passes the filter.' : 'No event yet.'}</p>}
        {waiting > 0 && (!follow || frozen) && <button class="more" onClick={() => { setFrozen(null); setFollow(true); }}>↓ {number(waiting)} new · go on</button>}
      </div>
    </Panel>
  );
}
