/** The last position of each stream, sent as `resume` after a lost connection. */
export interface Position { epoch: string; seq: number }

export class Positions {
  private readonly known = new Map<string, Position>();

  /** Notes a message; one whose seq was seen already in its epoch is a repeat and answers false. */
  note(stream: string, epoch: string, seq: number): boolean {
    const old = this.known.get(stream);
    if (old && old.epoch === epoch && seq < old.seq) return false;
    this.known.set(stream, { epoch, seq });
    return true;
  }
  /** Whether this message continues what is known, and is not a replayed one. */
  seen(stream: string, epoch: string, seq: number): boolean {
    const old = this.known.get(stream);
    return old !== undefined && old.epoch === epoch && seq <= old.seq;
  }
  forget(): void { this.known.clear(); }
  resume(): Record<string, Position> { return Object.fromEntries(this.known); }
}

/** Wait before attempt number `attempt` (from 0): doubling from 0.5 s to 15 s, a random half of it as jitter. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(15_000, 500 * 2 ** Math.min(attempt, 10));
  return Math.round(full / 2 + random() * (full / 2));
}
