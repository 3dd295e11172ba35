/** How old the newest message is, by an estimate of the server's clock. Times in ms; `time` is a clock of this page that never jumps. */
export const BEHIND = 2000;
export const SILENT = 3500;
/** Answers that are remembered; older ones go, for clocks drift. */
const BOUNDS = 20;

export class Freshness {
  /** The server's clock minus ours; null before the first word. */
  private offset: number | null = null;
  private newest = 0;
  private heardAt = -Infinity;
  private asked: number[] = [];
  /** What the last answers said of the offset at most. */
  private bounds: number[] = [];

  /** A new connection: what was on its way on the old one says nothing of this one. */
  begin(): void { this.newest = 0; this.asked = []; }
  /** A message stamped `stamp` by the server came: its clock is at least as far ahead as that says. */
  heard(stamp: number, time: number, onStream = false): void {
    this.heardAt = time;
    this.offset = Math.max(this.offset ?? -Infinity, stamp - time);
    if (onStream) this.newest = Math.max(this.newest, stamp);
  }
  asks(time: number): void { this.asked.push(time); }
  /**
   * The answer to the oldest question. It was stamped after that was asked, so the server's clock is no further ahead than that says,
   * and hardly less: what is slow is the way from the server, where messages wait, not the way to it.
   */
  answered(stamp: number, time: number): void {
    const sent = this.asked.shift();
    if (sent !== undefined) {
      this.bounds = [...this.bounds, stamp - sent].slice(-BOUNDS);
      this.offset = Math.min(...this.bounds);
    }
    this.heard(stamp, time);
  }
  /** Age of the newest message of a stream; 0 while none came. */
  age(time: number): number {
    return this.newest && this.offset !== null ? Math.max(0, time + this.offset - this.newest) : 0;
  }
  /** Whether nothing at all has come for too long. */
  silent(time: number): boolean { return time - this.heardAt > SILENT; }
}
export const freshness = new Freshness();
/** The clock for it: a changed system clock leaves it alone. */
export const steady = (): number => performance.now();
