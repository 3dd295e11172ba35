/** What the page does when its connection ends. */
import { backoff } from './positions';

export type Why = '' | 'slow' | 'full' | 'away' | 'flood' | 'login' | 'forbidden';
/** `wait` in ms until the next attempt; null: not before somebody asks for it. */
export interface Next { wait: number | null; why: Why }

/** `away` is `reconnectAfterMs` of a `going_away` that came before, `attempt` counts from 0 since a connection held. */
export function afterClose(code: number, attempt: number, away: number | null, random: () => number = Math.random): Next {
  if (code === 4001) return { wait: null, why: 'login' };
  if (code === 4003) return { wait: null, why: 'forbidden' };
  if (away !== null) return { wait: away, why: 'away' };
  // A place has to become free first: all who were refused at once come back spread over ten seconds.
  if (code === 1013) return { wait: Math.round(10_000 + 10_000 * random()), why: 'full' };
  if (code === 4008) return { wait: backoff(attempt, random), why: 'slow' };
  if (code === 4029) return { wait: backoff(10, random), why: 'flood' };
  return { wait: backoff(attempt, random), why: '' };
}
/** The header's words; `wait` in seconds. */
export const STATE: Record<Why, (wait: number) => string> = {
  '': (wait) => `Reconnecting (${wait} s)`, slow: (wait) => `Too slow, reconnecting (${wait} s)`, away: (wait) => `Restarting, reconnecting (${wait} s)`,
  full: (wait) => `Server full, trying again (${wait} s)`, flood: (wait) => `Cut off, reconnecting (${wait} s)`,
  login: () => 'Not logged in', forbidden: () => 'No permission',
};
/** What a person may want to know, or do; empty where the header says it all. */
export const EXPLAINED: Record<Why, string> = {
  '': '', away: '',
  slow: 'The connection could not carry all that came. What was missed is fetched when it is back; nothing of the log and the alerts is lost.',
  full: 'This daemon serves as many viewers as websocket.max_clients allows. The page gets in when one leaves.',
  flood: 'This page sent more messages than the daemon takes from one connection. Close copies of it that are not needed.',
  login: 'This daemon shows its streams to those who are logged in, and this browser is not.',
  forbidden: 'Who is logged in here may not see the streams. The role viewer is needed.',
};
