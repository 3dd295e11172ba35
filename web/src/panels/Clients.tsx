/** Who looks on, those that do not keep up first. */
import { useResource } from '../api';
import { BEHIND } from '../freshness';
import { NONE, bytes, exact, number, plural, span } from '../format';
import { clientId, health, now } from '../store';
import type { ClientRow } from '../types';
import { Ago, Note, Panel } from '../ui/parts';

const PAGE = 100;

/** Words and their kind for how a client keeps up: its socket takes everything, has not for a moment, or is behind. */
export function pace(behindMs: number): ['ok' | 'slow' | 'fail', string] {
  if (behindMs >= BEHIND) return ['fail', `behind by ${span(behindMs)}`];
  return behindMs > 0 ? ['slow', 'waits'] : ['ok', 'keeps up'];
}
export function ClientsPanel() {
  const { data, error, loading } = useResource<{ items: ClientRow[]; nextCursor: string | null }>(`/api/v1/clients?limit=${PAGE}`, Math.floor(now.value / 2000));
  const items = data?.items ?? [];
  const behind = items.filter((item) => item.behindMs >= BEHIND).length;
  const total = health.value?.clients;
  const note = data ? [data.nextCursor ? `${PAGE} of ${number(total)}, those behind first` : plural(items.length, 'connection'), behind ? `${number(behind)} behind` : ''].filter(Boolean).join(' · ') : '';
  return (
    <Panel title="Connected clients" note={note} class="c12" testid="clients" stale={error && data ? 'not renewed' : null}>
      {error && !data ? <Note error={error} /> : null}
      {!data && !error ? <Note loading={loading} /> : null}
      {items.length ? <table class="clients">
        <thead><tr><th>Client</th><th>Keeps up</th><th class="n">Queue</th><th class="n hide-s">Sent</th><th class="n hide-s">Left out</th><th class="n hide-s">Streams</th><th class="n hide-s">Connected</th><th class="n">Last word</th></tr></thead>
        <tbody>
          {items.map((item) => {
            const [kind, words] = pace(item.behindMs);
            return (
              <tr key={item.clientId} data-client={item.clientId} class={kind === 'fail' ? 'trouble' : ''}>
                <td title={item.clientId}>{item.subject ?? NONE} <span class="dim">{item.clientId === clientId.value ? 'this page' : item.address}</span></td>
                <td><span class={`st ${kind}`}><i aria-hidden="true" />{words}</span></td>
                <td class="n" title={`${item.bufferedBytes} bytes wait for this client`}>{item.bufferedBytes ? bytes(item.bufferedBytes) : '0'}</td>
                <td class="n hide-s" title={`${number(item.messagesSent)} messages${item.compression ? ', compressed' : ''}`}>{bytes(item.bytesSent)}</td>
                <td class="n hide-s dim" title="States that a newer one took the place of before they could be sent">{number(item.conflated)}</td>
                <td class="n hide-s dim" title={item.subscriptions.join('\n')}>{number(item.subscriptions.length)}</td>
                <td class="n hide-s dim"><Ago time={item.connectedAt} /></td>
                <td class="n dim" title={exact(item.lastSeen)}><Ago time={item.lastSeen} /></td>
              </tr>
            );
          })}
        </tbody>
      </table> : null}
    </Panel>
  );
}
