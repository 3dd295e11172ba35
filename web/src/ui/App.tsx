/** The frame: rail, header with the connection, tabs on phones, keyboard, and the page. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { alerts, connection, health, held, metricsAt, now, paused, present, version } from '../store';
import { EXPLAINED, STATE } from '../closing';
import { freshness, steady } from '../freshness';
import { link, route, setQuery } from '../routes';
import { togglePause, tryAgain } from '../socket';
import { clock, number, span } from '../format';
import { nextTheme, theme } from './theme';
import { Overview } from '../pages/Overview';
import { FlowPage, Flows } from '../pages/Flows';
import { ExecutionPage } from '../pages/Execution';
import { AlertsPage } from '../pages/Alerts';
import { SystemPage } from '../pages/System';

const PAGES = [['overview', 'Overview'], ['flows', 'Flows'], ['alerts', 'Alerts'], ['system', 'System']] as const;
const KEYS: Record<string, string> = { o: 'overview', f: 'flows', a: 'alerts', s: 'system' };

function Connection() {
  const kind = present();
  const wait = Math.max(0, Math.ceil((connection.value.retryAt - now.value) / 1000));
  const closed = STATE[connection.value.why ?? ''](wait);
  const words = {
    live: 'Live', connecting: 'Connecting', paused: `Paused${held.value ? ` · ${number(held.value)} waiting` : ''}`,
    reconnecting: closed, refused: closed, stale: `Stale · as of ${clock(metricsAt.value)}`, behind: `Behind by ${span(freshness.age(steady()))}`,
  };
  return <span class={`live ${kind}`} data-testid="connection" data-state={kind} role="status"><i aria-hidden="true" />{words[kind]}</span>;
}
/** Why there is no connection, where that is more than a passing thing, and what one can do. */
function Closed() {
  const { state, why = '' } = connection.value;
  if ((state !== 'reconnecting' && state !== 'refused') || !EXPLAINED[why]) return null;
  return <div class="banner" role="alert" data-testid="closed"><b>▲ {STATE[why](0).replace(/[ ,]*(trying again|reconnecting) \(.*/, '')}.</b> {EXPLAINED[why]} <button class="btn" onClick={tryAgain}>Try again</button></div>;
}
function Page() {
  const { page, id } = route.value;
  if (page === 'flows') return id ? <FlowPage key={id} id={id} /> : <Flows />;
  if (page === 'executions' && id) return <ExecutionPage key={id} id={id} />;
  if (page === 'alerts') return <AlertsPage />;
  if (page === 'system') return <SystemPage />;
  if (page === 'overview') return <Overview />;
  return <div class="empty"><p>There is no page “{page}”.</p><a class="btn" href={link('overview')}>Overview</a></div>;
}
function Tabs({ class: name, label }: { class: string; label: string }) {
  const firing = [...alerts.value.values()].filter((item) => item.status === 'firing').length;
  const current = route.value.page === 'executions' ? 'flows' : route.value.page;
  return (
    <div class={name} role="navigation" aria-label={label}>
      {PAGES.map(([page, word]) => (
        <a key={page} href={link(page)} aria-current={current === page ? 'page' : undefined}><span>{word}</span>{page === 'alerts' && firing > 0 ? <b>{firing}</b> : null}</a>
      ))}
    </div>
  );
}
export function App() {
  const search = useRef<HTMLInputElement>(null);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    let go = false;
    const down = (event: KeyboardEvent): void => {
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key === 'Escape') { setHelp(false); (document.activeElement as HTMLElement | null)?.blur(); return; }
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (go && KEYS[event.key]) location.hash = link(KEYS[event.key]!);
      else if (event.key === '/') { event.preventDefault(); search.current?.focus(); }
      else if (event.key === '?') setHelp((old) => !old);
      go = event.key === 'g' && !go;
    };
    addEventListener('keydown', down);
    return () => removeEventListener('keydown', down);
  }, []);
  const config = health.value?.configError;
  const uptime = health.value?.uptime;
  return (
    <div class="frame">
      <nav aria-label="Pages">
        <div class="brand"><img src="/static/icon.svg" alt="" width="18" height="18" />qflowd</div>
        <Tabs class="rail" label="Pages" />
        <footer>{version.value && `version ${version.value}`}<br />{typeof uptime === 'number' && `up ${span(uptime * 1000)}`}</footer>
      </nav>
      <main>
        <header>
          <form class={`search ${route.value.page === 'flows' && !route.value.id ? 'shown' : ''}`} onSubmit={(event) => event.preventDefault()}>
            <input ref={search} type="search" placeholder="Find a flow" aria-label="Find a flow" value={route.value.page === 'flows' ? route.value.query.get('search') ?? '' : ''}
              onInput={(event) => { const text = event.currentTarget.value; if (route.value.page !== 'flows' || route.value.id) location.hash = link('flows', null, { search: text }); else setQuery('search', text); }} />
            <kbd>/</kbd>
          </form>
          <div class="grow" /><Connection />
          <button class="btn only-s" onClick={() => { location.hash = link('flows'); setTimeout(() => search.current?.focus(), 50); }}>Find</button>
          <button class="btn" onClick={nextTheme} title="Dark, light, or as the system has it">{({ dark: '☾ Dark', light: '☀ Light', system: '◐ System' })[theme.value]}</button>
          <button class="btn" aria-pressed={paused.value} onClick={togglePause}>{paused.value ? 'Go on' : 'Pause'}</button>
        </header>
        <Closed />
        {config ? <div class="banner" role="alert"><b>▲ The configuration has a mistake; the last good one stays in force.</b> <span class="mono">{config}</span></div> : null}
        <Page />
      </main>
      <Tabs class="tabs" label="Pages, bottom" />
      {help && (
        <div class="help" role="dialog" aria-label="Keys" onClick={() => setHelp(false)}>
          <dl><dt><kbd>/</kbd></dt><dd>find a flow</dd>{Object.entries(KEYS).map(([key, page]) => [<dt><kbd>g</kbd> <kbd>{key}</kbd></dt>, <dd>{page}</dd>])}<dt><kbd>esc</kbd></dt><dd>close</dd></dl>
        </div>
      )}
    </div>
  );
}
